"""Agreements over the API: who may see and change what a tenant pays, and plans that carry their cards along."""

from typing import Any

import pytest

from billing.agreements.selectors import phases_of
from billing.invoicing.models import Invoice
from billing.period import period_of
from contracts.stack import StackSpec
from controlplane.accounts.models import Team
from controlplane.core import clock
from controlplane.core.errors import OperatorError, ValidationFailed
from controlplane.core.ids import uuid7
from controlplane.core.models import AuditEvent
from controlplane.operations import states as operation_states
from controlplane.operations.models import Operation
from controlplane.tenants import plans as plans_module
from controlplane.tenants import states
from controlplane.tenants.lifecycle import TenantSubject
from controlplane.tenants.models import Tenant
from controlplane.tenants.plans import plans
from controlplane.tenants.pricing import catalogue_publish
from controlplane.tenants.services import tenant_update
from tests.support.people import Person, person_make

Acme = tuple[Tenant, Operation]
DISCOUNT = {"discounts": [{"key": "loyal", "percent": "10"}]}


@pytest.fixture
def finance(owner: Person) -> Person:
    return person_make("fina@example.com", Team.objects.get(pk=owner.team.pk), "finance")


def test_a_new_tenant_has_the_agreement_of_its_plan(acme: Acme, owner: Person) -> None:
    answer = owner.api().get("/tenants/acme/agreement")
    assert answer.status_code == 200
    body = answer.json()
    (phase,) = body["phases"]
    assert (body["tenant"], body["currency"], phase["plan"], phase["rate_card"]) == (
        "acme",
        "USD",
        "starter",
        "starter",
    )
    assert (phase["to"], phase["version"], phase["overrides"]) == (None, None, {})


def test_only_billing_write_changes_terms(
    acme: Acme, owner: Person, teammate: Person, stranger: Person, finance: Person
) -> None:
    path = "/tenants/acme/agreement"
    before = phases_of(tenant_id=acme[0].id)
    assert stranger.api()("PATCH", path, DISCOUNT).status_code == 404
    assert teammate.api()("PATCH", path, DISCOUNT).status_code == 403
    assert phases_of(tenant_id=acme[0].id) == before
    assert teammate.api().get(path).status_code == 200
    assert stranger.api().get(path).status_code == 404
    changed = finance.api()("PATCH", path, {**DISCOUNT, "reason": "renewal"})
    assert changed.status_code == 200, changed.json()
    last = changed.json()["phases"][-1]
    assert (last["overrides"], last["reason"]) == (DISCOUNT, "renewal")
    audited = AuditEvent.objects.get(action="agreement.amended")
    assert (audited.team_id, audited.data["reason"], audited.data["terms"]) == (
        owner.team.id,
        "renewal",
        DISCOUNT,
    )
    total = owner.api().get("/tenants/acme/invoice-preview").json()
    assert [line["meter"] for line in total["lines"]][-1] == "discount"


def test_a_change_under_a_key_happens_once(acme: Acme, owner: Person) -> None:
    path, key = "/tenants/acme/agreement", {"Idempotency-Key": "one"}
    first = owner.api()("PATCH", path, DISCOUNT, headers=key)
    second = owner.api()("PATCH", path, DISCOUNT, headers=key)
    assert (first.status_code, first.json()) == (200, second.json())
    other = owner.api()("PATCH", path, {"base_fee": "1"}, headers=key)
    assert other.status_code == 422
    assert AuditEvent.objects.filter(action="agreement.amended").count() == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"base_fee": 0.5}, "/base_fee"),
        ({"base_fee": "x"}, "/base_fee"),
        ({"discounts": [{"key": "a", "percent": 0.5}]}, "/discounts/0/percent"),
        ({"rate_card": "nope"}, "/rate_card"),
        (
            {"effective_from": "2027-02-01T00:00:00Z", "effective_to": "2027-01-01T00:00:00Z", "fees": []},
            "/effective_to",
        ),
        ({"no_such": 1}, "/no_such"),
    ],
)  # fmt: skip
def test_wrong_terms_are_refused_by_field(acme: Acme, owner: Person, body: Any, pointer: str) -> None:
    answer = owner.api()("PATCH", "/tenants/acme/agreement", body)
    assert answer.status_code == 422, answer.json()
    assert [problem["pointer"] for problem in answer.json()["errors"]] == [pointer]
    assert len(phases_of(tenant_id=acme[0].id)) == 1


def test_what_is_billed_is_not_changed_under_it(acme: Acme, owner: Person) -> None:
    tenant, now = acme[0], clock.now()
    billed = period_of(now)
    Invoice.objects.create(
        id=uuid7(),
        state="finalized",
        number="T-1",
        team_id=tenant.team_id,
        tenant_id=tenant.id,
        currency="USD",
        period_start=billed.start,
        period_end=billed.end,
        as_of=now,
        known_at=now,
        created_at=now,
        finalized_at=now,
    )
    refused = owner.api()("PATCH", "/tenants/acme/agreement", DISCOUNT)
    assert (refused.status_code, refused.json()["code"]) == (409, "period_finalized")
    assert len(phases_of(tenant_id=tenant.id)) == 1
    later = {**DISCOUNT, "effective_from": billed.end.isoformat()}
    assert owner.api()("PATCH", "/tenants/acme/agreement", later).status_code == 200


def test_rerating_is_read_only(acme: Acme, owner: Person, teammate: Person, stranger: Person) -> None:
    path = "/tenants/acme/rerate"
    dear = {"rate_card": {"base_fee": "4900", "prices": []}}
    assert stranger.api().post(path, dear).status_code == 404
    answer = teammate.api().post(path, dear)
    assert answer.status_code == 200, answer.json()
    (line,) = answer.json()["lines"]
    assert line["key"] == "base_fee"
    assert answer.json()["total_after"] == line["after"]
    preview = owner.api().get("/tenants/acme/invoice-preview").json()
    assert preview["total"] == answer.json()["total_before"] == line["before"]
    assert teammate.api().post(path, {}).status_code == 422
    assert teammate.api().post(path, {"rate_card": "nope"}).status_code == 404
    assert teammate.api().post(path, {"rate_card": {"base_fee": 1.5}}).status_code == 422
    assert teammate.api().post(path, {"rate_card": {"base_fee": "1", "currency": "EUR"}}).status_code == 422
    published = teammate.api().post(path, {"rate_card": "starter", "overrides": DISCOUNT})
    assert published.status_code == 200
    assert published.json()["lines"][-1]["key"] == "discount loyal"


def test_published_rate_cards_are_listed(acme: Acme, owner: Person) -> None:
    catalogue_publish(actor="test", now=clock.now())
    assert catalogue_publish(actor="test", now=clock.now()) == []
    listed = owner.api().get("/rate-cards").json()["results"]
    assert [(row["key"], row["version"]) for row in listed] == [
        ("enterprise", 1),
        ("pro", 1),
        ("starter", 1),
    ]
    assert listed[2]["body"]["base_fee"] == "49"


def test_changed_prices_under_a_published_version_stop_the_start(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue_publish(actor="test", now=clock.now())
    catalogue = {"plans": {}, "rate_cards": {"starter": {"version": 1, "base_fee": "48"}}}
    monkeypatch.setattr(plans_module, "_catalogue", lambda: catalogue)
    plans.cache_clear()
    try:
        with pytest.raises(OperatorError, match="starter v1") as caught:
            catalogue_publish(actor="test", now=clock.now())
        assert "raise rate_card.version of starter to 2" in caught.value.hint
    finally:
        monkeypatch.undo()
        plans.cache_clear()


def test_the_agreement_follows_a_plan_once_it_has_been_applied(acme: Acme, owner: Person) -> None:
    tenant, provision = acme
    Operation.objects.filter(pk=provision.pk).update(state=operation_states.SUCCEEDED)
    Tenant.objects.filter(pk=tenant.pk).update(lifecycle=states.ACTIVE)
    _, update = tenant_update(
        principal=owner.principal, tenant=tenant, changes={"plan": "pro"}, now=clock.now()
    )
    assert update is not None
    assert StackSpec.model_validate(update.spec).plan == "pro"
    assert [phase.terms.plan for phase in phases_of(tenant_id=tenant.id)] == ["starter"], "not applied yet"
    for state, known in (
        (operation_states.FAILED, ["starter"]),
        (operation_states.SUCCEEDED, ["starter", "pro"]),
    ):
        update.state = state
        TenantSubject().finished(operation=update, now=clock.now())
        assert [phase.terms.plan for phase in phases_of(tenant_id=tenant.id)] == known


def test_an_agreement_ends_with_its_tenant(acme: Acme) -> None:
    tenant, operation = acme
    Tenant.objects.filter(pk=tenant.pk).update(lifecycle=states.DEPROVISIONING)
    operation.kind, operation.state = operation_states.DEPROVISION, operation_states.SUCCEEDED
    now = clock.now()
    TenantSubject().finished(operation=operation, now=now)
    (phase,) = phases_of(tenant_id=tenant.id)
    assert phase.end == now


def test_a_plan_in_another_currency_is_refused(
    acme: Acme, owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    pro = plans()["pro"]
    euro = pro.model_copy(update={"rate_card": {**pro.rate_card, "currency": "EUR"}})
    monkeypatch.setitem(plans(), "pro", euro)
    Tenant.objects.filter(pk=acme[0].pk).update(lifecycle=states.ACTIVE)
    with pytest.raises(ValidationFailed, match="priced in EUR"):
        tenant_update(principal=owner.principal, tenant=acme[0], changes={"plan": "pro"}, now=clock.now())
