"""A large fleet for the portal to show: tenants, operations with steps, and months of usage in two of them."""

import os
import random
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, TypeVar

from benchmarks.ingest_senders import send_all, streams_of
from benchmarks.progress import say

T = TypeVar("T")
LIFECYCLES = ("active",) * 8 + ("suspended", "failed")
HEALTHS = ("healthy",) * 8 + ("degraded", "unknown")
KINDS = ("provision", "update", "preview", "refresh")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    waiting = iter(items)
    while some := list(islice(waiting, size)):
        yield some


@dataclass(frozen=True)
class Fleet:
    """Who may look at it, a tenant with usage, and an operation that is under way."""

    email: str
    password: str
    busy_tenant: str
    live_operation: Any
    sizes: dict[str, int]


def fleet_make() -> Fleet:
    from controlplane.accounts import roles
    from controlplane.accounts.models import Membership, User
    from controlplane.accounts.services import team_create
    from controlplane.core import clock

    tenants = int(os.environ.get("BENCH_TENANTS", "10000"))
    operations = int(os.environ.get("BENCH_OPERATIONS", "100000"))
    events = int(os.environ.get("BENCH_EVENTS", "5000000"))
    now = clock.now()
    team = team_create(name="Benchmark", actor="benchmark", now=now)
    email, password = "ada@example.com", secrets.token_urlsafe(16)
    user = User(email=email, name="Ada", created_at=now)
    user.set_password(password)
    user.save()
    Membership.objects.create(team=team, user=user, role=roles.OWNER, created_at=now)
    live = _stacks(team.id, tenants, operations, now)
    _books(now)
    streams = streams_of(events)
    send_all(streams, "accepted")
    _analyze()
    say(f"{tenants} tenants, {operations} operations, {events} events")
    sizes = {"tenants": tenants, "operations": operations, "events": events}
    return Fleet(email, password, streams[0].slug, live, sizes)


def _stacks(team_id: Any, tenants: int, operations: int, now: Any) -> Any:
    """Rows as the services leave them, written in bulk: a hundred thousand by the services would take hours."""
    from controlplane.core.ids import uuid7
    from controlplane.operations import states
    from controlplane.operations.models import Operation, Step
    from controlplane.tenants.models import Tenant

    chance = random.Random(7)  # noqa: S311 - made-up rows
    slugs = {stream.slug: stream.tenant_id for stream in streams_of(1)}
    names = [*slugs, *(f"customer-{number:05}" for number in range(tenants - len(slugs)))]
    made = [
        Tenant(
            id=slugs.get(slug) or uuid7(),
            team_id=team_id,
            slug=slug,
            name=slug.replace("-", " ").title(),
            plan=chance.choice(("starter", "pro")),
            target="local",
            region="local",
            lifecycle="active" if slug in slugs else chance.choice(LIFECYCLES),
            health=chance.choice(HEALTHS),
            created_at=now - timedelta(days=60, minutes=number),
            updated_at=now,
        )
        for number, slug in enumerate(names)
    ]
    for some in batched(made, 2000):
        Tenant.objects.bulk_create(some)
    for numbers in batched(range(operations), 2000):
        rows = []
        for number in numbers:
            at = now - timedelta(minutes=number + 1)
            rows.append(
                Operation(
                    tenant=made[number % len(made)],
                    kind=chance.choice(KINDS),
                    state=states.FAILED if chance.random() < 0.05 else states.SUCCEEDED,
                    requested_by="user:ada@example.com",
                    spec={"filled": "x" * 1500},
                    created_at=at,
                    queued_at=at,
                    started_at=at,
                    finished_at=at + timedelta(seconds=chance.uniform(5, 15)),
                )
            )
        Operation.objects.bulk_create(rows)
        Step.objects.bulk_create(
            Step(
                operation=row,
                index=index,
                name=name,
                state=states.STEP_SUCCEEDED,
                started_at=row.started_at,
                finished_at=row.finished_at,
            )
            for row in rows
            for index, name in enumerate((states.STEP_PLAN, states.STEP_APPLY))
        )
    live = Operation.objects.create(
        tenant=made[0], kind=states.UPDATE, state=states.APPLYING, requested_by="user:ada@example.com", spec={},
        created_at=now, queued_at=now, started_at=now,
    )  # fmt: skip
    Step.objects.create(
        operation=live, index=0, name=states.STEP_APPLY, state=states.STEP_RUNNING, started_at=now
    )
    return live


def _books(now: Any) -> None:
    """What each tenant earned and cost on the first two days of the month, and how long its GPU worked, as the clock
    posts it."""
    from django.db import transaction

    from billing.ledger import accounts
    from billing.ledger.models import JournalEntry, JournalTransaction, MonthGpu
    from billing.period import period_of
    from controlplane.tenants.models import Tenant

    chance = random.Random(11)  # noqa: S311 - made-up rows
    month = period_of(now)
    kinds = {
        "accrual": (accounts.CUSTOMER_ACCRUED, accounts.REVENUE),
        "cost_estimate": (accounts.COST_INFRASTRUCTURE_ESTIMATED, accounts.COST_CLEARING),
    }
    for tenants in batched(Tenant.objects.values_list("pk", flat=True), 1000):
        posted = [
            JournalTransaction(
                key=f"{kind}:{tenant_id}:{day}",
                kind=kind,
                at=now,
                tenant_id=tenant_id,
                currency="USD",
                service_start=month.start + timedelta(days=day),
                service_end=month.start + timedelta(days=day + 1),
                size=2,
                about="",
                data={"gpu": "1", "unknown": 0} if kind == "cost_estimate" else {},
            )
            for tenant_id in tenants
            for kind in kinds
            for day in range(2)
        ]
        entries = []
        for each in posted:
            amount = Decimal(chance.randrange(100, 90_000)).scaleb(-2)
            for position, (account, moved) in enumerate(
                zip(kinds[each.kind], (amount, -amount), strict=True)
            ):
                entries.append(
                    JournalEntry(transaction=each, position=position, account=account, amount=moved)
                )
        # A transaction without its entries is refused at the commit.
        with transaction.atomic():
            JournalTransaction.objects.bulk_create(posted)
            JournalEntry.objects.bulk_create(entries)
            MonthGpu.objects.bulk_create(
                MonthGpu(
                    month=month.start, tenant_id=tenant_id, paid=48, busy=chance.randrange(48), as_of=now
                )
                for tenant_id in tenants
            )


def _analyze() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
