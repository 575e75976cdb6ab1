"""The proxy that eats commits does exactly that: what the server has done and what the client knows are two things."""

import psycopg
import pytest

from tests.billing.crash.site import Site
from tests.support.commit_proxy import CommitProxy

pytestmark = [pytest.mark.engine, pytest.mark.crash]


@pytest.fixture
def url(site: Site, proxy: CommitProxy) -> str:
    return site.url(site.database()).replace(f":{site.server.port}/", f":{proxy.port}/")


def _commit_one(url: str, number: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO seen VALUES (%s)", [number])


def _seen(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT number FROM seen ORDER BY number").fetchall()]


def test_first_the_answer_then_the_request_of_a_commit_is_eaten(url: str, proxy: CommitProxy) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE seen (number integer)")
    proxy.every = 1
    for number in (1, 2, 3):
        with pytest.raises(psycopg.OperationalError):
            _commit_one(url, number)
    proxy.every = 0
    assert _seen(url) == [1, 3], "the server had committed what only its answer was eaten of"
    assert proxy.eaten == {"answer": 2, "request": 1}


def test_a_statement_that_commits_by_itself_loses_its_answer_too(url: str, proxy: CommitProxy) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE seen (number integer)")
        proxy.every = 1
        with pytest.raises(psycopg.OperationalError):
            connection.execute("INSERT INTO seen VALUES (1)")
    proxy.every = 0
    assert _seen(url) == [1]


def test_everything_else_passes_through(url: str, proxy: CommitProxy) -> None:
    proxy.every = 2
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE seen (number integer)")
        with connection.cursor().copy("COPY seen FROM STDIN") as copy:
            for number in range(5000):
                copy.write_row([number])
    proxy.every = 0
    assert _seen(url) == list(range(5000))
