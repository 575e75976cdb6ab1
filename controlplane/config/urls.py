"""Every path the control plane answers."""

from allauth.account.views import login, logout
from csp.decorators import csp_update
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from controlplane.config import probes
from controlplane.portal import passwords

# Swagger UI sets inline styles; for this page alone they are allowed. Its scripts are files of ours.
_swagger = csp_update({"style-src": ["'self'", "'unsafe-inline'"]})(
    SpectacularSwaggerSplitView.as_view(url_name="schema")
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", probes.healthz),
    path("readyz", probes.readyz),
    path("metrics", probes.metrics),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", _swagger, name="api-docs"),
    path("api/v1/", include("controlplane.api.urls")),
    # Only signing in and out: accounts are made by operators, so allauth's other pages are not reachable.
    path("account/login/", login, name="account_login"),
    path("account/logout/", logout, name="account_logout"),
    path("account/password/", passwords.PasswordAsk.as_view(), name="password-ask"),
    path("account/password/sent/", passwords.PasswordAsked.as_view(), name="password-asked"),
    path("account/password/done/", passwords.PasswordChosen.as_view(), name="password-chosen"),
    path("account/password/<uidb64>/<token>/", passwords.PasswordChoose.as_view(), name="password-choose"),
    path("", include("controlplane.portal.urls")),
]

handler400 = "controlplane.core.failures.bad_request"
handler403 = "controlplane.core.failures.permission_denied"
handler404 = "controlplane.core.failures.not_found"
handler500 = "controlplane.core.failures.server_error"
