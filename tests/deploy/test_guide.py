"""What the guide tells an operator to do, done."""

import re
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings as product

from controlplane.operations.fence import fence_bar, fence_drop, fence_raise
from tests.support.services import RunningPostgres

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "deploy-on-kubernetes.md"


def test_the_databases_of_the_guide_fence_every_run(
    postgres_server: RunningPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = re.search(r"^```sql\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert script is not None
    # The test server's own database has the name of the guide's.
    statements = re.sub(r"\bfreehold\b", "guide_freehold", script[1]).split(";")
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        for statement in filter(str.strip, statements):
            connection.execute(statement.encode())
    place = postgres_server.url("pulumi_state").rpartition("@")[2]
    url = f"postgres://pulumi_state:another@{place}"
    monkeypatch.setattr(product, "PULUMI_BACKEND_URL", url)
    operation, lease = uuid4(), uuid4()
    fenced = fence_raise(operation_id=operation, lease_token=lease)
    assert fenced != url, "the run got the common login"
    assert quote("freehold_run_") in fenced
    with psycopg.connect(fenced.replace("postgres://", "postgresql://", 1), autocommit=True) as run:
        run.execute("CREATE TABLE state (id int)")
        assert fence_bar(operation_id=operation)
        with pytest.raises(psycopg.OperationalError):
            run.execute("INSERT INTO state VALUES (1)")
    fence_drop(operation_id=operation, lease_token=lease)
