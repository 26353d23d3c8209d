"""`tally export`: everything a company's node holds about one customer, as a file for that customer."""

import os
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tallystick.audit.findings import printable
from tallystick.cli.papers import trust_in, verified_paper
from tallystick.cli.shared import Fingerprint, Key, Subject, Url
from tallystick.client import Client
from tallystick_ledger.errors import BadInput, TallyError

DAYS = ["%Y-%m-%d"]


class NothingHeld(TallyError):
    """There is nothing about a customer of that id."""

    code = "nothing_held"


def export_command(
    subject: Subject,
    file: Annotated[Path, typer.Argument(help="A new file, which only you may read; none is overwritten.")],
    url: Url,
    key: Key,
    fingerprint: Fingerprint,
    since: Annotated[
        datetime | None, typer.Option("--from", formats=DAYS, help="Only events from this day on, in UTC.")
    ] = None,
    until: Annotated[datetime | None, typer.Option(formats=DAYS, help="Only events before this day, in UTC.")] = None,
) -> None:
    """Write everything that your node holds about a customer into a file, once every proof in it is verified.

    One file holds 10,000 events and 8 MiB of their sealed payloads at most; where there are more, the node says so, and
    --from and --until choose a part.
    """
    if file.exists():
        raise _exists(file)
    with Client(url, key=key, fingerprint=fingerprint) as client:
        export = client.subjects.export(subject, events_from=_second(since), events_until=_second(until))
    if not any((export.links, export.receipts, export.claims, export.decisions, export.rewards, export.events)):
        # Whoever mistypes an id must not be given a signed paper that says that nothing is held.
        raise NothingHeld(
            f"{printable(export.host)} has no link, receipt, event, answer or reward of a customer of this id.",
            remedy="Check the id; nothing was written.",
        )
    raw = export.model_dump_json().encode() + b"\n"
    verified = verified_paper(raw, trust_in([fingerprint], [], None))
    _write_new(file, raw)
    typer.echo(f"{printable(str(file))}, {len(raw):,} bytes: keep it from others, it is readable.\n{verified.text}")


def _second(day: datetime | None) -> int | None:
    return None if day is None else int(day.replace(tzinfo=UTC).timestamp())


def _write_new(file: Path, raw: bytes) -> None:
    """Write a file whole or not at all; it never takes the place of another."""
    beside = file.with_name(f".{file.name}.{secrets.token_hex(8)}.new")  # two at once take no file of each other's
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(raw)
            out.flush()
            os.fsync(out.fileno())
        file.hardlink_to(beside)
    except FileExistsError as error:
        raise _exists(file) from error
    except OSError as error:
        raise BadInput(
            f"The file {printable(str(file))} cannot be written.", remedy="Name one on a disk that has room."
        ) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _exists(file: Path) -> BadInput:
    return BadInput(f"There is a file {printable(str(file))} already.", remedy="Name another; none is overwritten.")
