"""Reads the imports of a tree from its syntax and judges them by the rooms' rules (ARCHITECTURE.md). Runs nothing."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: Which modules of ours each room may import besides its own. The longest matching room counts. A package below
#: controlplane or at the top that is missing here has no rules yet, and that is a violation too.
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "contracts": (),
    "embedded": (),
    "stacks": ("contracts", "embedded"),
    "tenant_runtime": ("contracts",),
    "billing": ("contracts", "controlplane.core", "embedded.crashpoints"),
    "controlplane.core": ("contracts",),
    "controlplane.accounts": ("contracts", "controlplane.core"),
    "controlplane.operations": (
        "contracts",
        "controlplane.core",
        "controlplane.accounts",
        "embedded.processes",
        "embedded.crashpoints",
        "billing.metering.spans",
    ),
    "controlplane.tenants": (
        "contracts",
        "controlplane.core",
        "controlplane.accounts",
        "controlplane.operations",
        "embedded.ports",
        "embedded.processes",
        "billing.standing",
        "billing.agreements",
        "billing.directory",
        # The port through which billing asks what stacks cost, and the data it wants.
        "billing.costs.stacks",
    ),
    "controlplane.fleet": (
        "contracts",
        "controlplane.core",
        "controlplane.accounts",
        "controlplane.operations",
        "controlplane.tenants",
    ),
    "controlplane.webhooks": ("contracts", "controlplane.core", "controlplane.accounts"),
    "controlplane.api": (
        "contracts",
        "controlplane.core",
        "controlplane.accounts",
        "controlplane.operations",
        "controlplane.tenants",
        "controlplane.fleet",
        "controlplane.webhooks",
        "billing",
    ),
    "controlplane.portal": (
        "contracts",
        "controlplane.core",
        "controlplane.accounts",
        "controlplane.operations",
        "controlplane.tenants",
        "controlplane.fleet",
        "controlplane.webhooks",
        "controlplane.api.idempotency",
        "billing",
    ),
    "controlplane.cli": ("contracts", "embedded"),
    "controlplane.config": ("contracts", "embedded", "controlplane", "billing"),
    # The runner is a process of its own: it knows the engine's side only, no Django and no database.
    "controlplane.operations.runner": (
        "contracts",
        "controlplane.operations.translate",
        "controlplane.operations.failures",
        "controlplane.operations.facts",
        "controlplane.operations.settling",
        "embedded.crashpoints",
        "stacks",
    ),
    "controlplane.operations.translate": ("contracts", "controlplane.operations.failures"),
    "controlplane.operations.failures": ("controlplane.operations.causes",),
    "controlplane.operations.causes": (),
    "controlplane.operations.facts": ("contracts",),
    "controlplane.fleet.planner": ("contracts", "controlplane.core", "stacks"),
}
#: Rooms that run, or must be able to run, where no Django is.
WITHOUT_DJANGO = (
    "contracts",
    "embedded",
    "stacks",
    "tenant_runtime",
    "controlplane.cli",
    "controlplane.operations.runner",
    "controlplane.operations.translate",
    "controlplane.operations.facts",
)
DJANGO = ("django", "rest_framework", "drf_spectacular", "allauth", "celery")
#: Layers inside an app: a module of the left name must not import modules of the right ones, of any app.
LAYERS: Mapping[str, tuple[str, ...]] = {
    "states": ("models", "selectors", "locks", "services", "tasks"),
    "models": ("selectors", "locks", "services", "tasks"),
    "locks": ("services", "tasks"),
    "selectors": ("services", "tasks"),
}
OURS = ("billing", "contracts", "controlplane", "embedded", "stacks", "tenant_runtime")


@dataclass(frozen=True)
class Import:
    path: str
    line: int
    importer: str
    imported: str


@dataclass(frozen=True)
class Violation:
    """`path` and `imported` are what an exception names; `str` is what a person reads."""

    path: str
    line: int
    importer_room: str
    imported: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.importer_room} imports {self.imported}: {self.why}"


def violations(root: Path) -> list[Violation]:
    """Every import below `root` that does not fit, in the order of files and lines."""
    return [
        Violation(each.path, each.line, room_of(each.importer) or each.importer, each.imported, why)
        for each in tree_imports(root)
        if (why := _objection(each)) is not None
    ]


def tree_imports(root: Path) -> Iterator[Import]:
    for package in OURS:
        for path in sorted((root / package).rglob("*.py")):
            yield from _file_imports(path, root)


def room_of(module: str) -> str | None:
    """The most specific room of the table that holds the module; None for one without rules."""
    held = [room for room in ALLOWED if _within(module, room)]
    return max(held, key=len) if held else None


def _objection(each: Import) -> str | None:
    if each.importer == "controlplane":
        return None if not _is_ours(each.imported) else "the package itself imports nothing of ours"
    room = room_of(each.importer)
    if room is None:
        return "the importing package has no rules in tests/architecture/imports.py"
    if not _is_ours(each.imported):
        top = each.imported.split(".")[0]
        forbidden = top in DJANGO and room in WITHOUT_DJANGO
        return f"{room} must run without Django" if forbidden else None
    if not _home_of(each.importer, room, each.imported):
        allowed = ALLOWED[room]
        if not any(_within(each.imported, prefix) for prefix in allowed):
            return f"{room} may import only {', '.join(allowed) or 'itself'}"
        if _within(each.imported, "controlplane.config"):
            return "settings are read through django.conf.settings"
    return _layer_objection(each)


def _home_of(importer: str, room: str, imported: str) -> bool:
    """Whether the import stays at home. A single module with rules of its own has no home but itself."""
    single = room.count(".") > 1
    return imported == room if single else _within(imported, room)


def _layer_objection(each: Import) -> str | None:
    layer = each.importer.rsplit(".", 1)[-1]
    for part in each.imported.split(".")[1:]:
        if part in LAYERS.get(layer, ()):
            return f"{layer} lie below {part}"
    return None


def _file_imports(path: Path, root: Path) -> Iterator[Import]:
    shown = path.relative_to(root)
    parts = list(shown.with_suffix("").parts)
    is_package = parts[-1] == "__init__"
    module = ".".join(parts[:-1] if is_package else parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(shown))):
        for name in _names(node, module, is_package, root):
            line: int = getattr(node, "lineno", 0)
            yield Import(shown.as_posix(), line, module, name)


def _names(node: ast.AST, module: str, is_package: bool, root: Path) -> Iterator[str]:
    """What a statement imports, as dotted modules; `importlib.import_module("...")` counts as well."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=base, names=names, level=level):
            if level:
                above = module.split(".")
                above = above[: len(above) - level + (1 if is_package else 0)]
                base = ".".join([*above, *([base] if base else [])])
            for alias in names:
                deeper = f"{base}.{alias.name}"
                yield deeper if _is_module(deeper, root) else str(base)
        case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]) if _is_import_call(func):
            yield name


def _is_import_call(func: ast.expr) -> bool:
    name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
    return name in ("import_module", "__import__")


def _is_module(module: str, root: Path) -> bool:
    path = root.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def _is_ours(module: str) -> bool:
    return module.split(".")[0] in OURS


def _within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(f"{prefix}.")
