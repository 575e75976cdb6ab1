"""/healthz (the process lives), /readyz (it can serve), /metrics (Prometheus text)."""

from typing import Any

import redis
from django.conf import settings
from django.db import connection
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant


@csrf_exempt
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


@csrf_exempt
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """503 only when requests cannot be served. Without Redis the API and the portal work, but no operation starts:
    the doorbell and the sweep that makes up for a lost one both travel by it."""
    checks: dict[str, Any] = {}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        checks["database"] = "ok"
    except Exception as error:
        checks["database"] = type(error).__name__
    try:
        redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2).ping()
        checks["redis"] = "ok"
    except redis.RedisError as error:
        checks["redis"] = type(error).__name__
    ready = checks["database"] == "ok"
    degraded = ready and checks["redis"] != "ok"
    status = "degraded" if degraded else ("ok" if ready else "unavailable")
    answer: dict[str, Any] = {"status": status, "checks": checks}
    if degraded:
        answer["detail"] = "Operations wait until Redis is back."
    return JsonResponse(answer, status=200 if ready else 503)


@csrf_exempt
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Counts that say nothing about whom: safe to scrape without a key on the machine's own network."""
    lines = ["# HELP freehold_tenants Tenants by lifecycle.", "# TYPE freehold_tenants gauge"]
    for row in Tenant.objects.values("lifecycle").annotate(n=Count("pk")).order_by("lifecycle"):
        lines.append(f'freehold_tenants{{lifecycle="{row["lifecycle"]}"}} {row["n"]}')
    lines += ["# HELP freehold_operations Operations by state.", "# TYPE freehold_operations gauge"]
    for state in Operation.objects.values("state").annotate(n=Count("pk")).order_by("state"):
        lines.append(f'freehold_operations{{state="{state["state"]}"}} {state["n"]}')
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4; charset=utf-8")
