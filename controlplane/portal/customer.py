"""A tenant's own people who sign in: the same pages as behind a link, of their one tenant."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from controlplane.accounts.models import User
from controlplane.accounts.selectors import customer_of_user
from controlplane.core.errors import FreeholdError, NotFound, ValidationFailed
from controlplane.portal import customer_pages
from controlplane.portal.pages import failure
from controlplane.portal.spoken import spoken
from controlplane.portal.visitors import TITLES, CustomerPage, Visitor


def signed_in(view: CustomerPage) -> Callable[..., HttpResponse]:
    """For customers alone: the vendor's own people have the whole portal, and find nothing here."""

    safe = require_safe(view)

    @wraps(view)
    def answer(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if not isinstance(request.user, User) or not request.user.is_active:
            return redirect_to_login(request.get_full_path())
        who = None
        try:
            who = customer_of_user(user=request.user)
            if who is None:
                raise NotFound(
                    _("These pages are for a tenant's own people."),
                    hint=_("What they see is told in a tenant's settings, under Customer access."),
                )
            places = {page: reverse(f"portal:customer-{page}") for page in TITLES}
            visitor = Visitor(team_id=who.team_id, tenant_id=who.tenant_id, places=places, email=who.email)
            response = safe(request, visitor, **kwargs)
        except ValidationFailed as error:
            told = NotFound(_("There is no report for that."), hint=spoken(error.detail))
            response = failure(request, told, outside=who is not None)
        except FreeholdError as error:
            response = failure(request, error, outside=who is not None)
        response.headers["Cache-Control"] = "private, no-store"
        response.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
        return response

    return answer


customer_usage = signed_in(customer_pages.usage_page)
customer_usage_file = signed_in(customer_pages.usage_page_file)
customer_invoices = signed_in(customer_pages.invoices_page)
customer_invoice = signed_in(customer_pages.invoice_page)
customer_invoice_file = signed_in(customer_pages.invoice_page_file)
customer_health = signed_in(customer_pages.health_page)
customer_agents = signed_in(customer_pages.agents_page)
