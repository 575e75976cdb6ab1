"""What a runtime seals and signs with: made, kept, renewed, carried by snapshots, and shown to those who may see it."""

import pytest

from controlplane.accounts import roles
from controlplane.core import clock
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.tenants.lifecycle import stack_secrets_of
from controlplane.tenants.models import Snapshot, Tenant
from controlplane.tenants.rotation import credentials_make, credentials_read, credentials_renew
from controlplane.tenants.runtime_secrets import STORAGE, WEBHOOK
from controlplane.tenants.services import tenant_create, tenant_credentials_forget
from controlplane.tenants.snapshots import states as snapshot_states
from controlplane.tenants.snapshots.services import snapshot_create, snapshot_storage_keys
from tenant_runtime.engine.serde.sealing import Sealer, seal_keys_parse
from tenant_runtime.settings import settings_read
from tests.support.people import Person, person_make

Acme = tuple[Tenant, Operation]
RUNTIME = {"RUNTIME_DATABASE_URL": "postgresql://u@h/d", "RUNTIME_API_KEY": "k" * 20}
PLACE = ("blob", "thread")


def sealer(tenant: Tenant) -> Sealer:
    keys = stack_secrets_of(tenant).runtime_storage_keys
    assert keys is not None
    return Sealer(seal_keys_parse(keys), tenant=tenant.slug)


def renewed(tenant: Tenant) -> Tenant:
    credentials_renew(tenant=tenant, actor="t", now=clock.now())
    tenant.refresh_from_db()
    return tenant


def snapshot_of(acme: Acme) -> Snapshot:
    tenant, operation = acme
    made = snapshot_create(tenant=tenant, operation=operation, kind="manual", reason="", now=clock.now())
    Snapshot.objects.filter(pk=made.pk).update(state=snapshot_states.COMPLETE)
    return Snapshot.objects.get(pk=made.pk)


def test_the_runtime_takes_what_the_stack_brings(acme: Acme) -> None:
    secrets = stack_secrets_of(renewed(acme[0]))
    assert secrets.runtime_storage_keys
    assert secrets.runtime_webhook_secret
    read = settings_read(
        RUNTIME
        | {
            "RUNTIME_ENCRYPTION_KEYS": secrets.runtime_storage_keys,
            "RUNTIME_WEBHOOK_SECRET": secrets.runtime_webhook_secret,
        }
    )
    assert (len(read.encryption_keys), len(read.webhook_secrets)) == (1, 2)


def test_every_part_of_them_is_known_as_a_secret(acme: Acme) -> None:
    secrets = stack_secrets_of(renewed(acme[0]))
    sealed = credentials_read(acme[0])
    assert {sealed[STORAGE][0]["key"], *sealed[WEBHOOK]} <= set(secrets.each())


def test_data_opens_after_any_number_of_renewals(acme: Acme) -> None:
    tenant = acme[0]
    stored = sealer(tenant).seal("json", b"1", PLACE)
    newest = set()
    for _ in range(3):
        newest.add(credentials_read(renewed(tenant))[WEBHOOK][0])
        assert sealer(tenant).open(*stored, PLACE) == ("json", b"1")
    assert len(newest) == 3


def test_a_tenant_of_an_earlier_release_gets_them_when_it_is_renewed(
    acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = acme[0]
    with monkeypatch.context() as earlier:
        earlier.setattr("controlplane.tenants.rotation.runtime_secrets_make", lambda old, brought=(): {})
        Tenant.objects.filter(pk=tenant.pk).update(sealed_secrets="")
        tenant.refresh_from_db()
        credentials_make(tenant=tenant, actor="t", now=clock.now())
        tenant.save()
    secrets = stack_secrets_of(tenant)
    assert (secrets.runtime_storage_keys, secrets.runtime_webhook_secret) == (None, None)
    assert snapshot_storage_keys(snapshot_of(acme)) == []
    secrets = stack_secrets_of(renewed(tenant))
    assert None not in (secrets.runtime_storage_keys, secrets.runtime_webhook_secret)


def test_a_tenant_made_from_a_snapshot_reads_its_data_even_when_the_first_is_gone(
    acme: Acme, owner: Person
) -> None:
    tenant = acme[0]
    stored = sealer(tenant).seal("json", b"1", PLACE)
    snapshot = snapshot_of(acme)
    tenant_credentials_forget(tenant=tenant, actor="t", now=clock.now())
    heir, operation = tenant_create(
        principal=owner.principal, slug="globex", name="G", plan="starter", target="local",
        restore_from=snapshot.pk, now=clock.now(),
    )  # fmt: skip
    assert sealer(heir).open(*stored, PLACE) == ("json", b"1")
    assert sealer(heir).seal("json", b"2", PLACE)[0].split(":")[1] == credentials_read(heir)[STORAGE][0]["id"]
    # And so does one that is made from the heir's.
    third, _ = tenant_create(
        principal=owner.principal, slug="initech", name="I", plan="starter", target="local",
        restore_from=snapshot_of((heir, operation)).pk, now=clock.now(),
    )  # fmt: skip
    assert sealer(third).open(*stored, PLACE) == ("json", b"1")
    assert [key["tenant"] for key in credentials_read(third)[STORAGE]] == [None, "globex", "acme"]


def test_signing_secrets_are_shown_to_operators_and_on_record(
    active: Tenant, owner: Person, teammate: Person, stranger: Person
) -> None:
    operator = person_make("olga@example.com", owner.team, roles.OPERATOR)
    path = "/tenants/acme/webhook-secret"
    for person in (owner, operator):
        answer = person.api().post(path, {})
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
        assert answer.json() == {"secrets": credentials_read(active)[WEBHOOK]}
    seen = AuditEvent.objects.filter(action="tenant.webhook_secret_shown")
    assert len({event.actor for event in seen}) == 2
    assert "whsec_" not in str([event.data for event in seen])
    assert teammate.api().post(path, {}).status_code == 403
    assert stranger.api().post(path, {}).status_code == 404
    Tenant.objects.filter(pk=active.pk).update(sealed_secrets="")
    answer = owner.api().post(path, {})
    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_secret_missing")
