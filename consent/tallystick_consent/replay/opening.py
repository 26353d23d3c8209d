"""What a log's opening carries of consent, taken from the log before and handed on to the next.

What is wrong with the opening itself, the ledger floor's replay says.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from tallystick_consent.entries import (
    CARRIED,
    CarriedAnswer,
    CarriedDisclosure,
    DutyBody,
    ErasureBody,
    ProgramBody,
    ReceiptBody,
    parse_carried,
)
from tallystick_consent.replay.answers import carried_disclosure, carry_answer, carry_disclosure
from tallystick_consent.replay.duties import carried_duties, carry_duty
from tallystick_consent.replay.erasures import take_erasure
from tallystick_consent.replay.programs import carry_program
from tallystick_consent.replay.receipts import carried_receipt, carry_receipt, counts_here, receipt_is_open
from tallystick_consent.replay.state import ConsentState, Report
from tallystick_ledger.entry import Entry
from tallystick_ledger.errors import EntryMalformed
from tallystick_ledger.opening import REMEMBERED_S, Carried, parse_opening
from tallystick_ledger.replay import CARRIED_KINDS


def take_opening(state: ConsentState, entry: Entry, index: int, report: Report) -> None:
    """Take what the part of an opening at `index` carries; one that stands behind other entries opens nothing."""
    if index != state.opened:
        return
    state.opened += 1
    try:
        opening = parse_opening(entry.body)
    except EntryMalformed:
        return
    state.continues = state.continues or opening.predecessor is not None
    for record in opening.carried:
        if record.kind not in CARRIED:
            if record.kind not in CARRIED_KINDS:
                state.count_unchecked(f"opening/{record.kind}")
            continue
        try:
            body = parse_carried(record)
        except EntryMalformed as error:
            report("entry.malformed", error.problem)
            continue
        if isinstance(body, ReceiptBody):
            carry_receipt(state, body, index, entry.at_s, report)
        elif isinstance(body, CarriedDisclosure):
            carry_disclosure(state, body, index, entry.at_s, report)
        elif isinstance(body, DutyBody):
            carry_duty(state, body, index)
        elif isinstance(body, CarriedAnswer):
            carry_answer(state, body)
        elif isinstance(body, ProgramBody):
            carry_program(state, body, report)
        elif isinstance(body, ErasureBody):
            take_erasure(state, body, report)


def carries(state: ConsentState, at_s: int) -> Iterator[Carried]:
    """Yield the records of this floor that the opening of the next log must carry, if it is written at `at_s`."""
    recent = {claim for claim, logged_s in state.logged_at_s.items() if at_s - logged_s < REMEMBERED_S}
    outstanding = {
        body.receipt for claim, (body, _) in state.disclosures.items() if claim in recent and body.state == "issued"
    }
    for program in state.programs.values():
        yield Carried("program", program.document())
    for life in state.receipts.values():
        if receipt_is_open(life.body, host=state.host, at_s=at_s) or life.body.receipt in outstanding:
            so_far = life.so_far if counts_here(life.body, host=state.host) else None
            yield carried_receipt(life.body, life.deliverable, so_far)
            if life.asked is not None:
                yield carried_receipt(life.asked, frozenset(), None)
    for answer in state.before.values():
        if at_s - answer.at < REMEMBERED_S:
            yield Carried("answer", answer.document())
    for claim, (body, _) in state.disclosures.items():
        if claim in recent:
            yield carried_disclosure(body, at_s=state.logged_at_s[claim])
    for claim, (accepted, _) in state.acceptances.items():
        if claim in recent:
            at = state.logged_at_s[claim]
            stands: Literal["accepted", "retracted"] = "retracted" if claim in state.retracted else "accepted"
            answer = CarriedAnswer(claim=claim, nullifier=accepted.nullifier, state=stands, at=at)
            yield Carried("answer", answer.document())
    yield from carried_duties(state)
    for erasure in state.erasures.values():
        if erasure.state == "erased":
            yield Carried("erasure", erasure.document())


def untold(records: Iterable[Carried]) -> frozenset[str]:
    """Return the digests of the programs of which a record does not say what their answers tell."""
    silent = (each.body.get("digest") for each in records if each.kind == "program" and not each.body.get("tells"))
    return frozenset(digest for digest in silent if isinstance(digest, str))


def without_leaves(records: Iterable[Carried], *, untold: frozenset[str] = frozenset()) -> Iterator[Carried]:
    """Yield records as two logs must agree on them: the place of a receipt is another one in each.

    Args:
        untold: digests of programs of which one of the two does not say what their answers tell: a log whose programs
            did not say it yet is continued by one whose programs do.
    """
    for record in records:
        disclosure, digest = record.body.get("disclosure"), record.body.get("digest")
        if record.kind == "disclosure" and isinstance(disclosure, dict):
            record = Carried(record.kind, {**record.body, "disclosure": {**disclosure, "receipt_leaf": 0}})
        elif record.kind == "program" and isinstance(digest, str) and digest in untold:
            record = Carried(record.kind, {name: each for name, each in record.body.items() if name != "tells"})
        yield record
