"""Who calls the API: an API key in `Authorization: Bearer`, or the portal's session with CSRF."""

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from controlplane.accounts.access import Principal
from controlplane.accounts.models import User
from controlplane.accounts.selectors import customer_of_user, principal_of_token, principal_of_user
from controlplane.core import clock
from controlplane.core.errors import NotAuthenticated, PermissionDenied

if TYPE_CHECKING:
    from rest_framework.views import APIView

_HINT = "Send `Authorization: Bearer fh_...`; keys are made under Access in the portal."


class ApiKeyAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        return principal_of_header(header), None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="freehold"'


def principal_of_header(header: str) -> Principal:
    """Raises NotAuthenticated for anything but a living key."""
    scheme, _, token = header.partition(" ")
    principal = None
    if scheme.lower() == "bearer":
        principal = principal_of_token(token=token.strip(), now=clock.now())
    if principal is None:
        raise NotAuthenticated(
            "The API key is unknown, expired or revoked.", code="invalid_api_key", hint=_HINT
        )
    return principal


class PortalSessionAuthentication(SessionAuthentication):
    """A signed-in person. Unsafe methods need the CSRF token, as in the portal."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        user = getattr(request._request, "user", None)
        if not isinstance(user, User) or not user.is_active:
            return None
        principal = principal_of_user(user=user)
        if principal is None:
            _customer_refuse(user)
            return None
        self.enforce_csrf(request)
        return principal, None


class IsAuthenticated(BasePermission):
    """Deny by default: nothing under /api/v1 answers without a principal."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not isinstance(request.user, Principal):
            raise NotAuthenticated("No API key and no session came with the request.", hint=_HINT)
        return True


def principal_of_request(request: HttpRequest) -> Principal:
    """The same decision for views outside DRF; only safe methods may use it, since it checks no CSRF."""
    header = request.META.get("HTTP_AUTHORIZATION", "")
    if header:
        return principal_of_header(header)
    user = getattr(request, "user", None)
    principal = principal_of_user(user=user) if isinstance(user, User) else None
    if principal is None:
        if isinstance(user, User):
            _customer_refuse(user)
        raise NotAuthenticated("No API key and no session came with the request.", hint=_HINT)
    return principal


def _customer_refuse(user: User) -> None:
    """Raises PermissionDenied for a tenant's own people, whose session is no use here."""
    if customer_of_user(user=user) is not None:
        raise PermissionDenied(
            "You signed in as a customer, and this is the operators' API.",
            hint="Your own pages are below /customer/.",
        )
