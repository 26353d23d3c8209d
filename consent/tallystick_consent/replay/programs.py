"""Replay of programs: a version stays what it was."""

from tallystick_consent.entries import ProgramBody
from tallystick_consent.replay.state import ConsentState, Report


def take_program(state: ConsentState, body: ProgramBody, report: Report) -> None:
    """Replay a version of a program."""
    if state.programs.setdefault((body.payer, body.program, body.program_version), body) != body:
        report("P8.program", "A version of a program is logged again with another content.")
