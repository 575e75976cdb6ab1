"""The catalogue's cards are published when the database is prepared; older tenants get their agreement."""

import importlib
from datetime import timedelta
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from billing.agreements.models import Agreement, AgreementPhase, RateCardVersion
from billing.agreements.phases import PhaseTerms
from billing.agreements.selectors import phases_of
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants import plans as plans_module
from controlplane.tenants.models import Tenant
from controlplane.tenants.plans import plans

Acme = tuple[Tenant, Operation]


def _prepared() -> list[str]:
    out = StringIO()
    call_command("database_prepare", verbosity=0, stdout=out)
    return out.getvalue().splitlines()


def test_preparing_the_database_publishes_every_card_once(db: None) -> None:
    assert _prepared() == [f"published the rate card {key} v1" for key in ("enterprise", "pro", "starter")]
    assert _prepared() == []
    assert RateCardVersion.objects.count() == len(plans())


def test_preparing_the_database_says_what_is_wrong_with_a_card(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        plans_module,
        "_catalogue",
        lambda: {"plans": {}, "rate_cards": {"euro": {"version": 1, "base_fee": 1.5}}},
    )
    plans.cache_clear()
    try:
        with pytest.raises(CommandError, match="rate card euro is not valid"):
            _prepared()
    finally:
        monkeypatch.undo()
        plans.cache_clear()


def test_tenants_from_before_agreements_get_theirs(acme: Acme) -> None:
    tenant, _ = acme
    gone = Tenant.objects.get(pk=tenant.pk)
    gone.pk, gone.slug, gone.slot, gone.plan = None, "gone", None, "pro"
    gone.id = importlib.import_module("controlplane.core.ids").uuid7()
    gone.deprovisioned_at = gone.created_at + timedelta(days=3)
    gone.save(force_insert=True)
    AgreementPhase.objects.all().delete()
    Agreement.objects.all().delete()
    migration = importlib.import_module("controlplane.tenants.migrations.0008_agreements")
    before = clock.now()
    for _ in range(2):  # again changes nothing
        migration.open_agreements(apps, None)
    (living,) = phases_of(tenant_id=tenant.pk)
    (ended,) = phases_of(tenant_id=gone.pk)
    assert (living.start, living.end, living.terms) == (
        tenant.created_at,
        None,
        PhaseTerms("starter", "starter"),
    )
    assert (ended.start, ended.end, ended.terms.plan) == (gone.created_at, gone.deprovisioned_at, "pro")
    assert phases_of(tenant_id=tenant.pk, known_at=before) == [], "nobody knew of it before"
