"""What looks like a secret, and what is known to be one, never reaches a log line, an event or an error."""

import json
import logging

import pytest
import structlog
from django.conf import settings

from contracts.engine import EngineEvent, RunnerJob
from contracts.redaction import HIDDEN, Redactor
from controlplane.cli.services import SECRET_VARIABLES
from controlplane.config.settings import env as environment
from controlplane.core import clock
from controlplane.core.redaction import RedactingFormatter
from controlplane.operations.events import events_append
from controlplane.operations.models import Operation, OperationEvent
from controlplane.operations.transitions import operation_fail
from controlplane.tenants.models import Tenant


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (
            "postgresql://agents:s3cr3t-word@127.0.0.1:5432/db",
            "postgresql://agents:[secret]@127.0.0.1:5432/db",
        ),
        ("redis://:s3cr3t-word@127.0.0.1/0", "redis://:[secret]@127.0.0.1/0"),
        ("key fh_aVeryLongKeyIndeed123 refused", "key fh_[secret] refused"),
        ("x-api-key: fhr_aVeryLongKeyIndeed123", "x-api-key: [secret]"),
        ("Authorization: Bearer abcdefgh.ijkl", "Authorization: Bearer [secret]"),
        ('{"password": "hunter22"}', '{"password": "[secret]"}'),
        ("PGPASSWORD=hunter22 psql", "PGPASSWORD=[secret] psql"),
        ("http://127.0.0.1:8420/tenants/acme", "http://127.0.0.1:8420/tenants/acme"),
        ("password authentication failed for user agents", "password authentication failed for user agents"),
        ("urn:pulumi:acme::freehold::local:index:RedisServer::cache", None),
        ("no secret in here", None),
    ],
)
def test_what_looks_like_a_secret(text: str, hidden: str | None) -> None:
    assert Redactor().text(text) == (text if hidden is None else hidden)


def test_known_values_are_hidden_in_every_form_and_depth() -> None:
    redactor = Redactor(["pass/word with+signs", "postgres://u:long%2Fpassword@h/db", "short", None])
    value = {
        "a": ["pass/word with+signs", "pass%2Fword%20with%2Bsigns"],
        "b": {"c": "got postgres://u:long%2Fpassword@h/db and long/password"},
        "d": 7,
        "e": "a short word",
    }
    assert redactor.value(value) == {
        "a": [HIDDEN, HIDDEN],
        "b": {"c": f"got postgres://u:{HIDDEN}@h/db and {HIDDEN}"},
        "d": 7,
        "e": "a short word",
    }


def test_log_lines_and_their_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    secret = settings.SECRET_KEY
    structlog.get_logger().error("something.failed", detail=f"got {secret}", deep={"list": [secret]})
    try:
        raise RuntimeError(f"with {secret}")
    except RuntimeError:
        structlog.get_logger().exception("something.raised")
        record = logging.LogRecord("x", logging.ERROR, "x", 1, "had %s", (secret,), None)
        record.exc_info = __import__("sys").exc_info()
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in (printed.out + printed.err).splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines] == ["something.failed", "something.raised"]
    text = printed.out + printed.err + RedactingFormatter().format(record)
    assert secret not in text
    assert text.count(HIDDEN) >= 4


def test_events_and_errors_are_stored_without_secrets(acme: tuple[Tenant, Operation]) -> None:
    operation, secret = acme[1], settings.FREEHOLD_ENCRYPTION_KEYS[0]
    said = {"severity": "error", "message": f"cannot reach {settings.DATABASE_URL} with {secret}"}
    events_append(operation_id=operation.id, at=clock.now(), events=[("diagnostic", said)])
    Operation.objects.filter(pk=operation.pk).update(state="planning")
    operation.refresh_from_db()
    error = {"code": "x", "title": "x", "detail": f"key {secret}", "hint": ""}
    operation_fail(operation=operation, error=error, now=clock.now())
    operation.refresh_from_db()
    stored = json.dumps([operation.error, *OperationEvent.objects.values_list("data", flat=True)])
    assert secret not in stored
    assert settings.DATABASE_URL not in stored
    assert operation.error["detail"] == f"key {HIDDEN}"


@pytest.mark.parametrize("contract", [RunnerJob, EngineEvent])
def test_what_does_not_parse_is_not_quoted(contract: type[RunnerJob] | type[EngineEvent]) -> None:
    with pytest.raises(ValueError, match="validation error") as caught:
        contract.model_validate_json(
            '{"kind": "outputs", "secrets": "s3cr3t-word", "operation_id": "s3cr3t-word"}'
        )
    assert "s3cr3t-word" not in str(caught.value)


def test_every_secret_setting_is_kept_out_of_the_services_environment() -> None:
    assert {each.name for each in environment.settings if each.secret} == set(SECRET_VARIABLES)
