"""`tally record` and `tally import`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tallystick.audit.findings import printable
from tallystick.cli.shared import FINDINGS, Fingerprint, Key, Subject, Url, read, text_of
from tallystick.client import Client
from tallystick.importing import import_files, load_facilities, visit_events, visit_key
from tallystick.importing.facilities import FACILITIES_SIZE_BYTES_MAX
from tallystick_ledger.encoding import parse_json_object
from tallystick_ledger.errors import BadInput


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


def import_command(
    paths: Annotated[list[Path], typer.Argument(help="FIT, GPX or TCX files, and folders of them.")],
    facilities: Annotated[Path, typer.Option(help="The approved facilities, a JSON file.")],
    subject: Annotated[str | None, typer.Option("--subject", help="Your own id of the customer.")] = None,
    url: Annotated[str | None, typer.Option("--url", envvar="TALLYSTICK_URL", help="Your node.")] = None,
    key: Annotated[str | None, typer.Option("--key", envvar="TALLYSTICK_KEY", help="Your app's key.")] = None,
    fingerprint: Annotated[str | None, typer.Option(envvar="TALLYSTICK_FINGERPRINT")] = None,
    receipt: Annotated[str | None, typer.Option(help="Under which receipt; the node finds it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be recorded.")] = False,
) -> None:
    """Find visits in workout files, and record each once; coordinates stay here."""
    found = import_files(paths, load_facilities(read(facilities, FACILITIES_SIZE_BYTES_MAX)))
    events = visit_events(found.visits)
    table = Table("file", "outcome", "points", title=f"{len(found.visits)} visits found", title_justify="left")
    for file in found.files:
        table.add_row(Text(printable(file.name)), Text(file.reason or file.status), Text(str(file.points_count)))
    Console().print(table)
    if not dry_run:
        if not (subject and url and key and fingerprint):
            raise BadInput(
                "Nothing says where to record.", remedy="Give --subject, --url, --key and --fingerprint, or --dry-run."
            )
        with Client(url, key=key, fingerprint=fingerprint) as client:
            for visit, event in zip(found.visits, events, strict=True):
                kind, data = _type_and_data(event)
                client.events.record(
                    subject=subject, type=kind, data=data, receipt=receipt, idempotency_key=visit_key(visit, subject)
                )
        typer.echo(f"{len(events)} visits recorded, each once.")
    if any(file.status == "unreadable" for file in found.files):
        raise typer.Exit(FINDINGS)


def _type_and_data(event: Mapping[str, object]) -> tuple[str, dict[str, Any]]:
    kind, data = event["type"], event["data"]
    assert isinstance(kind, str), "an event's type is text"
    assert isinstance(data, dict), "an event's data is an object"
    return kind, cast("dict[str, Any]", data)
