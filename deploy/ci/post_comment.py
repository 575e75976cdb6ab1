"""Posts the preview's comment to the pull or merge request that this job runs for: one comment, edited in place.

    python deploy/ci/post_comment.py previews/comment.md

Runs on a bare Python 3.11: a CI job has nothing installed yet. Which service it talks to follows from the variables
that the service sets for its jobs; beside them it needs a token that may write comments (GITHUB_TOKEN, or
GITLAB_TOKEN with the scope `api`).
"""

import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARKER = "<!-- freehold-preview -->"
TIMEOUT_S = 30
ATTEMPTS = 4
#: Answers after which the same request may succeed.
AGAIN = (429, 500, 502, 503, 504)


class PostError(Exception):
    """The text says what to do."""


@dataclass(frozen=True)
class Service:
    """Where comments of one request are: `list_url` is read page by page, `edit_url` takes a comment's id."""

    name: str
    list_url: str
    edit_url: str
    edit_method: str
    headers: Mapping[str, str]


def service_of(env: Mapping[str, str]) -> Service:
    """GitHub or GitLab, from the job's own variables. PostError names the one that is missing."""
    if env.get("GITHUB_ACTIONS"):
        root = f"{_need(env, 'GITHUB_API_URL')}/repos/{_need(env, 'GITHUB_REPOSITORY')}/issues"
        return Service(
            name="GitHub",
            list_url=f"{root}/{_pull_number(env)}/comments",
            edit_url=f"{root}/comments/{{id}}",
            edit_method="PATCH",
            headers={
                "Authorization": f"Bearer {_need(env, 'GITHUB_TOKEN')}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
    if env.get("GITLAB_CI"):
        request = _need(env, "CI_MERGE_REQUEST_IID")
        root = f"{_need(env, 'CI_API_V4_URL')}/projects/{_need(env, 'CI_PROJECT_ID')}/merge_requests/{request}/notes"
        return Service(
            name="GitLab",
            list_url=root,
            edit_url=f"{root}/{{id}}",
            edit_method="PUT",
            headers={"PRIVATE-TOKEN": _need(env, "GITLAB_TOKEN")},
        )
    raise PostError("neither GITHUB_ACTIONS nor GITLAB_CI is set: run this in a job of one of the two")


def comment_post(service: Service, body: str) -> str:
    """`edited` or `posted`. An earlier comment is found by its marker, on whichever page it is."""
    if not body.startswith(MARKER):
        raise PostError(f"the comment does not begin with {MARKER}: write it with `freehold preview --out`")
    for comment in _comments(service):
        if str(comment.get("body", "")).startswith(MARKER):
            _call(service, service.edit_method, service.edit_url.format(id=comment["id"]), {"body": body})
            return "edited"
    _call(service, "POST", service.list_url, {"body": body})
    return "posted"


def _comments(service: Service) -> Iterator[dict[str, Any]]:
    url: str | None = f"{service.list_url}?per_page=100"
    while url:
        rows, link = _call(service, "GET", url)
        yield from rows
        found = re.search(r'<([^>]+)>;\s*rel="next"', link)
        url = found.group(1) if found else None


def _call(service: Service, method: str, url: str, body: Any = None) -> tuple[Any, str]:
    """(the answer, its Link header). What may pass is tried again, at most ATTEMPTS times in all."""
    data = None if body is None else json.dumps(body).encode()
    headers = {**service.headers, "Content-Type": "application/json", "User-Agent": "freehold-preview"}
    for attempt in range(1, ATTEMPTS + 1):
        # Not _call's caller but the service chose the address: the job's own variables.
        request = urllib.request.Request(url, data=data, headers=headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return json.loads(answer.read() or b"null"), answer.headers.get("Link", "") or ""
        except urllib.error.HTTPError as error:
            told = f"{service.name} answered {error.code} to {method} {url}"
            if error.code not in AGAIN:
                raise PostError(f"{told}: {error.read()[:500].decode('utf-8', 'replace')}") from error
        except (urllib.error.URLError, TimeoutError) as error:
            told = f"{service.name} does not answer to {method} {url}: {error}"
        if attempt < ATTEMPTS:
            time.sleep(float(os.environ.get("FREEHOLD_CI_RETRY_S", "2")) * attempt)
    raise PostError(f"{told}, {ATTEMPTS} times")


def _pull_number(env: Mapping[str, str]) -> int:
    event = json.loads(Path(_need(env, "GITHUB_EVENT_PATH")).read_text(encoding="utf-8"))
    try:
        return int(event["pull_request"]["number"])
    except (KeyError, TypeError) as error:
        raise PostError("this job runs for no pull request: use it with `on: pull_request`") from error


def _need(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise PostError(f"{name} is not set")
    return value


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        body = Path(argv[0]).read_text(encoding="utf-8")
        print(f"comment {comment_post(service_of(os.environ), body)}")
    except (PostError, OSError) as error:
        print(f"post_comment: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
