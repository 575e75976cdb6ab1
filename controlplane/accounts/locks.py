"""Every lock of this room, in the order it may be taken: keys, then the audit head."""

from uuid import UUID

from controlplane.accounts.models import ApiKey


def api_key_lock(*, team_id: UUID, api_key_id: UUID) -> ApiKey | None:
    return ApiKey.objects.select_for_update().filter(pk=api_key_id, team_id=team_id).first()
