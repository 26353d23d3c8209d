"""`tally import`: workouts, daily steps and purchases from files, each recorded once."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tallystick.audit.findings import printable
from tallystick.cli.shared import FINDINGS, read
from tallystick.client import Client
from tallystick.importing import import_files, load_facilities, visit_events, visit_key
from tallystick.importing.facilities import FACILITIES_SIZE_BYTES_MAX
from tallystick.importing.tables import (
    DateOrder,
    purchase_events,
    purchase_key,
    read_purchases,
    read_steps,
    steps_events,
    steps_key,
)
from tallystick.importing.tables.reading import FILE_SIZE_BYTES_MAX
from tallystick_ledger.errors import BadInput


class Kind(StrEnum):
    """What the files hold."""

    WORKOUTS = "workouts"
    STEPS = "steps"
    PURCHASES = "purchases"


class Order(StrEnum):
    """The order of dates in a table."""

    DAY_FIRST = "day-first"
    MONTH_FIRST = "month-first"
    YEAR_FIRST = "year-first"


Keyed = tuple[str, dict[str, Any], str]
"""An event's type and data, and the idempotency key to record it under."""


def import_command(
    paths: Annotated[list[Path], typer.Argument(help="FIT, GPX or TCX files and folders of them; or one table.")],
    kind: Annotated[Kind, typer.Option("--kind", help="What the files hold.")] = Kind.WORKOUTS,
    facilities: Annotated[Path | None, typer.Option(help="Workouts: the approved facilities, a JSON file.")] = None,
    zone: Annotated[str, typer.Option(help="Tables: IANA zone of the person's days, or of the store.")] = "",
    person: Annotated[str | None, typer.Option(help="Tables: whose rows are meant.")] = None,
    date_order: Annotated[Order | None, typer.Option(help="Tables: where dates read both ways.")] = None,
    hours: Annotated[Path | None, typer.Option(help="Steps: the same tracker's table of hours.")] = None,
    source: Annotated[str, typer.Option(help="Steps: your name of the tracker, as rules have it.")] = "tracker",
    store: Annotated[str, typer.Option(help="Purchases: your own id of the store.")] = "store",
    asset: Annotated[str, typer.Option(help="Purchases: the currency with its scale.")] = "USD/2",
    subject: Annotated[str | None, typer.Option("--subject", help="Your own id of the customer.")] = None,
    url: Annotated[str | None, typer.Option("--url", envvar="TALLYSTICK_URL", help="Your node.")] = None,
    key: Annotated[str | None, typer.Option("--key", envvar="TALLYSTICK_KEY", help="Your app's key.")] = None,
    fingerprint: Annotated[str | None, typer.Option(envvar="TALLYSTICK_FINGERPRINT")] = None,
    receipt: Annotated[str | None, typer.Option(help="Under which receipt; the node finds it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be recorded.")] = False,
) -> None:
    """Find visits, days of steps or purchases in files, and record each once."""
    keyed: list[Keyed]
    is_whole = True
    owner = subject or ""
    if kind is Kind.WORKOUTS:
        keyed, is_whole = _workouts(paths, facilities, owner)
    elif kind is Kind.STEPS:
        keyed = _steps(_only(paths), hours, _zone(zone), person, _order(date_order), source, owner)
    else:
        keyed = _purchases(_only(paths), _zone(zone), person, _order(date_order), store, asset, owner)
    if not dry_run:
        if not (subject and url and key and fingerprint):
            raise BadInput(
                "Nothing says where to record.", remedy="Give --subject, --url, --key and --fingerprint, or --dry-run."
            )
        with Client(url, key=key, fingerprint=fingerprint) as client:
            for event_type, data, once in keyed:
                client.events.record(subject=subject, type=event_type, data=data, receipt=receipt, idempotency_key=once)
        typer.echo(f"{len(keyed)} {'visits' if kind is Kind.WORKOUTS else 'events'} recorded, each once.")
    if not is_whole:
        raise typer.Exit(FINDINGS)


def _workouts(paths: Sequence[Path], facilities: Path | None, subject: str) -> tuple[list[Keyed], bool]:
    if facilities is None:
        raise BadInput("Nothing says where visits may be.", remedy="Give the approved facilities with --facilities.")
    found = import_files(paths, load_facilities(read(facilities, FACILITIES_SIZE_BYTES_MAX)))
    if not found.files:
        raise BadInput(
            f"There is no FIT, GPX or TCX file in {' or '.join(printable(str(path)) for path in paths)}.",
            remedy="Name the folder that holds them, or a file; nothing was recorded.",
        )
    table = Table("file", "outcome", "points", title=f"{len(found.visits)} visits found", title_justify="left")
    for file in found.files:
        table.add_row(Text(printable(file.name)), Text(file.reason or file.status), Text(str(file.points_count)))
    Console().print(table)
    events = zip(found.visits, visit_events(found.visits), strict=True)
    keyed = [(*_type_and_data(event), visit_key(visit, subject)) for visit, event in events]
    return keyed, all(file.status != "unreadable" for file in found.files)


def _steps(
    path: Path,
    hours: Path | None,
    zone: str,
    person: str | None,
    order: DateOrder | None,
    source: str,
    subject: str,
) -> list[Keyed]:
    by_hour = None if hours is None else read(hours, FILE_SIZE_BYTES_MAX)
    found = read_steps(read(path, FILE_SIZE_BYTES_MAX), person=person, order=order, hours=by_hour)
    events = steps_events(found.days, zone=zone, source=source)
    _show(
        f"{len(found.days)} days found",
        {
            "dates": found.order.replace("_", " "),
            "told again": found.repeated_count,
            "missing between": found.missing_count,
            "of no step": found.zero_count,
            "disagree with their hours": found.disagreeing_count,
        },
    )
    return [(*event, steps_key(day, subject, source=source)) for day, event in zip(found.days, events, strict=True)]


def _purchases(
    path: Path, zone: str, person: str | None, order: DateOrder | None, store: str, asset: str, subject: str
) -> list[Keyed]:
    found = read_purchases(read(path, FILE_SIZE_BYTES_MAX), asset=asset, person=person, order=order)
    events = purchase_events(found.purchases, zone=zone, store=store, asset=asset)
    _show(
        f"{len(found.purchases)} purchases found",
        {"dates": found.order.replace("_", " "), "told again": found.repeated_count},
    )
    return [
        (*event, purchase_key(each, subject, store=store)) for each, event in zip(found.purchases, events, strict=True)
    ]


def _show(title: str, counts: Mapping[str, object]) -> None:
    table = Table(*counts, title=title, title_justify="left")
    table.add_row(*(Text(str(each)) for each in counts.values()))
    Console().print(table)


def _only(paths: Sequence[Path]) -> Path:
    if len(paths) != 1:
        raise BadInput("A table is imported by itself.", remedy="Name one file.")
    return paths[0]


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput("Nothing says in which zone the days are.", remedy="Give an IANA name with --zone.") from None


def _order(order: Order | None) -> DateOrder | None:
    named: dict[Order, DateOrder] = {
        Order.DAY_FIRST: "day_first",
        Order.MONTH_FIRST: "month_first",
        Order.YEAR_FIRST: "year_first",
    }
    return None if order is None else named[order]


def _type_and_data(event: Mapping[str, object]) -> tuple[str, dict[str, Any]]:
    kind, data = event["type"], event["data"]
    assert isinstance(kind, str), "an event's type is text"
    assert isinstance(data, dict), "an event's data is an object"
    return kind, cast("dict[str, Any]", data)
