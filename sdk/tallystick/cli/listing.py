"""`tally list`: what your node keeps, waits for or owes an answer to, a JSON line each, however long the list is."""

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import typer

from tallystick.cli.shared import Fingerprint, Key, Url
from tallystick.client import Client
from tallystick.wire import Duty, Erasure, OpenContest, OpenRequest, UnacknowledgedStep


class Listed(StrEnum):
    """What can be listed."""

    DUTIES = "duties"
    UNACKNOWLEDGED = "unacknowledged"
    REQUESTS = "requests"
    CONTESTS = "contests"
    ERASURES = "erasures"


def list_command(
    what: Annotated[Listed, typer.Argument(help="Which list.")],
    url: Url,
    key: Key,
    fingerprint: Fingerprint,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only what should have been done by now.")] = False,
) -> None:
    """List what your node keeps of receipts until a time (duties), steps that partners have not signed for
    (unacknowledged), what customers asked for (requests) or contest (contests) and nobody has answered, and erasures
    that no partner has attested: a JSON line each, the most pressing first.
    """
    with Client(url, key=key, fingerprint=fingerprint) as client:
        for each in _listed(client, what):
            if each.overdue or not overdue:
                typer.echo(json.dumps(each.model_dump(mode="json"), sort_keys=True))


def _listed(client: Client, what: Listed) -> Iterator[Duty | UnacknowledgedStep | OpenRequest | OpenContest | Erasure]:
    match what:
        case Listed.DUTIES:
            yield from client.receipts.each_duty()
        case Listed.UNACKNOWLEDGED:
            yield from client.receipts.each_unacknowledged()
        case Listed.REQUESTS:
            yield from client.desk.each_request()
        case Listed.CONTESTS:
            yield from client.decisions.each_contest()
        case Listed.ERASURES:
            yield from client.subjects.each_erasure()
