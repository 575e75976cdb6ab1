"""Operators' own rules and exceptions, read from files."""

import importlib.util
import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from contracts.planned import PolicyException
from stacks.errors import PolicyBroken
from stacks.policy.model import Rule
from stacks.policy.rules import BUILT_IN


def rules_load(paths: Sequence[Path]) -> list[Rule]:
    """Ours and those of the operator's Python files: every `Rule` a file defines at its top level.

    PolicyBroken when a file is missing, fails to import, defines no rule, or takes a name that is taken.
    """
    rules = list(BUILT_IN)
    for path in paths:
        own = _rules_of(path)
        taken = {rule.name for rule in rules} & {rule.name for rule in own}
        if taken:
            raise PolicyBroken(
                f"the policy file {path} defines {', '.join(sorted(taken))}, which exists already"
            )
        rules += own
    return rules


def exceptions_load(path: Path) -> list[PolicyException]:
    """`[[exceptions]]` tables of a TOML file, each with rule, tenant (a slug or *), resource (a name or a pattern
    such as `web-*`), owner, reason and expires (a date). PolicyBroken names the entry and the field."""
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("exceptions", [])
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise PolicyBroken(f"the policy exceptions in {path} cannot be read: {error}") from error
    read = []
    for number, entry in enumerate(entries, 1):
        try:
            read.append(PolicyException.model_validate(entry))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise PolicyBroken(f"exception {number} in {path}, field {field}: {first['msg']}") from error
    return read


def _rules_of(path: Path) -> list[Rule]:
    spec = importlib.util.spec_from_file_location(f"freehold_policy_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise PolicyBroken(f"the policy file {path} is not there, or is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # an operator's code
        raise PolicyBroken(f"the policy file {path} fails: {type(error).__name__}: {error}") from error
    rules = [value for value in vars(module).values() if isinstance(value, Rule)]
    if not rules:
        raise PolicyBroken(f"the policy file {path} defines no rule: use @rule(name, severity)")
    return rules
