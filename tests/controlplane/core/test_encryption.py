"""Sealed values: a key for each tenant, bound to their place, rotated without a gap, and gone with their key."""

import json
import threading
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from controlplane.core import clock
from controlplane.core.data_keys import (
    INSTALLATION,
    data_key_rotate,
    data_keys_destroy,
    data_keys_rewrap,
)
from controlplane.core.encryption import decrypt, encrypt
from controlplane.core.errors import OperatorError
from controlplane.core.models import AuditEvent, DataKey
from controlplane.core.operator_keys import operator_keys
from controlplane.core.renewal import data_keys_retire, encryption_report, sealed_values_renew
from controlplane.core.sealed import SEALED_FIELDS, fields_named_like_secrets
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from controlplane.tenants.rotation import secrets_context
from tests.support.people import Person

OLD, NEW = "an operator's key of thirty-two letters", "another operator's key, also long enough"


def legacy(value: Any, context: str) -> str:
    """As an earlier release sealed it."""
    return operator_keys()[-1].fernet().encrypt(json.dumps({"c": context, "v": value}).encode()).decode()


def opened(tenant: Tenant) -> Any:
    tenant.refresh_from_db()
    return decrypt(tenant.sealed_secrets, context=secrets_context(tenant.id))


def test_a_value_opens_in_its_own_place_only(db: None) -> None:
    token = encrypt({"key": "s3cret"}, context="a:1")
    assert "s3cret" not in token
    assert decrypt(token, context="a:1") == {"key": "s3cret"}
    with pytest.raises(OperatorError) as caught:
        decrypt(token, context="a:2")
    assert caught.value.code == "encryption_context_mismatch"
    assert encrypt({"key": "s3cret"}, context="a:1") != token


@pytest.mark.parametrize("place", [-4, 40, 60])
def test_a_changed_value_does_not_open(db: None, place: int) -> None:
    token = encrypt("s3cret", context="a:1")
    changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
    with pytest.raises(OperatorError):
        decrypt(changed, context="a:1")


def test_every_field_that_is_named_like_a_sealed_one_is_in_the_table() -> None:
    assert {(each.model, each.field) for each in SEALED_FIELDS} == set(fields_named_like_secrets())


def test_each_tenant_has_a_key_of_its_own(acme: tuple[Tenant, Operation]) -> None:
    tenant = acme[0]
    key = DataKey.objects.get(owner=tenant.id)
    assert tenant.sealed_secrets.startswith(f"fh2:{key.id.hex}:")
    with pytest.raises(RuntimeError, match="not a sealed field"):
        encrypt("x", context="elsewhere", owner=tenant.id)


@pytest.mark.django_db(transaction=True)
def test_sealing_under_a_tenants_key_needs_the_transaction_that_stores_it() -> None:
    owner = uuid4()
    with pytest.raises(RuntimeError, match="needs the transaction"):
        encrypt("x", context=f"tenant-secrets:{owner}", owner=owner)


def test_destroying_the_key_makes_every_copy_unreadable(acme: tuple[Tenant, Operation]) -> None:
    tenant = acme[0]
    copy = tenant.sealed_secrets  # as a backup has it
    assert data_keys_destroy(owner=tenant.id, actor="test", now=clock.now()) == 1
    assert data_keys_destroy(owner=tenant.id, actor="test", now=clock.now()) == 0
    with pytest.raises(OperatorError) as caught:
        decrypt(copy, context=secrets_context(tenant.id))
    assert caught.value.code == "data_key_destroyed"
    assert not DataKey.objects.get(owner=tenant.id).wrapped
    assert AuditEvent.objects.filter(action="encryption.data_keys_destroyed").count() == 1
    # What belongs to the installation, such as a final snapshot, stays readable.
    assert decrypt(encrypt("kept", context="snapshot:1"), context="snapshot:1") == "kept"


def test_a_tenants_key_rotates_and_the_old_one_ends(acme: tuple[Tenant, Operation]) -> None:
    tenant, before = acme[0], acme[0].sealed_secrets
    value = opened(tenant)
    data_key_rotate(owner=tenant.id, actor="test", now=clock.now())
    assert opened(tenant) == value, "unreadable between rotation and renewal"
    assert data_keys_retire(now=clock.now()) == 0, "a key still in use was destroyed"
    assert encryption_report()["values"]["behind"] == 1
    assert sealed_values_renew(limit=10).done == 1
    assert sealed_values_renew(limit=10).done == 0
    assert opened(tenant) == value
    assert tenant.sealed_secrets != before
    assert data_keys_retire(now=clock.now()) == 1
    assert opened(tenant) == value
    with pytest.raises(OperatorError):
        decrypt(before, context=secrets_context(tenant.id))


def test_values_of_an_earlier_release_are_read_and_sealed_anew(acme: tuple[Tenant, Operation]) -> None:
    tenant = acme[0]
    value = opened(tenant)
    Tenant.objects.update(sealed_secrets=legacy(value, secrets_context(tenant.id)))
    assert opened(tenant) == value
    assert encryption_report()["operator_keys"][0]["values"] == 1
    assert sealed_values_renew(limit=10).done == 1
    assert opened(tenant) == value
    assert tenant.sealed_secrets.startswith("fh2:")


def test_an_operator_key_may_go_when_the_report_says_so(
    owner: Person, settings: Any, acme: tuple[Tenant, Operation]
) -> None:
    tenant, configured = acme[0], list(settings.FREEHOLD_ENCRYPTION_KEYS)
    value, sealed = opened(tenant), encrypt("kept", context="snapshot:1")
    Tenant.objects.update(sealed_secrets=legacy(value, secrets_context(tenant.id)))
    settings.FREEHOLD_ENCRYPTION_KEYS = [NEW, *configured]
    old = encryption_report()["operator_keys"][1]
    assert (old["data_keys"], old["values"], old["removable"]) == (2, 1, False)
    # Interrupted after each single step, it goes on.
    while data_keys_rewrap(limit=1):
        assert opened(tenant) == value
    assert not encryption_report()["operator_keys"][1]["removable"], "a value still needs it"
    assert sealed_values_renew(limit=1).done == 1
    assert encryption_report()["operator_keys"][1]["removable"]
    settings.FREEHOLD_ENCRYPTION_KEYS = [NEW]
    assert opened(tenant) == value
    assert decrypt(sealed, context="snapshot:1") == "kept"


def test_a_missing_operator_key_is_named_in_the_error_and_the_report(
    settings: Any, acme: tuple[Tenant, Operation]
) -> None:
    needed = operator_keys()[0].id
    settings.FREEHOLD_ENCRYPTION_KEYS = [OLD]
    assert encryption_report()["missing"] == [needed]
    with pytest.raises(OperatorError) as caught:
        opened(acme[0])
    assert (caught.value.code, needed in caught.value.detail) == ("encryption_key_missing", True)


def test_an_unreadable_value_stops_nothing(acme: tuple[Tenant, Operation]) -> None:
    tenant = acme[0]
    value = opened(tenant)
    other = Tenant.objects.get(pk=tenant.pk)
    other.pk, other.slug, other.slot, other.sealed_secrets = uuid4(), "broken", None, "not a token"
    other.save(force_insert=True)
    data_key_rotate(owner=tenant.id, actor="test", now=clock.now())
    renewed = sealed_values_renew(limit=10)
    assert (renewed.done, renewed.unreadable) == (1, 1)
    assert opened(tenant) == value
    assert encryption_report()["values"]["unreadable"] == 1


@pytest.mark.django_db(transaction=True)
def test_a_key_in_use_by_an_open_transaction_is_not_destroyed(acme: tuple[Tenant, Operation]) -> None:
    """A writer sealed under the old key and has not committed; retiring must wait for it, and then see its value."""
    tenant = acme[0]
    sealed, commit = threading.Event(), threading.Event()

    def write() -> None:
        try:
            with transaction.atomic():
                token = encrypt({"late": True}, context=secrets_context(tenant.id), owner=tenant.id)
                sealed.set()
                commit.wait(10)
                Tenant.objects.filter(pk=tenant.pk).update(sealed_secrets=token)
        finally:
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    assert sealed.wait(10)
    data_key_rotate(owner=tenant.id, actor="test", now=clock.now())
    assert sealed_values_renew(limit=10).done == 1
    retired: list[int] = []

    def retire() -> None:
        try:
            retired.append(data_keys_retire(now=clock.now()))
        finally:
            connection.close()

    retirer = threading.Thread(target=retire)
    retirer.start()
    retirer.join(0.5)
    assert retirer.is_alive(), "the old key was destroyed under a writer's feet"
    commit.set()
    writer.join(10)
    retirer.join(10)
    assert retired == [0]
    assert opened(tenant) == {"late": True}
    assert sealed_values_renew(limit=10).done == 1
    assert data_keys_retire(now=clock.now()) == 1
    assert opened(tenant) == {"late": True}


def test_the_command_rotates_renews_and_reports(acme: tuple[Tenant, Operation]) -> None:
    value, out = opened(acme[0]), StringIO()
    call_command(
        "encryption_keys", "rotate", "--tenant", "acme", "--batch", "1", stdout=out, stderr=StringIO()
    )
    report = json.loads(out.getvalue())
    assert (report["values"]["behind"], report["data_keys"]["old"]) == (0, 0)
    assert report["data_keys"]["destroyed"] == 1
    assert opened(acme[0]) == value
    with pytest.raises(CommandError):
        call_command("encryption_keys", "rotate", "--tenant", "nobody", stderr=StringIO())


def test_the_installation_has_one_key_for_all_else(db: None) -> None:
    encrypt(1, context="a")
    encrypt(2, context="b")
    assert DataKey.objects.filter(owner=INSTALLATION).count() == 1
