"""The shapes of members and invitations as the OpenAPI document shows them. Documentation only, as in shapes.py."""

from rest_framework import serializers
from rest_framework.serializers import BooleanField, CharField, DateTimeField, UUIDField

from controlplane.accounts import roles
from controlplane.api.shapes import Shape


class MemberShape(Shape):
    user_id = UUIDField()
    email = CharField()
    name = CharField()
    role = CharField(help_text=", ".join(roles.ROLES))
    tenant_ids = serializers.ListField(child=UUIDField(), allow_null=True, help_text="null: every tenant")
    member_since = DateTimeField()
    last_login_at = DateTimeField(allow_null=True)


class InvitationShape(Shape):
    id = UUIDField()
    email = CharField()
    role = CharField(help_text=", ".join(roles.ROLES))
    tenant_ids = serializers.ListField(child=UUIDField(), allow_null=True, help_text="null: every tenant")
    created_by = CharField()
    created_at = DateTimeField()
    expires_at = DateTimeField()


class InvitationCreatedShape(InvitationShape):
    url = CharField(help_text="the link, shown this once")
    mailed = BooleanField(help_text="whether it is on its way by e-mail, too")
