"""`python -m stacks.providers.local boot|halt|list --tenants-dir DIR [--tenant SLUG] [--json]`.

Exit code 0 when the verb reached its aim for every unit, 1 otherwise (the reasons are on stderr).
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from stacks.providers.local.host import UnitReport, units_boot, units_halt, units_list

VERBS: dict[str, Callable[[Path, str | None], list[UnitReport]]] = {
    "boot": units_boot,
    "halt": units_halt,
    "list": units_list,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m stacks.providers.local", description=__doc__)
    parser.add_argument("verb", choices=list(VERBS))
    parser.add_argument("--tenants-dir", type=Path, required=True, help="the folder of all tenants' folders")
    parser.add_argument("--tenant", metavar="SLUG", help="only this tenant")
    parser.add_argument("--json", action="store_true", help="a JSON array on stdout")
    options = parser.parse_args(arguments)
    reports = VERBS[options.verb](options.tenants_dir.absolute(), options.tenant)
    if options.json:
        print(json.dumps([report.to_json() for report in reports]))
    else:
        for report in reports:
            print(f"{report.tenant}/{report.name}\t{report.state}\t{report.pid or '-'}")
    failures = [report for report in reports if report.error is not None]
    for report in failures:
        print(f"{report.tenant}/{report.name}: {report.error}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
