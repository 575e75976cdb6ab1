"""The shapes of tenants, operations, keys and the audit log as the OpenAPI document shows them.

Documentation only: nothing is rendered through these serializers. tests/controlplane/api/test_document.py holds
the API's real answers against them.
"""

# A member may have the name of an attribute of serializers (`errors`, `data`): DRF keeps declared fields apart.
# mypy: disable-error-code="assignment"

from functools import cache
from typing import Any

from drf_spectacular.drainage import set_override
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers
from rest_framework.serializers import BooleanField, CharField, DateTimeField, IntegerField, UUIDField

from controlplane.accounts import roles
from controlplane.operations import states as operation_states
from controlplane.tenants import states
from controlplane.tenants.runtime_tokens import RUNTIME_ROLES


# No docstring: the document would show it for every shape without one of its own.
class Shape(serializers.Serializer[Any]):
    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        set_override(cls, "component_name", cls.__name__.removesuffix("Shape"))


class ChoicesField(serializers.ChoiceField):
    """One of a few words."""

    def __init__(self, *words: str, **kwargs: Any) -> None:
        super().__init__(choices=[(word, word) for word in words], **kwargs)


@extend_schema_field(OpenApiTypes.ANY)
class AnyField(serializers.JSONField):
    """Any JSON value."""


class FieldProblemShape(Shape):
    pointer = CharField(help_text="RFC 6901 pointer into the body, or the name of a parameter")
    detail = CharField()


class ProblemShape(Shape):
    """RFC 9457. Some problems add members of their own, such as `required_scope`."""

    type = CharField(help_text="a URI that names the kind of problem; it ends in `code`")
    title = CharField()
    status = IntegerField()
    detail = CharField()
    code = CharField(help_text="stable, for programs")
    hint = CharField(required=False, allow_blank=True, help_text="what to do next")
    errors = FieldProblemShape(many=True, required=False)
    request_id = CharField(required=False)


@cache
def page_of(shape: type[Shape]) -> serializers.Serializer[Any]:
    """`{results, next, previous}` around a shape; the links are absolute, and null at the ends."""
    fields = {
        "results": shape(many=True),
        "next": serializers.URLField(allow_null=True),
        "previous": serializers.URLField(allow_null=True),
    }
    return inline_serializer(f"{shape.__name__.removesuffix('Shape')}Page", fields=fields)


class StackShape(Shape):
    name = CharField()
    program_version = CharField(
        allow_null=True, help_text="the runtime's release that the last operation brought"
    )
    state_version = IntegerField()
    last_operation = UUIDField(allow_null=True)


class TenantShape(Shape):
    id = UUIDField()
    slug = CharField()
    name = CharField()
    plan = CharField()
    target = CharField()
    region = CharField(allow_blank=True)
    contact_email = CharField(allow_blank=True)
    lifecycle = ChoicesField(*states.LIFECYCLES)
    health = ChoicesField(*states.HEALTHS)
    billing = ChoicesField(*states.STANDINGS)
    labels = serializers.DictField(child=CharField(allow_blank=True))
    overrides = serializers.DictField(child=AnyField())
    deletion_protection = BooleanField()
    runtime_version = CharField(help_text="the runtime's release that it is pinned to")
    runtime_url = serializers.URLField(allow_null=True, help_text="null until the tenant is provisioned")
    stack = StackShape()
    created_at = DateTimeField()
    updated_at = DateTimeField()


class StepShape(Shape):
    name = CharField()
    state = ChoicesField(*operation_states.STEP_STATES)
    started_at = DateTimeField(allow_null=True)
    finished_at = DateTimeField(allow_null=True)
    detail = CharField(allow_blank=True)
    resources = serializers.DictField(
        child=IntegerField(), help_text="how many by what was planned or done; `failed` beside them"
    )
    diagnostics = serializers.DictField(child=IntegerField(), help_text="how many by severity")


class ProgressShape(Shape):
    done = IntegerField()
    total = IntegerField()


class PlanSummaryShape(Shape):
    create = IntegerField()
    update = IntegerField()
    replace = IntegerField()
    delete = IntegerField()
    same = IntegerField()


class CostShape(Shape):
    monthly_before = CharField(allow_null=True, help_text="decimal; null before a plan was computed")
    monthly_after = CharField(allow_null=True)
    currency = CharField()
    unknown = IntegerField(help_text="resources without a known price: the sums are at least this much")


class OperationErrorShape(Shape):
    """Why an operation failed; it may add members, such as the resource's URN."""

    code = CharField()
    title = CharField()
    detail = CharField(allow_blank=True)
    hint = CharField(allow_blank=True)


class OperationShape(Shape):
    id = UUIDField()
    kind = ChoicesField(*operation_states.KINDS)
    state = ChoicesField(*operation_states.STATES)
    tenant = CharField(help_text="slug")
    reason = CharField(allow_blank=True)
    requested_by = CharField()
    approved_by = CharField(allow_null=True)
    requires_approval = BooleanField()
    second_person = BooleanField(help_text="whoever requested it may not approve it")
    arguments = serializers.DictField(
        child=AnyField(), help_text="what the request chose beside the kind, such as `snapshot`"
    )
    priority = IntegerField(help_text="smaller goes first")
    queue_position = IntegerField(allow_null=True, help_text="1 is next; null when it does not wait")
    waiting_for = CharField(allow_null=True)
    steps = StepShape(many=True)
    progress = ProgressShape()
    plan_id = UUIDField(allow_null=True, help_text="the newest plan; `approve` names it")
    plan_summary = PlanSummaryShape(allow_null=True)
    cost = CostShape()
    attempt = IntegerField()
    error = OperationErrorShape(allow_null=True)
    created_at = DateTimeField()
    started_at = DateTimeField(allow_null=True)
    finished_at = DateTimeField(allow_null=True)


class OperationAnswerShape(Shape):
    """What a request for long work answers."""

    operation = OperationShape()
    tenant = TenantShape(required=False)


class TenantOperationAnswerShape(Shape):
    tenant = TenantShape()
    operation = OperationShape()


class OperationVerbAnswerShape(OperationShape):
    """The operation's own fields, and the operation again as every 202 has it."""

    # A second shape with the same words under the same name would cost the words their own name.
    state = CharField(help_text="as `operation.state`")
    operation = OperationShape()


class EventShape(Shape):
    """One line of an operation's timeline. `id` grows; give the last one seen to resume."""

    id = IntegerField()
    at = DateTimeField()
    type = CharField(help_text="state, step, resource, diagnostic, ...")
    data = serializers.DictField(child=AnyField())


class ResourceShape(Shape):
    urn = CharField()
    type = CharField()
    name = CharField()
    id = CharField(allow_blank=True)
    parent = CharField(allow_blank=True)


class HealthCheckShape(Shape):
    name = CharField()
    ok = BooleanField()
    detail = CharField(allow_blank=True)


class ComponentHealthShape(Shape):
    name = CharField(help_text="runtime, postgres, redis, vector_store, model or gpu")
    health = ChoicesField(*states.HEALTHS)
    since = DateTimeField()
    checked_at = DateTimeField(allow_null=True)
    latency_ms = IntegerField(allow_null=True, help_text="of the last look; null when it got no answer")
    detail = CharField(allow_blank=True)
    uptime_30d = CharField(allow_null=True)
    uptime_90d = CharField(allow_null=True)


class HealthChangeShape(Shape):
    at = DateTimeField()
    component = CharField(allow_null=True, help_text="null: the tenant as a whole")
    health = ChoicesField(*states.HEALTHS)
    detail = CharField(allow_blank=True)


class TenantHealthShape(Shape):
    health = ChoicesField(*states.HEALTHS)
    explanation = CharField(help_text="which component made the tenant what it is, in words")
    components = ComponentHealthShape(many=True)
    checks = HealthCheckShape(many=True)
    checked_at = DateTimeField(allow_null=True)
    uptime_30d = CharField(allow_null=True, help_text="decimal share of the known time, such as 0.99950")
    uptime_90d = CharField(allow_null=True, help_text="decimal share of the known time, such as 0.99950")
    history = HealthChangeShape(many=True)


class ComponentShape(Shape):
    name = CharField()
    kind = CharField()
    summary = CharField()
    details = serializers.DictField(child=AnyField())


class BillableShape(Shape):
    """What exists and costs while it exists."""

    meter = CharField()
    slot = IntegerField()
    resource = CharField()
    dimensions = serializers.DictField(child=CharField())
    since = DateTimeField(required=False, allow_null=True, help_text="when it began, as the target saw it")


class StackExportShape(Shape):
    """A stack as a preview elsewhere plans it. Where a secret stood stands a placeholder of its shape."""

    spec = serializers.DictField(help_text="the StackSpec of contracts/stack.py")
    secrets = serializers.ListField(child=CharField(), help_text="secrets that the program is given, by name")
    deployment = serializers.DictField(
        allow_null=True, help_text="the state as the Pulumi CLI exports it; null for a stack without one"
    )


class TenantOutputsShape(Shape):
    """What the stack exports; of secrets only the names."""

    schema_version = IntegerField(required=False)
    runtime_url = serializers.URLField(allow_null=True)
    components = ComponentShape(many=True)
    billable = BillableShape(many=True)
    ended = serializers.DictField(
        child=DateTimeField(),
        required=False,
        help_text="meter: when its last resource ended, while suspended",
    )
    secrets = serializers.ListField(child=CharField())


class TenantCredentialsShape(Shape):
    runtime_url = serializers.URLField()
    api_key = CharField(help_text="shown this once")
    role = serializers.ChoiceField(choices=RUNTIME_ROLES)


class TenantWebhookSecretShape(Shape):
    secrets = serializers.ListField(child=CharField(), help_text="newest first; `whsec_` and base64")


class RuntimeTokenShape(Shape):
    runtime_url = serializers.URLField()
    token = CharField(help_text="a JWT; the runtime takes it as it takes a key")
    role = CharField()
    user = CharField(help_text="whose threads and runs it sees")
    expires_at = serializers.DateTimeField()


class TargetShape(Shape):
    key = CharField()
    name = CharField(required=False)
    description = CharField(required=False)
    regions = serializers.ListField(child=CharField(), required=False)


class LimitsShape(Shape):
    agents = IntegerField()
    users = IntegerField()
    concurrent_runs = IntegerField()
    storage_gb = IntegerField()


class PlanShape(Shape):
    key = CharField()
    name = CharField()
    description = CharField()
    deletion_protection = BooleanField()
    approval = ChoicesField("always", "stateful", "never")
    approval_by_kind = serializers.DictField(
        child=ChoicesField("always", "stateful", "never"), help_text="kind of operation: its own rule"
    )
    approval_production = BooleanField(help_text="tenants labelled environment=production: every change")
    final_snapshot = BooleanField(help_text="whether a last snapshot is taken before a tenant is destroyed")
    final_snapshot_optional = BooleanField(help_text="whether the one who deletes may do without")
    approval_cost_increase = CharField(
        allow_null=True, help_text="by how much a change may raise the monthly cost without approval; decimal"
    )
    sizes = serializers.DictField(
        child=serializers.DictField(child=AnyField()), help_text="part of the stack: its settings"
    )
    limits = LimitsShape()
    rate_card = serializers.DictField(child=AnyField(), help_text="prices are decimal strings")


class ApiKeyShape(Shape):
    id = UUIDField()
    name = CharField()
    prefix = CharField(help_text="the public start of the key")
    scopes = serializers.ListField(child=ChoicesField(*sorted(roles.SCOPES)))
    tenant_ids = serializers.ListField(child=UUIDField(), allow_null=True, help_text="null: every tenant")
    created_by = CharField()
    created_at = DateTimeField()
    expires_at = DateTimeField(allow_null=True)
    revoked_at = DateTimeField(allow_null=True)
    last_used_at = DateTimeField(allow_null=True)


class ApiKeyCreatedShape(ApiKeyShape):
    api_key = CharField(help_text="shown this once")


class AuditSubjectShape(Shape):
    type = CharField()
    id = CharField()


class AuditEventShape(Shape):
    """`hash` covers this event and the hash before it."""

    sequence = IntegerField()
    at = DateTimeField()
    actor = CharField()
    action = CharField()
    subject = AuditSubjectShape()
    data = serializers.DictField(child=AnyField())
    hash = CharField()


class AuditVerifyShape(Shape):
    checked = IntegerField()
    broken_at = IntegerField(allow_null=True, help_text="sequence of the first event that does not fit")
    ok = BooleanField()
