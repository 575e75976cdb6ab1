"""The shapes of snapshots as the OpenAPI document shows them. Documentation only, as in shapes.py."""

# mypy: disable-error-code="assignment"

from rest_framework import serializers
from rest_framework.serializers import CharField, DateTimeField, IntegerField, UUIDField

from controlplane.api.shapes import ChoicesField, Shape
from controlplane.tenants.snapshots import states


class SnapshotFileShape(Shape):
    name = CharField()
    component = CharField(help_text="postgres, vector_store or cache")
    bytes = IntegerField(help_text="size of the sealed file")
    sha256 = CharField(help_text="of the sealed file")
    items = IntegerField(help_text="rows, or keys")


class SnapshotShape(Shape):
    """A copy of a tenant's data at one moment, sealed at rest; it may outlive the tenant."""

    id = UUIDField()
    tenant = CharField(help_text="slug of the tenant whose data it is")
    tenant_id = UUIDField()
    operation = UUIDField(help_text="which took it")
    # The words of an operation have the enumeration `kind` to themselves.
    kind = CharField(help_text="manual, or final: taken before its tenant was destroyed")
    state = ChoicesField(*states.STATES)
    reason = CharField(allow_blank=True)
    size_bytes = IntegerField()
    files = SnapshotFileShape(many=True)
    versions = serializers.DictField(child=CharField())
    created_at = DateTimeField()
    completed_at = DateTimeField(allow_null=True)
    expires_at = DateTimeField(allow_null=True, help_text="removed after this moment")
    removed_at = DateTimeField(allow_null=True)
