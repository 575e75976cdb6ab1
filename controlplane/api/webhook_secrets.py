"""/api/v1/tenants/{slug}/webhook-secret."""

from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts import roles
from controlplane.api import shapes
from controlplane.api.base import Api
from controlplane.api.document import SLUG, documented
from controlplane.core import clock
from controlplane.tenants import selectors
from controlplane.tenants.webhook_secrets import webhook_secrets_show


class TenantWebhookSecretApi(Api):
    scopes = {"POST": roles.TENANTS_WRITE}

    @documented(
        "tenants_webhook_secret",
        "Show what a tenant's runtime signs its webhooks with",
        tag="tenants",
        description="Secrets of Standard Webhooks, newest first; each message is signed with every one. Renewing the "
        "tenant's credentials adds a new one and keeps the one before. Each look is in the audit log.",
        request=None,
        parameters=[SLUG],
        answers={200: shapes.TenantWebhookSecretShape},
        problems=[404, 409],
    )
    def post(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        shown = webhook_secrets_show(principal=self.principal, tenant=tenant, now=clock.now())
        return Response(shown, headers={"Cache-Control": "no-store"})
