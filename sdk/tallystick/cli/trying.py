"""`tally try`."""

from pathlib import Path
from typing import Annotated

import typer

from tallystick.cli.shared import Fingerprint, Key, Url, read, say
from tallystick.client import Client
from tallystick.wire import REQUEST_SIZE_MAX_BYTES
from tallystick_ledger.encoding import parse_json_object


def try_command(
    program: Annotated[Path, typer.Argument(help="A program, JSON.")],
    periods: Annotated[list[str], typer.Argument(help="Past periods, such as 2027-02 2027-03.")],
    url: Url,
    key: Key,
    fingerprint: Fingerprint,
) -> None:
    """Try a program on your node's own past events: how many would be answered, and why the others not.

    Nothing is published, issued or kept, and nobody is named.
    """
    document = parse_json_object(read(program, REQUEST_SIZE_MAX_BYTES))
    with Client(url, key=key, fingerprint=fingerprint) as client:
        tried = client.programs.try_out(document, periods)
    say("\n".join((*tried.learns, tried.silence)))
    typer.echo(tried.model_dump_json(include={"periods"}))
