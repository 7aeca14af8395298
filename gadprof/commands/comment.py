"""``gadprof comment``: the pull request's one comment, from what ``check --json`` wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from gadprof.commands.option_types import Count
from gadprof.commands.options import command, packed
from gadprof.errors import DataError
from gadprof.output import emit, tell

if TYPE_CHECKING:
    from gadprof.results.verdicts import CommentData

MOST_BYTES = 4 << 20


@dataclass(frozen=True)
class PullRequest:
    """The pull request, and the service that it lies at."""

    event: str | None
    number: int | None
    repository: str | None
    api: str
    author: str


@command(name="comment", example="gadprof comment check.json --print")
@click.argument("data", metavar="CHECK.json")
@click.option("--print", "only_print", is_flag=True, help="Print the comment, post nothing.")
@packed(
    "place",
    PullRequest,
    click.option(
        "--event",
        metavar="FILE",
        envvar="GITHUB_EVENT_PATH",
        help="The event that says which pull request.  [default: $GITHUB_EVENT_PATH]",
    ),
    click.option("--pr", "number", type=Count(), help="The pull request, where no event says it."),
    click.option(
        "--repo",
        "repository",
        metavar="OWNER/NAME",
        envvar="GITHUB_REPOSITORY",
        help="The repository.  [default: $GITHUB_REPOSITORY]",
    ),
    click.option(
        "--api",
        default="https://api.github.com",
        envvar="GITHUB_API_URL",
        help="The API's address.  [default: $GITHUB_API_URL, else GitHub's]",
    ),
    click.option(
        "--author",
        default="github-actions[bot]",
        show_default=True,
        help="Whose comment is updated: the token's account.",
    ),
)
def comment(data: str, only_print: bool, place: PullRequest) -> None:
    """Post the pull request's comment, or update it: one comment, found again by its mark.

    CHECK.json is what 'gadprof check --json CHECK.json --base REF' wrote. It is read as plain data
    of a fixed schema, so that a job without secrets may have made it of a stranger's code. The
    token comes from $GITHUB_TOKEN and needs pull-requests: write.
    """
    import os

    from gadprof.errors import ConfigError
    from gadprof.gate.sticky import Service, post, pull_request_of
    from gadprof.render.comment import MARK, comment_body

    body = comment_body(read_comment_data(data))
    if only_print:
        emit(body)
        return
    token = os.environ.get("GITHUB_TOKEN", "")
    if not token:
        raise ConfigError("no token; set GITHUB_TOKEN, or print the comment with --print")
    if place.repository is None:
        raise ConfigError("no repository; give --repo OWNER/NAME")
    service = Service(place.repository, token, place.api, place.author)
    number = place.number
    if number is None:
        if place.event is None:
            raise ConfigError("no pull request; give --pr N or --event FILE")
        number = pull_request_of(service, _object(place.event, "event"))
    tell(f"comment on pull request {number}: {post(service, number, body, MARK)}")


def read_comment_data(path: str) -> CommentData:
    """The data of a comment, every field checked. Raises DataError."""
    from gadprof.results.plain import SCHEMA_VERSION
    from gadprof.results.rebuild import SchemaError, from_plain
    from gadprof.results.verdicts import CommentData

    document = _object(path, "check data")
    if document.get("schema_version") != SCHEMA_VERSION:
        raise DataError(f"{path!r} has another schema version; write it with gadprof check --json")
    known = ("verdicts", "base", "changes")
    try:
        return from_plain(CommentData, {key: document[key] for key in known if key in document})
    except SchemaError as error:
        raise DataError(f"{path!r} is no check of gadprof: {error}") from error


def _object(path: str, what: str) -> dict[str, Any]:
    from gadprof.results.files import read_json

    document = read_json(path, what, DataError, most_bytes=MOST_BYTES)
    if not isinstance(document, dict):
        raise DataError(f"{what} {path!r} is not a JSON object")
    return document
