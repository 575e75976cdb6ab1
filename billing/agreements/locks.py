"""Locks of agreements: the agreement's row before any of its phases; one publication of a key at a time."""

from uuid import UUID

from django.db import connection

from billing.agreements.models import Agreement


def agreement_lock(*, tenant_id: UUID) -> Agreement | None:
    """Locked until the transaction ends; None for a tenant without one."""
    return Agreement.objects.select_for_update().filter(tenant_id=tenant_id).first()


def rate_card_key_lock(key: str) -> None:
    """Nobody else publishes under this key until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"rate_card {key}"])
