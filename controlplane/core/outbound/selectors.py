"""Reads of endpoints. Their secrets are given to nobody again."""

from uuid import UUID

from controlplane.core.outbound.models import OutboundEndpoint


def endpoint_url(*, endpoint_id: UUID | None) -> str:
    """Where it posts to; empty for none."""
    if endpoint_id is None:
        return ""
    return OutboundEndpoint.objects.filter(pk=endpoint_id).values_list("url", flat=True).first() or ""
