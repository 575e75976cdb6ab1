"""The real Pulumi CLI on a state folder of the test's own, through the Automation API."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pulumi import automation as auto

from contracts.placement import LocalPlacement, LocalPorts
from contracts.runtime import RuntimeConfig
from contracts.stack import StackSecrets, StackSpec
from embedded.ports import free_port
from stacks.targets import target_program

REPOSITORY = Path(__file__).resolve().parents[2]
STANDIN = "tests.stacks.standin_runtime"


def pulumi_command() -> auto.PulumiCommand:
    """The repository's CLI, else the one on PATH; the test fails without one."""
    for folder in [str(REPOSITORY / ".tools" / "bin"), *os.get_exec_path()]:
        if (Path(folder) / "pulumi").exists():
            return auto.PulumiCommand(root=str(Path(folder).parent))
    pytest.fail("the Pulumi CLI is in neither .tools/bin nor PATH: run `make up` or `make install` once")


def engine_environment(home: Path) -> dict[str, str]:
    return {
        "PULUMI_BACKEND_URL": f"file://{home}/state",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(home / "passphrase"),
        "PULUMI_HOME": str(home / "pulumi"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "FREEHOLD_RUNTIME_MODULE": STANDIN,
    }


@dataclass
class Engine:
    """One state backend with its passphrase; `stack()` binds a tenant's program to it."""

    home: Path
    environment: dict[str, str]
    command: auto.PulumiCommand

    @classmethod
    def at(cls, home: Path) -> "Engine":
        (home / "state").mkdir(parents=True)
        (home / "passphrase").write_text("correct horse")
        return cls(home, engine_environment(home), pulumi_command())

    @property
    def tenants(self) -> Path:
        return self.home / "tenants"

    def spec(self, slug: str, **changes: Any) -> StackSpec:
        placement = LocalPlacement(
            data_dir=str(self.tenants / slug),
            gpu_registry_dir=str(self.home / "gpus"),
            ports=LocalPorts(
                postgres=free_port(), cache=free_port(), vector_store=free_port(), runtime=free_port()
            ),
        )
        values = {
            "tenant_id": uuid4(),
            "slug": slug,
            "stack_name": slug,
            "target": "local",
            "region": "local",
            "plan": "starter",
            "runtime": RuntimeConfig(version="0.1.0"),
            "local": placement,
        }
        return StackSpec(**(values | changes))

    def secrets(self, slug: str) -> StackSecrets:
        return StackSecrets(
            usage_token=f"usage-token-of-{slug}",
            runtime_admin_key=f"admin-key-of-{slug}-0123",
            password_seed=f"seed-of-{slug}-0123456789abcdef0123456789abcdef",
        )

    def stack(self, spec: StackSpec) -> auto.Stack:
        work_dir = self.home / "work" / spec.slug
        work_dir.mkdir(parents=True, exist_ok=True)
        return auto.create_or_select_stack(
            stack_name=spec.qualified_stack_name,
            project_name=spec.project,
            program=target_program(spec, self.secrets(spec.slug)),
            opts=auto.LocalWorkspaceOptions(
                work_dir=str(work_dir),
                env_vars=self.environment,
                pulumi_command=self.command,
                project_settings=auto.ProjectSettings(name=spec.project, runtime="python"),
            ),
        )
