"""`tally-node`: what the operator of a node types.

Errors print what is wrong and what to do, and exit with 2; nothing here decides anything.
"""

import logging
import os
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from tallystick_ledger.errors import TallyError
from tallystick_node.cli.backups import backup, restore
from tallystick_node.cli.keys import keys
from tallystick_node.cli.partners import partner
from tallystick_node.cli.shared import (
    Folder,
    clock_of,
    console,
    new_passphrase,
    passphrase_for,
    role_named,
    stderr,
)
from tallystick_node.clock import span_text
from tallystick_node.config import CUSTODY_FILE, DATABASE_FILE, SETTINGS_FILE, clock_for, load_settings
from tallystick_node.errors import ClockBehind
from tallystick_node.operator.clock import accept_clock, clock_to_accept
from tallystick_node.setup import create_node, migrate_node, open_node, read_fingerprint
from tallystick_node.witness.cli import app as witness

app = typer.Typer(help="Run a Tallystick node.", no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(partner, name="partner")
app.add_typer(keys, name="keys")
app.add_typer(witness, name="witness")
app.command()(backup)
app.command()(restore)


def _say_version(asked: bool) -> None:
    if asked:
        console.print(f"tallystick {version('tallystick')}")
        raise typer.Exit


@app.callback()
def _common(
    *,
    version: Annotated[  # its callback does it
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    pass


@app.command()
def init(
    folder: Folder,
    host: Annotated[str, typer.Option(help="The node's name among partners, such as gym.example.")],
    url: Annotated[str, typer.Option(help="Where partners and apps reach it.")],
    bind: Annotated[str, typer.Option(help="Where it listens: ADDRESS:PORT.")] = "127.0.0.1:8000",
    database: Annotated[str, typer.Option(help="A file below FOLDER, or postgresql://USER@HOST/NAME.")] = DATABASE_FILE,
    custody_database: Annotated[
        str, typer.Option(help="Another one, for the keys that erasure destroys; never the same.")
    ] = CUSTODY_FILE,
    *,
    sandbox: Annotated[bool, typer.Option(help="Test keys, test money, and a clock that may be set.")] = False,
    if_missing: Annotated[bool, typer.Option(help="Leave a node that is there as it is.")] = False,
    encrypt: Annotated[bool, typer.Option(help="Seal the keys under a passphrase.")] = False,
    signer: Annotated[str, typer.Option(help="An external signer: unix:PATH or exec:COMMAND.")] = "",
    signer_role: Annotated[
        list[str] | None, typer.Option(help="A role whose key the signer holds; repeatable.")
    ] = None,
) -> None:
    """Make a node: keys (mode 0600), a descriptor, verifier keys, settings."""
    if if_missing and (folder / SETTINGS_FILE).exists():
        console.print(f"{load_settings(folder).host} is in {folder}.")
        return
    clock = clock_for(dict(os.environ), sandbox=sandbox)
    made = create_node(
        folder,
        host=host,
        url=url,
        bind=bind,
        sandbox=sandbox,
        clock=clock,
        database=database,
        custody_database=custody_database,
        passphrase=new_passphrase() if encrypt else None,
        signer=signer,
        at_signer=[role_named(role) for role in signer_role or ()],
    )
    console.print(f"Made {host} in {folder}.")
    console.print(f"Fingerprint, for partners to compare: {made.fingerprint}")
    migrate_node(folder)
    console.print(f"Next: tally-node serve {folder}")


@app.command()
def migrate(folder: Folder) -> None:
    """Bring the node's databases to the form that this version works with; `serve` does the same."""
    for schema, (before, now) in migrate_node(folder).items():
        console.print(f"{schema}: {now}" if before == now else f"{schema}: {before or 'empty'} -> {now}")


@app.command()
def serve(
    folder: Folder,
    bind: Annotated[str, typer.Option(help="Where this process listens, instead of what node.toml says.")] = "",
) -> None:
    """Run a node until it is told to stop; several at once, where its databases are PostgreSQL's."""
    # Only this command needs the server, and every other one is quicker without it.
    from tallystick_node.app import make_app
    from tallystick_node.serving import serve as serve_app

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = load_settings(folder)
    clock = clock_for(dict(os.environ), sandbox=settings.sandbox)
    clock.now_s()  # a sandbox clock that cannot be read is said here, in one line, before anything is opened
    node = open_node(folder, clock=clock, passphrase=passphrase_for())
    bind = bind or settings.bind
    stderr.print(f"Starting {settings.host} on {bind}; partners and apps reach it at {settings.url}.")
    try:
        serve_app(make_app(node), bind)
    finally:
        node.close()


@app.command()
def successor(folder: Folder) -> None:
    """Go on in a new log, where the old one is read-only since others hold another history of it."""
    from tallystick_node.log.successor import begin_successor

    done = begin_successor(folder, clock=clock_of(folder), passphrase=passphrase_for())
    console.print(f"{done.last.origin} ends here with {done.last.size} entries.", markup=False)
    if done.abandoned is not None:
        console.print(f"Others hold a head of it with {done.abandoned.size} entries; what is in it is lost here.")
    console.print(f"{done.origin} goes on; its opening says so. Next: tally-node serve {folder}", markup=False)


@app.command("accept-clock")
def accept_clock_command(
    folder: Folder,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it, though every audit finds it from then on.")] = False,
) -> None:
    """Go on by a clock that is behind the log's last entry, since it was ahead when that was written.

    Without --yes nothing is changed, and what it would mean is said.
    """
    clock = clock_of(folder)
    behind_s = clock_to_accept(folder, clock=clock)
    if not behind_s:
        console.print("There is nothing to accept.")
        return
    now = datetime.fromtimestamp(clock.now_s(), UTC)
    if not yes:
        raise ClockBehind(
            f"By this clock it is {now:%Y-%m-%d %H:%M} UTC, {span_text(behind_s)} before the log's last entry. Where"
            " the log goes on from here, every audit finds that times run back in it (P16.order, P16.window), for good:"
            " nothing takes it back.",
            remedy="If that clock is right, and was ahead before: the same with --yes. Nothing was changed.",
        )
    accept_clock(folder, clock=clock)
    console.print(f"The log goes on at {now:%Y-%m-%d %H:%M} UTC, {span_text(behind_s)} before its last entry.")
    console.print("Tell your auditors when the clock was wrong: from now on they find it in the log.")


@app.command()
def fingerprint(folder: Folder) -> None:
    """Print what two people compare before they trust this node."""
    console.print(read_fingerprint(folder))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where to leave what it made; an earlier demo there is removed.")] = Path(
        "build/demo"
    ),
    data: Annotated[Path | None, typer.Option(help="A folder of real workout files, to import some.")] = None,
) -> None:
    """Play a journey between two real nodes, audit them, and say what each company learned."""
    from tallystick_node.demo.run import play_demo  # no other command needs any of it

    raise typer.Exit(play_demo(out, data=data, console=console))


def main() -> None:
    """Run the command; a refusal is printed with its remedy, never as a traceback."""
    try:
        app()
    except TallyError as error:
        stderr.print(f"{error.code}: {error.problem}", markup=False)
        stderr.print(f"What to do: {error.remedy}", markup=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
