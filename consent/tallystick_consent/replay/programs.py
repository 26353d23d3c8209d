"""Replay of programs: a version stays what it was, and says what its answers tell.

Source: DESIGN section 5 (P8, P17).
"""

from tallystick_consent.entries import ProgramBody
from tallystick_consent.replay.state import ConsentState, Report


def take_program(state: ConsentState, body: ProgramBody, report: Report) -> None:
    """Replay a version of a program.

    Entries of version 0.1 do not say what answers tell, and openings need not; once one in the log has, every one does.
    """
    if body.tells is None and state.names_figures:
        report("P17.alone", "A program does not say what its answers tell, in a log whose programs before it do.")
    carry_program(state, body, report)


def carry_program(state: ConsentState, body: ProgramBody, report: Report) -> None:
    """Take a version of a program as an opening carries it."""
    state.names_figures = state.names_figures or body.tells is not None
    if state.programs.setdefault((body.payer, body.program, body.program_version), body) != body:
        report("P8.program", "A version of a program is logged again with another content.")


def count_untold(state: ConsentState) -> int:
    """Return how many versions of programs do not say what their answers tell, so that nothing is held against that."""
    return sum(body.tells is None for body in state.programs.values())
