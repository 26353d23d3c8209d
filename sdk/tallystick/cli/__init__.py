"""`tally`: the command of an app's developer and of an auditor.

Exit 0: it holds, or is done. Exit 1: there are findings, or a proof does not hold. Exit 2: it could not be run; the
error says why and what to do. Keys are best given in the environment, where other users do not see them.
"""

import sys
import traceback
from importlib.metadata import version
from typing import Annotated

import typer

from tallystick.cli.auditing import audit_command
from tallystick.cli.exporting import export_command
from tallystick.cli.importing import import_command
from tallystick.cli.listing import list_command
from tallystick.cli.recording import record_command
from tallystick.cli.shared import NOT_RUN, say
from tallystick.cli.trying import try_command
from tallystick.cli.verifying import verify_command
from tallystick_ledger.errors import TallyError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Record journey events, and audit and verify what partners' ledgers say.",
)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"tallystick {version('tallystick')}")
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


app.command("audit")(audit_command)
app.command("verify")(verify_command)
app.command("record")(record_command)
app.command("export")(export_command)
app.command("import")(import_command)
app.command("try")(try_command)
app.command("list")(list_command)


def main() -> None:
    """Run `tally`; every error ends in a sentence and an exit status."""
    try:
        app()
    except TallyError as error:
        say(f"{error.code}: {error.problem}")
        say(f"What to do: {error.remedy}")
    except Exception:  # noqa: BLE001  # a bug of ours must not end in 1, which says that an audit has findings
        traceback.print_exc()
        say("internal_error: tally itself failed. What to do: report the lines above.")
    else:
        return
    sys.exit(NOT_RUN)
