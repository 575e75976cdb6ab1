"""What an engine or a provider says in words may quote a secret of the run: the runner keeps all of them out."""

from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest

from contracts.engine import RunnerJob
from contracts.planned import AssessmentJob
from controlplane.operations.runner import _redactor
from stacks.components.passwords import PARTS, Passwords
from tests.stacks.placements import cloud_secrets, cloud_spec

VARIABLES = {
    "AWS_SECRET_ACCESS_KEY": "a-secret-key-of-the-worker",
    "AWS_SESSION_TOKEN": "a-token-of-the-worker",
    "AWS_ACCESS_KEY_ID": "an-id-that-is-no-secret",
    "PULUMI_BACKEND_URL": "postgres://login:a-password-of-the-state@h/db",
}


def job(tmp_path: Path, **changes: object) -> RunnerJob:
    return RunnerJob(
        operation_id=uuid4(),
        action="up",
        spec=cloud_spec("aws", **changes),
        secrets=cloud_secrets(),
        pulumi_root=str(tmp_path),
        work_dir=str(tmp_path),
        env=VARIABLES,
        assessment=AssessmentJob(today=date(2026, 1, 1)),
    )


def test_passwords_derived_from_the_seed_are_kept_out_those_before_the_rotation_too(tmp_path: Path) -> None:
    redactor = _redactor(job(tmp_path, credentials=3))
    for generation in (2, 3):
        passwords = Passwords(cloud_spec("aws", credentials=generation), cloud_secrets())
        for part in PARTS:
            assert passwords.of(part) not in redactor.text(f"ERR AUTH {passwords.of(part)} failed")
    assert str(cloud_secrets().password_seed) not in redactor.text(f"seed {cloud_secrets().password_seed}")


def test_the_workers_own_secrets_are_kept_out_and_its_names_are_not(tmp_path: Path) -> None:
    said = _redactor(job(tmp_path)).text(" ".join(VARIABLES.values()))
    assert "of-the-worker" not in said
    assert "a-password-of-the-state" not in said
    assert "an-id-that-is-no-secret" in said


def test_a_part_that_nobody_knows_gets_no_password() -> None:
    with pytest.raises(ValueError, match="none of PARTS"):
        Passwords(cloud_spec("aws"), cloud_secrets()).of("mailbox")
