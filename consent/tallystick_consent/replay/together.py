"""Replay of what answers tell together: all of one source to one recipient over one period, against the receipt.

What one program's answers tell, its entry says; what several tell together follows from the figures they ask about, and
may reach as high as the highest rung among them: the one that a node holds them against before anybody is asked. A
ledger does not say which receipts are one person's, so the answers of a period to one recipient are taken as about one
person: two programs that nobody may be asked for both are found all the same.

Source: DESIGN P17, CONSTRUCTIONS (rules and rewards).
"""

from collections.abc import Collection, Mapping

from tallystick_consent.entries import AcceptanceBody, DisclosureBody, ReceiptBody
from tallystick_consent.fields import RUNG_HEIGHT, Rung
from tallystick_consent.replay.state import ConsentState, Report
from tallystick_consent.rules.linter import figures_together

_NONE: frozenset[tuple[str, int]] = frozenset()
_DAY_SIZE = len("2027-03-05")
_DATE_RUNG: Rung = "field"
"""What answers about single days tell: on which."""


def check_told(
    state: ConsentState, body: DisclosureBody | AcceptanceBody, *, payer: str, source: str, report: Report
) -> None:
    """Check that an answer names a program that the ledger holds, and that all told so far is within its receipt.

    Args:
        payer: whose program it is, and who is told.
        source: the partner that answers.
    """
    life = state.receipts.get(body.receipt)
    if life is None or (payer, body.program, body.program_version) != _program_of(life.body):
        return  # another rule says so
    program = state.programs.get((payer, body.program, body.program_version))
    if program is None:
        report("P14.program", "An answer is for a version of a program that is not in this ledger.")
    permitted = RUNG_HEIGHT[life.body.rung]
    tells = None if program is None else program.tells
    if tells is not None:
        if RUNG_HEIGHT[tells.alone] > permitted:
            report("P17.alone", "What a program's answers tell, its repetition and reward included, is above the rung.")
    elif len(body.period) == _DAY_SIZE:
        life.day = life.day or body.period
        if life.day != body.period and RUNG_HEIGHT[_DATE_RUNG] > permitted:
            report("P17.dates", "Answers about single days tell the dates, and the receipt permits less.")
    here = (source if payer == state.host else payer, body.period)
    answered, program_version = state.answered.get(here, _NONE), (body.program, body.program_version)
    if program_version not in answered:
        answered = state.answered[here] = answered | {program_version}
    if len(answered) < 2:
        return
    versions = {**dict(sorted(answered)), body.program: body.program_version}
    # Who is answered about under an older version may be nobody that the others are about, and nobody new is asked for
    # it: programs that one person may be asked for as they are now do not convict.
    if all(_tell_too_much(state, payer, each, permitted) for each in (versions, _newest(state, payer, versions))):
        report("P17.together", "What the programs answered for one period tell together is above the rung of each.")


def _program_of(terms: ReceiptBody) -> tuple[str, str, int]:
    return terms.recipient, terms.program, terms.program_version


def _tell_too_much(state: ConsentState, payer: str, versions: Mapping[str, int], permitted: int) -> bool:
    """Return whether programs, each in one version, tell more together than the highest rung among them permits.

    Args:
        permitted: the height of the rung of the receipt at hand, which is one of them.
    """
    found = ((name, state.programs.get((payer, name, version))) for name, version in versions.items())
    known = [(name, program) for name, program in found if program is not None]
    figures = frozenset((name, program.tells.figures) for name, program in known if program.tells is not None)
    highest = max((RUNG_HEIGHT[program.rung] for _, program in known), default=permitted)
    return RUNG_HEIGHT[figures_together(figures).rung] > max(highest, permitted)


def _newest(state: ConsentState, payer: str, names: Collection[str]) -> dict[str, int]:
    """Return the newest version of each program that the ledger holds."""
    newest = dict.fromkeys(names, 0)
    for of, name, version in state.programs:
        if of == payer and name in newest:
            newest[name] = max(newest[name], version)
    return newest
