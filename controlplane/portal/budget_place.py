"""Whose budgets a page shows: a tenant's or those of the whole fleet, and the frame around them."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext

from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_allows, access_require_team
from controlplane.portal.budget_words import ACTION_TITLES, MEASURE_TITLES
from controlplane.portal.pages import show
from controlplane.portal.tenants import tenant_frame
from controlplane.tenants.models import Tenant
from controlplane.tenants.selectors import tenant_get


@dataclass(frozen=True)
class Place:
    """Whose budgets: a tenant's, or with None those of all tenants together."""

    principal: Principal
    tenant: Tenant | None

    @property
    def keys(self) -> dict[str, Any]:
        return {
            "team_id": self.principal.team_id,
            "tenant_id": None if self.tenant is None else self.tenant.id,
        }

    def url(self, name: str, *further: Any) -> str:
        if self.tenant is None:
            return reverse(f"portal:{name}", args=further)
        return reverse(f"portal:tenant-{name}", args=[self.tenant.slug, *further])

    def show(
        self,
        request: HttpRequest,
        template: str,
        context: dict[str, Any],
        *,
        title: str = "",
        status: int = 200,
    ) -> HttpResponse:
        shared = {
            "place": self,
            "list_url": self.url("budgets"),
            "new_url": self.url("budget-new"),
            "may_change": access_allows(self.principal, roles.BILLING_WRITE),
            "action_titles": {key: gettext(text) for key, text in ACTION_TITLES.items()},
            "measure_titles": {key: gettext(text) for key, text in MEASURE_TITLES.items()},
            "flag": f" --tenant {self.tenant.slug}" if self.tenant else "",
            "base": "portal/tenant_frame.html" if self.tenant else "portal/fleet_frame.html",
            "page_title": gettext("Budgets"),
            "leaf_title": title,
            "page_lead": gettext("How much all tenants together may cost in a month, and what happens then."),
        }
        if self.tenant is not None:
            return tenant_frame(
                request,
                self.principal,
                template,
                self.tenant,
                {**shared, **context},
                tab="tenant-budgets",
                leaf=title,
                status=status,
            )
        crumbs = (
            (gettext("Budgets"), self.url("budgets") if title else ""),
            *(((title, ""),) if title else ()),
        )
        return show(
            request,
            self.principal,
            template,
            {**shared, **context},
            section="budgets",
            crumbs=crumbs,
            status=status,
        )


def place_of(principal: Principal, slug: str | None) -> Place:
    if slug is None:
        access_require_team(principal)
        return Place(principal, None)
    return Place(principal, tenant_get(principal=principal, slug=slug))
