"""`tally-node witness`: run a witness alone, and print the lines by which a trust policy names one."""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tallystick_ledger.errors import BadInput
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_node.clock import Clock
from tallystick_node.config import SETTINGS_FILE, clock_for
from tallystick_node.errors import SettingsInvalid

VKEY_FILE_SIZE_MAX_BYTES = 64 * 1024

app = typer.Typer(help="Run a witness alone: it cosigns the heads of logs that only grow.", no_args_is_help=True)

console = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

Folder = Annotated[Path, typer.Argument(help="The witness's data folder.")]

# Each command imports what it needs: the server's packages make every other command slow.


@app.command()
def init(
    folder: Folder,
    name: Annotated[str, typer.Option(help="The name in its keys, such as witness.example; no other witness's.")],
    url: Annotated[str, typer.Option(help="Where logs reach it.")],
    bind: Annotated[str, typer.Option(help="Where it listens: ADDRESS:PORT.")] = "127.0.0.1:8100",
    *,
    sandbox: Annotated[bool, typer.Option(help="Test keys, and a clock that may be set.")] = False,
    if_missing: Annotated[bool, typer.Option(help="Leave a witness that is there as it is.")] = False,
) -> None:
    """Make a witness: two keys (Ed25519 and ML-DSA-44, mode 0600) and settings."""
    from tallystick_node.witness import alone

    if if_missing and (folder / alone.SETTINGS_FILE).exists():
        console.print(f"{alone.load_witness_settings(folder).name} is in {folder}.", markup=False)
        return
    alone.create_witness(folder, name=name, url=url, bind=bind, sandbox=sandbox)
    console.print(f"Made {name} in {folder}.", markup=False)
    console.print(
        f"Next: tally-node witness add {folder} LOG.VKEY, then tally-node witness serve {folder}", markup=False
    )


@app.command()
def add(
    folder: Folder,
    vkeys: Annotated[list[Path] | None, typer.Argument(help="Files of a log's verifier keys, one a line.")] = None,
    descriptor: Annotated[Path | None, typer.Option(help="A company's descriptor: every log of that company.")] = None,
    fingerprint: Annotated[str, typer.Option(help="With --descriptor: what two people compared.")] = "",
) -> None:
    """Witness a log from now on, by its verifier keys, or all of a company's, by its descriptor."""
    from tallystick_node.witness.alone import Witness

    if not vkeys and descriptor is None:
        raise SettingsInvalid("Nothing says which log.", remedy="Give files of verifier keys, or --descriptor FILE.")
    witness = Witness(folder, clock=_clock(folder))
    try:
        for path in vkeys or ():
            witness.memory.know_keys(_keys_in(path))
        if descriptor is not None:
            witness.memory.know_company(_text(descriptor).strip(), expected_fingerprint=fingerprint)
        for known in witness.memory.known():
            console.print(f"Witnesses {known}", markup=False)
    finally:
        witness.close()


@app.command("key")
def key_command(folder: Annotated[Path, typer.Argument(help="A witness's folder, or a node's.")]) -> None:
    """Print the lines that name this witness in a trust policy (c2sp.org/tlog-policy), one for each of its keys."""
    for line in _policy_lines(folder):
        console.print(line, markup=False)


@app.command()
def serve(folder: Folder) -> None:
    """Run a witness until it is told to stop."""
    from tallystick_node.serving import serve as serve_app
    from tallystick_node.witness.alone import Witness
    from tallystick_node.witness.app import make_witness_app

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    clock = _clock(folder)
    clock.now_s()  # a sandbox clock that cannot be read is said here, in one line, before anything is opened
    witness = Witness(folder, clock=clock)
    settings = witness.settings
    stderr.print(f"Starting {settings.name} on {settings.bind}; logs reach it at {settings.url}.", markup=False)
    try:
        serve_app(make_witness_app(witness), settings.bind)
    finally:
        witness.close()


def _clock(folder: Path) -> Clock:
    from tallystick_node.witness.alone import load_witness_settings

    return clock_for(dict(os.environ), sandbox=load_witness_settings(folder).sandbox)


def _policy_lines(folder: Path) -> list[str]:
    if (folder / SETTINGS_FILE).exists():
        from tallystick_node.setup import witness_policy_lines

        return witness_policy_lines(folder)
    from tallystick_node.witness.alone import Witness

    witness = Witness(folder, clock=_clock(folder))
    try:
        return witness.policy_lines()
    finally:
        witness.close()


def _keys_in(path: Path) -> list[VerifierKey]:
    lines = [line for line in _text(path).split("\n") if line]
    if not lines:
        raise BadInput("A file of verifier keys is empty.", remedy="Give the log's own, such as log.vkey.")
    return [VerifierKey.parse(line) for line in lines]


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(VKEY_FILE_SIZE_MAX_BYTES + 1)
        if len(raw) > VKEY_FILE_SIZE_MAX_BYTES:
            raise BadInput("A file is too large.", remedy="Check that it is the right one.")
        return raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("A file cannot be read.", remedy="Check its path and permissions.") from error
