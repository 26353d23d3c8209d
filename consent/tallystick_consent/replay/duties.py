"""Replay of a recipient's duties: what it may keep until a time is discharged by then, and says so.

What is kept follows from entries alone: an answer from its acceptance, other fields from the end of the receipt, whose
`retention` stands in both companies' ledgers.

Source: API section 6 (`retention`), DESIGN section 5 (P9), GDPR article 5(1)(e).
"""

from collections.abc import Iterator
from dataclasses import replace

from tallystick_consent.entries import AcceptanceBody, DischargeBody, DutyBody
from tallystick_consent.receipts.retention import DISCHARGE_WITHIN_S
from tallystick_consent.replay.state import TIME_SLACK_S, ConsentState, Duty, ReceiptLife, Report
from tallystick_ledger.opening import Carried
from tallystick_ledger.times import DAY_S


def owe_answer(state: ConsentState, body: AcceptanceBody, index: int, at_s: int) -> None:
    """Take up the duty that goes with an answer which was accepted at `index`."""
    life = state.receipts.get(body.receipt)
    for each in life.body.retention if life else ():
        if each.field == "answers":
            _owe(state, body.receipt, Duty("answers", body.claim, at_s + each.until_days * DAY_S, index))


def owe_from_end(state: ConsentState, life: ReceiptLife, index: int, at_s: int) -> None:
    """Take up the duties that begin with the end, at `index`, of a receipt that had been given."""
    receipt = life.body.receipt
    if state.host != life.body.recipient or not life.body.retention:
        return
    answers = (replace(each, due_s=min(each.due_s, at_s)) for each in state.duties.get(receipt, ()))
    state.duties[receipt] = tuple(answers)
    for each in life.body.retention:
        if each.field != "answers":
            _owe(state, receipt, Duty(each.field, "", at_s + each.until_days * DAY_S, index))


def take_discharge(state: ConsentState, body: DischargeBody, report: Report) -> None:
    """Replay that a recipient holds a field no longer."""
    said = {(body.field, claim) for claim in body.claims or ("",)}
    owed = state.duties.get(body.receipt, ())
    if len(said) != max(1, len(body.claims)) or not said <= {(each.field, each.claim) for each in owed}:
        report("P9.discharge", "What is discharged was not owed, or was discharged before.")
    state.duties[body.receipt] = tuple(each for each in owed if (each.field, each.claim) not in said)


def finish_duties(state: ConsentState, *, newest_s: int) -> None:
    """Report what was not discharged in time.

    Args:
        newest_s: the latest time that an entry of the log states, seconds since 1970-01-01 UTC.
    """
    for duty in (duty for duties in state.duties.values() for duty in duties):
        if newest_s > duty.due_s + DISCHARGE_WITHIN_S + TIME_SLACK_S:
            state.reporter(duty.index)("P9.overdue", f"What was kept is not discharged: {duty.field}.")


def carry_duty(state: ConsentState, body: DutyBody, index: int) -> None:
    """Take a duty as the part of the opening at `index` carries it."""
    _owe(state, body.receipt, Duty(body.field, body.claim, body.due, index))


def carried_duties(state: ConsentState) -> Iterator[Carried]:
    """Yield the records of what is owed."""
    for receipt, duties in state.duties.items():
        for duty in duties:
            yield carried_duty(receipt, duty.field, claim=duty.claim, due_s=duty.due_s)


def carried_duty(receipt: str, field: str, *, claim: str, due_s: int) -> Carried:
    """Return the record of a duty."""
    body = DutyBody.model_validate({"receipt": receipt, "field": field, "claim": claim, "due": due_s})
    return Carried("duty", body.document())


def _owe(state: ConsentState, receipt: str, duty: Duty) -> None:
    state.duties[receipt] = (*state.duties.get(receipt, ()), duty)
