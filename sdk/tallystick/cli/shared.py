"""What every command of `tally` shares: exit statuses, options, and files read within a bound."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tallystick.audit.findings import printable
from tallystick.wire import REQUEST_SIZE_MAX_BYTES
from tallystick_ledger.errors import BadInput
from tallystick_ledger.tlog.policy import POLICY_SIZE_MAX_BYTES, Policy, parse_policy

HOLDS, FINDINGS, NOT_RUN = 0, 1, 2

Url = Annotated[str, typer.Option("--url", envvar="TALLYSTICK_URL", help="Your node.")]
Key = Annotated[str, typer.Option("--key", envvar="TALLYSTICK_KEY", help="Your app's key.", show_envvar=True)]
Fingerprint = Annotated[
    str, typer.Option("--fingerprint", envvar="TALLYSTICK_FINGERPRINT", help="SHA-256 of the node's identity key.")
]
Subject = Annotated[str, typer.Option("--subject", help="Your own id of the customer.")]


def policy_in(path: Path) -> Policy:
    """Return the trust policy in a file."""
    return parse_policy(read(path, POLICY_SIZE_MAX_BYTES))


def text_of(value: str) -> bytes:
    """Return what an option says itself, or the file or standard input that it names."""
    if value == "-":
        return sys.stdin.buffer.read(REQUEST_SIZE_MAX_BYTES + 1)
    return read(Path(value[1:]), REQUEST_SIZE_MAX_BYTES) if value.startswith("@") else value.encode()


def read(path: Path, size_max_bytes: int) -> bytes:
    """Return a file's bytes.

    Raises:
        BadInput: it cannot be read, or is larger than it may be.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(size_max_bytes + 1)
    except OSError as error:
        raise BadInput(
            f"The file {printable(str(path))} cannot be read.", remedy="Check its path and permissions."
        ) from error
    if len(raw) > size_max_bytes:
        raise BadInput(f"The file {printable(str(path))} is too large.", remedy="Check that it is the right one.")
    return raw


def say(text: str) -> None:
    """Tell the person at the terminal something that is no result."""
    typer.echo(text, err=True)
