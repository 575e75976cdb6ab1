"""Every lock this room takes, in the order it may be taken: tenant rows, operation rows, the audit head.

The audit head comes last, because every change writes an audit row just before it commits.
"""

from controlplane.core.models import AuditHead


def audit_head_lock() -> AuditHead:
    """The chain's head, locked until the transaction ends: audit rows are numbered one after another."""
    AuditHead.objects.get_or_create(pk=1)
    return AuditHead.objects.select_for_update().get(pk=1)
