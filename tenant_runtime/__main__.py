"""`python -m tenant_runtime serve | model`. Exit codes: 0 stopped, 1 failed, 2 usage or a refused start."""

import argparse
import os
import signal
import sys
from pathlib import Path

from tenant_runtime.errors import StartRefused
from tenant_runtime.settings import PACKAGED_MANIFEST


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tenant_runtime", description="The agent runtime of one tenant.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve agents over HTTP and execute their runs")
    serve.add_argument(
        "--manifest", type=Path, default=PACKAGED_MANIFEST, help="agents.toml (default: examples)"
    )
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8123)
    serve.add_argument("--workers", type=int, default=1, help="processes, each with its own executor")
    model = commands.add_parser("model", help="serve the offline model's OpenAI-compatible endpoint alone")
    model.add_argument("--host", default="127.0.0.1")
    model.add_argument("--port", type=int, required=True)
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    # uvicorn stops on SIGTERM and then raises it once more; handled by nobody, the exit would look like a crash.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        if arguments.command == "model":
            from tenant_runtime.service.server import model_serve

            return model_serve(arguments.host, arguments.port)
        if not 1 <= arguments.workers <= 64:
            raise StartRefused("--workers: wanted a number from 1 to 64")
        # Read before anything heavy is imported: a mistake shows at once.
        from tenant_runtime.settings import settings_read

        settings = settings_read()
        os.environ["RUNTIME_MANIFEST"] = str(arguments.manifest.resolve())
        from tenant_runtime.service.server import runtime_serve

        return runtime_serve(
            settings, arguments.manifest, arguments.host, arguments.port, workers=arguments.workers
        )
    except StartRefused as refused:
        print(f"tenant_runtime: {refused.title}. {refused.detail}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
