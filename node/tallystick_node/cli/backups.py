"""`tally-node backup` and `restore`: the node's data, sealed for seven days."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tallystick.papers.trust import count
from tallystick_node.backups.node import back_up, put_back
from tallystick_node.cli.shared import Folder, clock_of, console, passphrase_for, writing_clock
from tallystick_node.config import SETTINGS_FILE, clock_for


def backup(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="A new file; none is overwritten.")],
    without_log: Annotated[
        bool, typer.Option("--without-log", help="Leave out entries that lie in the published files alone.")
    ] = False,
) -> None:
    """Seal the node's data into a file, beside a running node; it opens with custody's help, for seven days at most."""
    made = back_up(folder, file, clock=writing_clock(folder), with_log=not without_log)
    console.print(f"{made.size_bytes:,} bytes; opens until {_time(made.opens_until_s)}, and never after.", markup=False)
    console.print("Keys and custody are not in it: back them up apart from it, custody after it.")
    if made.log_is_apart:
        console.print("Entries that lie in the published log alone are not in it: back that up too, the node stopped.")


def restore(folder: Folder, file: Annotated[Path, typer.Argument(help="What `backup` made.")]) -> None:
    """Put a backup back into a folder that holds the node's keys and custody, and no rows; who was erased stays so."""
    # Without settings it is not known yet whether this is a sandbox; the backup's own say so before anything is done.
    is_there = (folder / SETTINGS_FILE).exists()
    clock = clock_of(folder) if is_there else clock_for(dict(os.environ), sandbox=True)
    done = put_back(folder, file, clock=clock, passphrase=passphrase_for())
    console.print(f"{done.host} is as it was at {_time(done.made_at_s)}.", markup=False)
    if done.erased_since_count:
        console.print(
            f"Erased since, and gone again: {count(done.erased_since_count, 'subject or link', 'subjects and links')}."
        )
    console.print(
        "It asks its witnesses and partners before its first head; where they hold a longer log, it only reads."
    )
    console.print(f"Next: tally-node serve {folder}", markup=False)


def _time(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S}Z"
