"""What the operator's commands have in common: where they print, and how they ask for a passphrase."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tallystick.descriptor import Role
from tallystick_ledger.public_keys import ROLES
from tallystick_node.clock import Clock
from tallystick_node.config import clock_for, load_settings
from tallystick_node.errors import SettingsInvalid
from tallystick_node.keys.files import AskPassphrase, checked_passphrase, read_passphrase_file
from tallystick_node.operator.clock import require_clock

PASSPHRASE_VARIABLE = "TALLYSTICK_PASSPHRASE_FILE"  # noqa: S105  # the name of a file's name

NEW_PASSPHRASE_VARIABLE = "TALLYSTICK_NEW_PASSPHRASE_FILE"  # noqa: S105  # likewise

console = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

Folder = Annotated[Path, typer.Argument(help="The node's data folder.")]


def clock_of(folder: Path) -> Clock:
    """Return the clock that the node in `folder` runs by."""
    return clock_for(dict(os.environ), sandbox=load_settings(folder).sandbox)


def writing_clock(folder: Path) -> Clock:
    """Return the clock that the node in `folder` runs by, for a command that writes times.

    Raises:
        ClockBehind: it is behind the node's log, such as the machine's clock beside a sandbox that has another.
    """
    clock = clock_of(folder)
    require_clock(folder, clock)
    return clock


def role_named(name: str) -> Role:
    """Return the role of a name.

    Raises:
        SettingsInvalid: there is none.
    """
    for role in ROLES:
        if role == name:
            return role
    raise SettingsInvalid("There is no such role.", remedy=f"Choose from {', '.join(ROLES)}.")


def passphrase_for() -> AskPassphrase | None:
    """Return how the passphrase of sealed keys is found out, once it is needed: from the file that
    TALLYSTICK_PASSPHRASE_FILE names (`/dev/fd/N` for an open descriptor), else from whoever sits at the terminal; None
    where there is nobody."""
    named = os.environ.get(PASSPHRASE_VARIABLE)
    if named:
        return lambda: read_passphrase_file(Path(named))
    return (lambda: _typed("Passphrase of the keys")) if sys.stdin.isatty() else None


def new_passphrase(variable: str = PASSPHRASE_VARIABLE) -> AskPassphrase:
    """Return how the passphrase is found out that keys are to be sealed under: typed twice, at a terminal.

    Args:
        variable: the environment's, which names a file that holds it.

    Raises:
        SettingsInvalid: there is neither a file nor a terminal.
    """
    named = os.environ.get(variable)
    if named:
        return lambda: read_passphrase_file(Path(named))
    if not sys.stdin.isatty():
        raise SettingsInvalid(
            "Nobody gave a passphrase.", remedy=f"Name a file in {variable}, or run this at a terminal."
        )
    return lambda: _typed("New passphrase for the keys", confirm=True)


def _typed(prompt: str, *, confirm: bool = False) -> bytes:
    typed: str = typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
    return checked_passphrase(typed.encode())
