"""`tally record`."""

import json
from typing import Annotated

import typer

from tallystick.cli.shared import Fingerprint, Key, Subject, Url, text_of
from tallystick.client import Client
from tallystick_ledger.encoding import parse_json_object


def record_command(
    subject: Subject,
    kind: Annotated[str, typer.Option("--type", help="Such as visit.ended.")],
    data: Annotated[str, typer.Option(help="JSON object; @FILE reads a file, - the standard input.")],
    url: Url,
    key: Key,
    fingerprint: Fingerprint,
    receipt: Annotated[str | None, typer.Option(help="Under which receipt; the node finds it.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="Your own, to repeat a call safely.")] = None,
) -> None:
    """Record one event at your node, and verify the proof that it did."""
    document = parse_json_object(text_of(data))
    with Client(url, key=key, fingerprint=fingerprint) as client:
        event = client.events.record(
            subject=subject, type=kind, data=document, receipt=receipt, idempotency_key=idempotency_key
        )
    places = [proof.index for proof in event.proofs]
    typer.echo(json.dumps({"event": event.event, "receipt": event.receipt, "entries": places}, sort_keys=True))
