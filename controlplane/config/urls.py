"""Every path the control plane answers."""

from allauth.account.views import login, logout
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from controlplane.config import probes

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", probes.healthz),
    path("readyz", probes.readyz),
    path("metrics", probes.metrics),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="api-docs"),
    path("api/v1/", include("controlplane.api.urls")),
    # Only signing in and out: accounts are made by operators, so allauth's other pages are not reachable.
    path("account/login/", login, name="account_login"),
    path("account/logout/", logout, name="account_logout"),
    path("", include("controlplane.portal.urls")),
]

handler400 = "controlplane.config.failures.bad_request"
handler403 = "controlplane.config.failures.permission_denied"
handler404 = "controlplane.config.failures.not_found"
handler500 = "controlplane.config.failures.server_error"
