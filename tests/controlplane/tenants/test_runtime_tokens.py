"""Tokens for a tenant's runtime, checked as the runtime checks them: roles, other people, rotations, refusals."""

import re
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest

from contracts.runtime import TOKEN_ISSUER
from controlplane.accounts import roles
from controlplane.core import clock
from controlplane.core.models import AuditEvent
from controlplane.operations import leases, transitions
from controlplane.operations.models import Operation
from controlplane.tenants.lifecycle import stack_secrets_of
from controlplane.tenants.models import Tenant
from controlplane.tenants.rotation import credentials_read
from controlplane.tenants.token_keys import BEFORE, CURRENT
from tenant_runtime.access.principals import Principal as RuntimePrincipal
from tenant_runtime.access.public_keys import jwks_read
from tenant_runtime.access.tokens import TokenRefused, token_principal
from tests.support.people import ApiClient, Person, person_make

Acme = tuple[Tenant, Operation]


def jwks(tenant: Tenant) -> str:
    """What an operation would bring to the stack now."""
    tenant.refresh_from_db()
    found = stack_secrets_of(tenant).runtime_token_keys
    assert found is not None
    return found


def issue(person: Person, **asked: str) -> Any:
    return person.api().post("/tenants/acme/tokens", asked)


def checked(token: str, keys: str, audience: str = "acme") -> RuntimePrincipal:
    now = datetime.now(UTC)
    return token_principal(token, keys=jwks_read(keys), issuer=TOKEN_ISSUER, audience=audience, now=now)


def test_each_role_gets_its_own(active: Tenant, owner: Person, teammate: Person) -> None:
    operator = person_make("olga@example.com", owner.team, roles.OPERATOR)
    subjects = set()
    for person, role in ((owner, "admin"), (operator, "operator"), (teammate, "auditor")):
        answer = issue(person)
        assert answer.status_code == 200, answer.content
        assert answer.headers["Cache-Control"] == "no-store"
        body = answer.json()
        found = checked(body["token"], jwks(active))
        assert (found.role, body["role"], found.id) == (role, role, body["user"])
        subjects.add(found.id)
        event = AuditEvent.objects.filter(action="tenant.token_issued").latest("sequence")
        assert (event.data["role"], event.data["user"]) == (role, found.id)
        assert body["token"] not in str(event.data)
    assert len(subjects) == 3


def test_less_may_be_asked_for_and_not_more(active: Tenant, owner: Person, teammate: Person) -> None:
    assert checked(issue(owner, role="auditor").json()["token"], jwks(active)).role == "auditor"
    before = AuditEvent.objects.count()
    operator = person_make("olga@example.com", owner.team, roles.OPERATOR)
    made = AuditEvent.objects.count() - before
    for person, asked, status in (
        (operator, {"role": "admin"}, 403),
        (teammate, {"role": "user"}, 403),
        (teammate, {"user": "customer-7"}, 403),
        (owner, {"role": "root"}, 422),
        (owner, {"user": "customer-7", "role": "operator"}, 403),
        (owner, {"user": "person:1"}, 422),
        (owner, {"user": "a b"}, 422),
    ):
        assert issue(person, **asked).status_code == status, asked
    assert AuditEvent.objects.count() == before + made


def test_a_vendor_lets_its_customers_people_in(active: Tenant, owner: Person) -> None:
    body = issue(owner, user="customer-7").json()
    assert checked(body["token"], jwks(active)) == RuntimePrincipal("customer-7", "user")
    with pytest.raises(TokenRefused):
        checked(body["token"], jwks(active), audience="globex")


def test_strangers_and_tenants_that_are_not_active(acme: Acme, owner: Person, stranger: Person) -> None:
    assert issue(owner).status_code == 409
    assert issue(stranger).status_code == 404
    assert ApiClient(None).post("/tenants/acme/tokens").status_code == 401
    assert not AuditEvent.objects.filter(action="tenant.token_issued").exists()


def test_a_rotation_leaves_no_moment_without_good_tokens(active: Tenant, owner: Person) -> None:
    """The runtime has the old keys until the operation is over: until then tokens are signed with the old one."""
    running = jwks(active)
    owner.api().post("/tenants/acme/rotate-credentials", {})
    during = issue(owner).json()["token"]
    assert checked(during, running)
    brought = jwks(active)
    assert checked(during, brought), "the new process takes what the old one took"
    operation = leases.operation_claim(worker="test", now=clock.now())
    assert operation is not None
    assert transitions.operation_apply_begin(operation=operation, now=clock.now())
    assert transitions.operation_succeed(operation=operation, now=clock.now())
    after = issue(owner).json()["token"]
    assert checked(after, brought)
    assert jwks(active) == brought, "nothing is left to bring"
    old, new = (jwt.get_unverified_header(token)["kid"] for token in (during, after))
    assert jwks_read(brought)[old].until is not None, "the old key ends by the clock"
    assert jwks_read(brought)[new].until is None
    assert "private" not in str(credentials_read(active)[BEFORE]), "nobody can sign with it any more"
    with pytest.raises(TokenRefused, match="kid"):
        checked(after, running)
    owner.api().post("/tenants/acme/rotate-credentials", {})
    assert old not in jwks_read(jwks(active)), "the next rotation drops it"


def test_the_private_key_stays_here(active: Tenant) -> None:
    private = credentials_read(active)[CURRENT]
    secrets = stack_secrets_of(active)
    assert private not in secrets.model_dump_json()
    assert not re.search(r'"d"', jwks(active))


def test_a_tenant_of_an_earlier_release_says_what_to_do(
    active: Tenant, owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    from controlplane.tenants import runtime_tokens

    known = credentials_read(active)
    monkeypatch.setattr(
        runtime_tokens, "credentials_read", lambda tenant: {k: v for k, v in known.items() if k != CURRENT}
    )
    answer = issue(owner)
    assert (answer.status_code, answer.json()["code"]) == (409, "token_key_missing")
    assert "rotate-credentials" in answer.json()["hint"]
