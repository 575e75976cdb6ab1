"""`python -m stacks.preview`: a StackExport in, a plan out; 1 with one sentence on stderr where none can be made."""

import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from contracts.export import StackExport

_ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    # The protocol has stdout to itself: whatever prints goes to stderr.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        export = StackExport.model_validate_json(sys.stdin.read())
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        return _refuse(f"the exported stack does not fit this commit's contracts: {field}: {first['msg']}")
    from stacks.preview.plan import assessment_from, export_plan

    pulumi_root = Path(os.environ.get("FREEHOLD_PULUMI") or _ROOT / ".tools")
    today = datetime.now(UTC).date()
    with tempfile.TemporaryDirectory(prefix="freehold-preview-") as folder:
        try:
            plan = export_plan(
                export,
                pulumi_root=pulumi_root,
                folder=Path(folder),
                assessment=assessment_from(os.environ, today),
            )
        except Exception as error:  # the commit's program may fail in any way, and the reviewer reads how
            return _refuse(f"{type(error).__name__}: {error}")
    with answer:
        json.dump(plan, answer)
    return 0


def _refuse(why: str) -> int:
    sys.stderr.write(why[-4000:].strip() + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
