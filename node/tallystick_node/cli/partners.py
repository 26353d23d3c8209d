"""`tally-node partner`: whom this node trusts."""

from pathlib import Path
from typing import Annotated

import typer

from tallystick_node.cli.shared import Folder, console, writing_clock
from tallystick_node.operator.partners import add_partner, list_partners, remove_partner

partner = typer.Typer(help="Whom this node trusts.", no_args_is_help=True)


@partner.command("add")
def partner_add(
    folder: Folder,
    descriptor: Annotated[Path, typer.Argument(help="The partner's descriptor file.")],
    fingerprint: Annotated[str, typer.Option(help="The fingerprint that two people compared.")],
) -> None:
    """Trust a partner, or replace its descriptor, once two people have compared the fingerprint."""
    try:
        text = descriptor.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter("the descriptor file cannot be read") from error
    described = add_partner(folder, text, expected_fingerprint=fingerprint, clock=writing_clock(folder))
    console.print(f"{described.host} is a partner now, at {described.url}.")


@partner.command("list")
def partner_list(folder: Folder) -> None:
    """Print the partners of this node."""
    for host, identity in list_partners(folder):
        console.print(f"{host}  {identity}")


@partner.command("remove")
def partner_remove(folder: Folder, host: Annotated[str, typer.Argument(help="The partner's name.")]) -> None:
    """Trust a partner no more; what was agreed with it stays in the ledger."""
    remove_partner(folder, host)
    console.print(f"{host} is no partner any more.")
