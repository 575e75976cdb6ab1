"""`python -m tenant_runtime serve | worker | check | model`.

Exit codes: 0 stopped, or a good manifest; 1 failed, or a manifest with problems; 2 usage or a refused start.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from tenant_runtime.errors import ManifestInvalid, StartRefused
from tenant_runtime.settings import PACKAGED_MANIFEST

#: With one of these set, `check` compares the state schemas with what the database recorded.
DATABASE_NAMES = ("RUNTIME_DATABASE_URL", "RUNTIME_DATABASE_URL_FILE", "RUNTIME_DATABASE_SECRET_ARN")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tenant_runtime", description="The agent runtime of one tenant.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve agents over HTTP and execute their runs")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8123)
    serve.add_argument("--workers", type=int, default=1, help="processes, each with its own executor")
    serve.add_argument(
        "--reload", action="store_true", help="development: load changed agents while serving (one worker)"
    )
    check = commands.add_parser("check", help="load a manifest and tell everything that is wrong with it")
    check.add_argument("--manifest", type=Path, default=PACKAGED_MANIFEST)
    check.add_argument("--json", action="store_true", help="the report for programs")
    worker = commands.add_parser(
        "worker", help="execute runs without serving: more hands for the same stores"
    )
    for each in (serve, worker):
        each.add_argument(
            "--manifest", type=Path, default=PACKAGED_MANIFEST, help="agents.toml (default: examples)"
        )
    model = commands.add_parser("model", help="serve the offline model's OpenAI-compatible endpoint alone")
    model.add_argument("--host", default="127.0.0.1")
    model.add_argument("--port", type=int, required=True)
    return parser


def _check(manifest: Path, *, as_json: bool) -> int:
    from tenant_runtime.service.server import manifest_check
    from tenant_runtime.settings import settings_read

    named = any(os.environ.get(name) for name in DATABASE_NAMES)
    return manifest_check(manifest, settings=settings_read() if named else None, as_json=as_json)


def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    # uvicorn stops on SIGTERM and then raises it once more; handled by nobody, the exit would look like a crash.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        if arguments.command == "model":
            from tenant_runtime.service.server import model_serve

            return model_serve(arguments.host, arguments.port)
        if arguments.command == "check":
            return _check(arguments.manifest, as_json=arguments.json)
        if arguments.command == "serve":
            if not 1 <= arguments.workers <= 64:
                raise StartRefused("--workers: wanted a number from 1 to 64")
            if arguments.reload and arguments.workers > 1:
                raise StartRefused("--reload: wanted with one worker only; it is for development")
        # Read before anything heavy is imported: a mistake shows at once.
        from tenant_runtime.settings import settings_read

        settings = settings_read()
        if arguments.command == "worker":
            from tenant_runtime.service.working import worker_run

            return worker_run(settings, arguments.manifest)
        os.environ["RUNTIME_MANIFEST"] = str(arguments.manifest.resolve())
        from tenant_runtime.service.server import runtime_serve

        return runtime_serve(
            settings, arguments.manifest, arguments.host, arguments.port,
            workers=arguments.workers, reload=arguments.reload,
        )  # fmt: skip
    except StartRefused as refused:
        if isinstance(refused, ManifestInvalid):
            print(refused.report.text(), file=sys.stderr)
        print(f"tenant_runtime: {refused.title}. {refused.detail}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
