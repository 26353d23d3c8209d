"""`tally-node`: what the operator of a node types.

Errors print what is wrong and what to do, and exit with 2; nothing here decides anything.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tallystick.wire import SCOPES
from tallystick_ledger.errors import TallyError
from tallystick_node.config import CUSTODY_FILE, DATABASE_FILE, SETTINGS_FILE, clock_for, load_settings
from tallystick_node.keys import load_keys
from tallystick_node.node import KEYS_FOLDER
from tallystick_node.setup import add_app_key, add_partner, create_node, list_partners, migrate_node, open_node
from tallystick_node.witness.cli import app as witness

app = typer.Typer(help="Run a Tallystick node.", no_args_is_help=True, pretty_exceptions_enable=False)
partner = typer.Typer(help="Whom this node trusts.", no_args_is_help=True)
keys = typer.Typer(help="The keys of this company's own apps.", no_args_is_help=True)
app.add_typer(partner, name="partner")
app.add_typer(keys, name="keys")
app.add_typer(witness, name="witness")

console = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

Folder = Annotated[Path, typer.Argument(help="The node's data folder.")]


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
    node = open_node(folder, clock=clock)
    bind = bind or settings.bind
    stderr.print(f"Starting {settings.host} on {bind}; partners and apps reach it at {settings.url}.")
    try:
        serve_app(make_app(node), bind)
    finally:
        node.close()


@app.command()
def fingerprint(folder: Folder) -> None:
    """Print what two people compare before they trust this node."""
    console.print(load_keys(folder / KEYS_FOLDER).fingerprint)


@partner.command("add")
def partner_add(
    folder: Folder,
    descriptor: Annotated[Path, typer.Argument(help="The partner's descriptor file.")],
    fingerprint: Annotated[str, typer.Option(help="The fingerprint that two people compared.")],
) -> None:
    """Trust a partner."""
    clock = clock_for(dict(os.environ), sandbox=load_settings(folder).sandbox)
    try:
        text = descriptor.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter("the descriptor file cannot be read") from error
    described = add_partner(folder, text, expected_fingerprint=fingerprint, clock=clock)
    console.print(f"{described.host} is a partner now, at {described.url}.")


@partner.command("list")
def partner_list(folder: Folder) -> None:
    """Print the partners of this node."""
    for host, identity in list_partners(folder):
        console.print(f"{host}  {identity}")


@keys.command("add")
def keys_add(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="The app's name; it stands in the evidence of consents it vouches for.")],
    scope: Annotated[list[str] | None, typer.Option(help="What the key may do; give it as often as needed.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="How long it is valid.")] = None,
    *,
    every_scope: Annotated[bool, typer.Option(help="All of them, for a sandbox.")] = False,
) -> None:
    """Make a key for an app of this company; it is shown this once."""
    scopes = list(SCOPES) if every_scope else scope or []
    clock = clock_for(dict(os.environ), sandbox=load_settings(folder).sandbox)
    made = add_app_key(folder, name=name, scopes=scopes, clock=clock, life_days=days)
    console.print(made.secret)


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
        stderr.print(str(error), markup=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
