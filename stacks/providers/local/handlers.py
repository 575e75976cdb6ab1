"""What the provider does for each resource type, on plain values. Nothing here knows Pulumi's protocol."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import ValidationError

from stacks.errors import InputInvalid
from stacks.providers.local.gpus import gpus_assign, gpus_held, gpus_release
from stacks.providers.local.host import unit_of
from stacks.providers.local.inputs import (
    DirectoryInputs,
    GpuInputs,
    Inputs,
    PostgresInputs,
    RedisInputs,
    RetirementInputs,
    RuntimeInputs,
)
from stacks.providers.local.runtime_unit import RuntimeUnit
from stacks.providers.local.unitfile import (
    folder_make,
    folder_remove,
    stragglers_stop,
    unit_lock,
    unit_read,
)
from stacks.providers.local.units import PostgresUnit, RedisUnit, Unit, unit_converge

Values = dict[str, Any]
AnyInputs = TypeVar("AnyInputs", bound=Inputs)

_PRIVATE = 0o700


class Handler(ABC, Generic[AnyInputs]):
    """One resource type. Every method but `check` and `predict` may block; all of them are idempotent."""

    MODEL: type[AnyInputs]
    SECRETS: ClassVar[frozenset[str]] = frozenset()
    """Outputs that must reach the state as secrets."""
    REPLACES: ClassVar[frozenset[str]] = frozenset({"tenant"})
    """Inputs that cannot change in place."""
    COMPUTED: ClassVar[frozenset[str]] = frozenset()
    """Outputs that are not inputs and become known by the creation only."""

    def parse(self, values: Values) -> AnyInputs:
        try:
            return self.MODEL.model_validate(values)
        except ValidationError as error:
            raise InputInvalid(str(error)) from error

    def repairs(self, inputs: Values) -> Mapping[str, Any]:
        """Output -> the value it should have; another value in the state makes an update necessary."""
        return {}

    def predict(self, inputs: Values) -> Values:
        """Outputs beside the inputs that a preview can already tell."""
        return dict(self.repairs(inputs))

    @abstractmethod
    def identify(self, inputs: Values) -> str:
        """The resource's id: it follows from the inputs, so that a lost creation can be adopted."""

    @abstractmethod
    def create(self, inputs: AnyInputs) -> Values: ...

    @abstractmethod
    def read(self, identity: str, known: Values) -> Values | None:
        """All outputs as they are now; None when the resource is gone."""

    def update(self, inputs: AnyInputs) -> Values:
        return self.create(inputs)

    @abstractmethod
    def delete(self, identity: str, known: Values) -> None: ...


class DirectoryHandler(Handler[DirectoryInputs]):
    """The tenant's own folder: everything of the tenant on this machine lies below it."""

    MODEL = DirectoryInputs
    REPLACES = frozenset({"tenant", "data_dir"})

    def repairs(self, inputs: Values) -> Mapping[str, Any]:
        return {"mode": "0700"}

    def identify(self, inputs: Values) -> str:
        return str(inputs["data_dir"])

    def create(self, inputs: DirectoryInputs) -> Values:
        folder = Path(inputs.data_dir)
        folder_make(folder)
        folder.chmod(_PRIVATE)
        return self._outputs(inputs.plain(), folder)

    def read(self, identity: str, known: Values) -> Values | None:
        folder = Path(identity)
        if not folder.is_dir():
            return None
        return self._outputs({"tenant": folder.name, "data_dir": identity, **known}, folder)

    def delete(self, identity: str, known: Values) -> None:
        folder = Path(identity)
        stragglers_stop(folder)
        folder_remove(folder)

    def _outputs(self, inputs: Values, folder: Path) -> Values:
        return {**inputs, "mode": f"{folder.stat().st_mode & 0o777:04o}"}


class UnitHandler(Handler[AnyInputs]):
    """A process with its folder. `running` goes false when it died, and the next update starts it again;
    for a unit that is suspended it is the other way round.

    The pid is no output: it changes at every boot, and would show as drift of the machine's own making.
    """

    REPLACES = frozenset({"tenant", "data_dir", "version", "component"})
    UNIT: Callable[[AnyInputs], Unit]

    def repairs(self, inputs: Values) -> Mapping[str, Any]:
        return {"running": not inputs.get("suspended", False)}

    def identify(self, inputs: Values) -> str:
        return str(inputs["data_dir"])

    def create(self, inputs: AnyInputs) -> Values:
        unit = type(self).UNIT(inputs)
        fresh = unit_read(unit.folder) is None
        try:
            unit_converge(unit)
        except BaseException:
            # Of a first creation nothing may stay; what was there before keeps its data.
            if fresh:
                _remove(unit.folder)
            raise
        return self._outputs(unit)

    def read(self, identity: str, known: Values) -> Values | None:
        file = unit_read(Path(identity))
        return None if file is None else self._outputs(unit_of(file))

    def update(self, inputs: AnyInputs) -> Values:
        unit = type(self).UNIT(inputs)
        unit_converge(unit)
        return self._outputs(unit)

    def delete(self, identity: str, known: Values) -> None:
        _remove(Path(identity))

    def _outputs(self, unit: Unit) -> Values:
        return {**unit.inputs.plain(), **unit.computed(), "running": unit.running() is not None}


class PostgresHandler(UnitHandler[PostgresInputs]):
    MODEL = PostgresInputs
    UNIT = PostgresUnit
    SECRETS = frozenset({"password", "superuser_password", "url"})
    COMPUTED = SECRETS


class RedisHandler(UnitHandler[RedisInputs]):
    MODEL = RedisInputs
    UNIT = RedisUnit
    SECRETS = frozenset({"password", "url"})
    COMPUTED = SECRETS


class RuntimeHandler(UnitHandler[RuntimeInputs]):
    """A new version is a restart, not a replacement: its data lies in the databases.

    `since` is when it last began to run, or, suspended, when it ended: what is billed follows it.
    """

    MODEL = RuntimeInputs
    UNIT = RuntimeUnit
    SECRETS = RuntimeInputs.SECRETS
    COMPUTED = frozenset({"since"})
    REPLACES = frozenset({"tenant", "data_dir", "component"})

    def predict(self, inputs: Values) -> Values:
        return {**super().predict(inputs), "url": f"http://127.0.0.1:{inputs['port']}"}


class RetirementHandler(Handler[RetirementInputs]):
    """Ends the credentials of earlier generations: the last resource of the program, once nobody uses them.

    `retired` is looked up and not remembered: one that was killed in the middle is adopted as not done.
    """

    MODEL = RetirementInputs

    def repairs(self, inputs: Values) -> Mapping[str, Any]:
        return {"retired": True}

    def identify(self, inputs: Values) -> str:
        return f"{inputs['tenant']}/credentials"

    def create(self, inputs: RetirementInputs) -> Values:
        for folder in map(Path, inputs.folders):
            with unit_lock(folder):
                for unit in _units_at(folder):
                    unit.retire(keep=inputs.credentials)
        return {**inputs.plain(), "retired": True}

    def read(self, identity: str, known: Values) -> Values | None:
        if not known:
            return None
        keep = int(known.get("credentials", 1))
        units = [unit for folder in known.get("folders", []) for unit in _units_at(Path(folder))]
        return {**known, "retired": all(unit.retired(keep=keep) for unit in units)}

    def delete(self, identity: str, known: Values) -> None:
        return


class GpuHandler(Handler[GpuInputs]):
    """A number of this machine's GPUs for one tenant alone; none is a valid answer, and the note says so."""

    MODEL = GpuInputs
    REPLACES = frozenset({"tenant", "registry_dir"})
    COMPUTED = frozenset({"gpus", "note", "since"})

    def identify(self, inputs: Values) -> str:
        return f"{inputs['registry_dir']}/{inputs['tenant']}"

    def create(self, inputs: GpuInputs) -> Values:
        holding = gpus_assign(Path(inputs.registry_dir), inputs.tenant, inputs.count)
        return {**inputs.plain(), **holding.outputs()}

    def read(self, identity: str, known: Values) -> Values | None:
        registry, tenant = Path(identity).parent, Path(identity).name
        holding = gpus_held(registry, tenant, int(known.get("count", 0)))
        return {"tenant": tenant, "registry_dir": str(registry), **known, **holding.outputs()}

    def delete(self, identity: str, known: Values) -> None:
        gpus_release(Path(identity).parent, Path(identity).name)


#: Every resource type of this provider.
HANDLERS: dict[str, Handler[Any]] = {
    "local:index:DataDirectory": DirectoryHandler(),
    "local:index:PostgresServer": PostgresHandler(),
    "local:index:RedisServer": RedisHandler(),
    "local:index:GpuAllocation": GpuHandler(),
    "local:index:RuntimeProcess": RuntimeHandler(),
    "local:index:CredentialRetirement": RetirementHandler(),
}


def physical_id(resource_type: str, inputs: Values) -> str:
    """The id the provider gives or gave to a resource with these inputs.

    For adopting a creation whose record was lost: put the resource into the state with this id and its
    inputs as outputs, then refresh. InputInvalid for a type that is not ours.
    """
    handler = HANDLERS.get(resource_type)
    if handler is None:
        raise InputInvalid(f"the provider has no resource type {resource_type}: it has {', '.join(HANDLERS)}")
    return handler.identify(inputs)


def _units_at(folder: Path) -> list[Unit]:
    file = unit_read(folder) if folder.is_dir() else None
    return [] if file is None else [unit_of(file)]


def _remove(folder: Path) -> None:
    """Stop what runs there and remove the folder. What is gone already is no error."""
    if not folder.is_dir():
        return
    with unit_lock(folder):
        file = unit_read(folder)
        if file is not None:
            unit_of(file).stop()
        stragglers_stop(folder)
        folder_remove(folder)


__all__ = ["HANDLERS", "Handler", "physical_id"]
