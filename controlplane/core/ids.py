"""Identifiers: UUIDv7 (RFC 9562), so that primary keys sort by creation."""

from uuid import UUID

import uuid_utils


def uuid7() -> UUID:
    return UUID(int=uuid_utils.uuid7().int)
