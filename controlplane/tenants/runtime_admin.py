"""Asking a tenant's runtime for something that only the control plane may (`/admin/*`)."""

from collections.abc import Mapping
from typing import Any

import httpx

from controlplane.tenants.models import Tenant
from controlplane.tenants.rotation import EARLIER, credentials_read


def runtime_admin_post(
    *, tenant: Tenant, path: str, body: Mapping[str, Any], timeout_s: float = 10
) -> dict[str, Any]:
    """The answer's JSON object. Raises httpx.HTTPError where the runtime does not answer or refuses, ValueError where
    it answers something else."""
    sealed = credentials_read(tenant)
    # While credentials change hands, an older process may answer, which knows the earlier key alone.
    for admin_key in (sealed["runtime_admin_key"], *sealed.get(EARLIER, [])):
        response = httpx.post(
            f"{tenant.runtime_url}/admin/{path}",
            json=dict(body),
            headers={"x-api-key": admin_key},
            timeout=timeout_s,
            follow_redirects=False,
        )
        if response.status_code != 401:
            break
    response.raise_for_status()
    answer = response.json()
    if not isinstance(answer, dict):
        raise ValueError("the runtime answered something that is no object")
    return answer
