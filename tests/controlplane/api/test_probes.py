"""/healthz and /readyz, and addresses that are not there."""

from typing import Any

import pytest
from django.test import Client


@pytest.mark.django_db
def test_without_redis_it_says_that_operations_wait(settings: Any) -> None:
    assert Client().get("/readyz").json()["status"] == "ok"
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["detail"] == "Operations wait until Redis is back."


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_are_only_read(path: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/", "/api/v1/tenants/"])
def test_what_is_not_there_is_a_problem_document(db: None, path: str) -> None:
    answer = Client().get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
