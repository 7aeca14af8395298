"""One comment on a pull request, found again by its mark and updated: the only network of the gate.

Promises at most one comment of ours, never a change to anyone else's, a bounded answer, and the
token in a header alone. The pull request comes from the event that the service wrote, never from
data that a job made. Raises GadprofError, which names what was asked for and never the token.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gadprof.errors import ConfigError, GadprofError

API = "https://api.github.com"
MOST_BYTES = 8 << 20
PAGES = 20
OURS = "github-actions[bot]"


@dataclass(frozen=True)
class Service:
    """Where comments are posted: the API's address, the repository, the token, whose they are."""

    repository: str
    token: str
    api: str = API
    author: str = OURS

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repository):
            raise ConfigError(f"{self.repository[:80]!r} is no repository; give OWNER/NAME")
        if not re.match(r"https://|http://(127\.0\.0\.1|localhost)[:/]", self.api):
            raise ConfigError(f"{self.api[:80]!r} is no https address of an API")


def post(service: Service, number: int, body: str, mark: str) -> str:
    """Update our comment that begins with ``mark``, or make it: created, updated or same."""
    there = f"/repos/{service.repository}/issues/{number}/comments"
    for page in range(1, PAGES + 1):
        comments = _ask(service, "GET", f"{there}?per_page=100&page={page}")
        if not isinstance(comments, list):
            raise GadprofError(f"{there} answered with no list of comments")
        for comment in comments:
            if not _is_ours(comment, service.author, mark):
                continue
            if comment.get("body") == body:
                return "same"
            number_of_it = int(comment["id"])
            path = f"/repos/{service.repository}/issues/comments/{number_of_it}"
            _ask(service, "PATCH", path, {"body": body})
            return "updated"
        if len(comments) < 100:
            break
    _ask(service, "POST", there, {"body": body})
    return "created"


def _is_ours(comment: Any, author: str, mark: str) -> bool:
    """A comment by our author that begins with the mark; a stranger may write the mark too."""
    if not isinstance(comment, dict) or not isinstance(comment.get("body"), str):
        return False
    user = comment.get("user")
    login = user.get("login") if isinstance(user, dict) else None
    return login == author and comment["body"].startswith(mark) and type(comment["id"]) is int


def pull_request_of(service: Service, event: Mapping[str, Any]) -> int:
    """The pull request of a ``pull_request`` or ``workflow_run`` event. Raises ConfigError.

    A fork's run names none: it is the open one whose head is the run's own commit.
    """
    pull = event.get("pull_request")
    if isinstance(pull, dict) and type(pull.get("number")) is int:
        return int(pull["number"])
    run = event.get("workflow_run")
    if not isinstance(run, dict):
        raise ConfigError("the event is of no pull request; comment from pull_request or "
                          "workflow_run")  # fmt: skip
    sha, branch = str(run.get("head_sha", "")), str(run.get("head_branch", ""))
    owner = str(((run.get("head_repository") or {}).get("owner") or {}).get("login", ""))
    if not re.fullmatch(r"[0-9a-f]{40,64}", sha) or not re.fullmatch(r"[\w.-]+", owner):
        raise ConfigError("the event's workflow_run names no commit and owner")
    head = urllib.request.quote(f"{owner}:{branch}", safe="")  # type: ignore[attr-defined]
    listed = _ask(service, "GET", f"/repos/{service.repository}/pulls?state=open&head={head}")
    for found in listed if isinstance(listed, list) else []:
        if isinstance(found, dict) and (found.get("head") or {}).get("sha") == sha:
            return int(found["number"])
    raise ConfigError(f"no open pull request has the head {sha[:12]}; it may have moved on")


def _ask(service: Service, method: str, path: str, data: Any = None) -> Any:
    request = urllib.request.Request(
        service.api.rstrip("/") + path,
        method=method,
        data=None if data is None else json.dumps(data).encode(),
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {service.token}",
            "Content-Type": "application/json",
            "User-Agent": "gadprof",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        hint = ""
        if error.code in (401, 403):
            hint = "; the token may not write comments: give pull-requests: write, and for forks "
            hint += "use the workflow_run recipe"
        raise GadprofError(f"{method} {path} answered {error.code} {error.reason}{hint}") from None
    except (urllib.error.URLError, OSError) as error:
        raise GadprofError(f"{method} {path}: {getattr(error, 'reason', error)}") from None
    if len(text) > MOST_BYTES:
        raise GadprofError(f"{method} {path} answered with more than 8 MiB")
    try:
        return json.loads(text) if text else None
    except ValueError:
        raise GadprofError(f"{method} {path} answered with no JSON") from None
