"""Replay of what answers tell together: all of one source to one recipient over one period, against the receipt.

What one program's answers tell, its entry says; what several tell together follows from the figures they ask about. All
up to a rung may tell that rung together, and no more: what is of a higher one permits itself alone. So a node holds
them before anybody is asked. A ledger does not say which receipts are one person's, so the answers of a period to one
recipient are taken as about one person, where one could be asked for all of them at some time: a version that was
followed by another before the other program came may be answered about somebody whom that is not.

Source: DESIGN P17, CONSTRUCTIONS (rules and rewards).
"""

from collections.abc import Collection, Iterable, Sequence

from tallystick_consent.entries import AcceptanceBody, DisclosureBody, ProgramBody, ReceiptBody
from tallystick_consent.fields import RUNG_HEIGHT, Rung
from tallystick_consent.replay.state import ConsentState, Report
from tallystick_consent.rules.linter import figures_together

_NONE: frozenset[tuple[str, int]] = frozenset()
_UNKNOWN: tuple[tuple[int, int], frozenset[tuple[str, str, int, int]]] = ((0, 0), frozenset())
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
    if program is None:
        return
    known = (len(state.programs), len(answered))
    held = state.held.get(here, _UNKNOWN)
    within = held[1] if held[0] == known else _UNKNOWN[1]
    question = (payer, *program_version, permitted)
    if question in within:
        return
    if _tell_too_much(_versions(state, payer, answered), program, answered, permitted):
        report("P17.together", "What the programs answered for one period tell together is above the rung of each.")
    else:
        state.held[here] = known, within | {question}


def _program_of(terms: ReceiptBody) -> tuple[str, str, int]:
    return terms.recipient, terms.program, terms.program_version


def _versions(state: ConsentState, payer: str, answered: Collection[tuple[str, int]]) -> Iterable[ProgramBody]:
    """Return each version of the programs that were answered, in the order that the ledger came to hold them."""
    names = {name for name, _ in answered}
    return (body for (of, name, _), body in state.programs.items() if of == payer and name in names)


def _tell_too_much(
    versions: Iterable[ProgramBody], answers: ProgramBody, answered: Collection[tuple[str, int]], permitted: int
) -> bool:
    """Return whether a program, and what was answered beside it, tell more than they may wherever one could be asked.

    Args:
        answers: the program, in the version at hand.
        permitted: the height of the rung of the receipt at hand.
    """
    asked: dict[str, ProgramBody] = {}
    for newcomer in versions:
        name, before = newcomer.program, asked.get(newcomer.program)
        asked[name] = newcomer
        if (name, newcomer.program_version) in answered and asked.get(answers.program) is answers:
            beside = [each for each in asked.values() if (each.program, each.program_version) in answered]
            if _are_too_much(beside, answers, permitted):
                return True
        if before is not None and before.program_version > newcomer.program_version:
            asked[name] = before
    return False


def _are_too_much(programs: Sequence[ProgramBody], answers: ProgramBody, permitted: int) -> bool:
    """Return whether the programs up to a rung that `answers` is within tell more together than that rung."""
    heights = [max(RUNG_HEIGHT[each.rung], permitted if each is answers else 0) for each in programs]
    own = heights[programs.index(answers)]
    for height in {each for each in heights if each >= own}:
        within = (each for each, its in zip(programs, heights, strict=True) if its <= height)
        figures = frozenset((each.program, each.tells.figures) for each in within if each.tells is not None)
        if RUNG_HEIGHT[figures_together(figures).rung] > height:
            return True
    return False
