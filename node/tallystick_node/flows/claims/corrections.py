"""Corrections at the issuer: an event was wrong, or missing; what was told because of it is told anew, or taken back.

The correction is an entry that names the events by their places. Every answer that follows from it names the
correction, so that an auditor can follow it from the event to the claim, and at the recipient from the claim to the
reward. What was logged stays as it is.

Source: DESIGN section 4, SCENARIOS 1.07, 3.06 and 3.19.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, update

from tallystick import wire
from tallystick_consent.claims.claim import Answer
from tallystick_consent.claims.release import leaving_at_s, slot_of
from tallystick_consent.decide import Refusal
from tallystick_consent.entries import CorrectionBody
from tallystick_consent.events import JourneyEvent, parse_event, parse_payload
from tallystick_consent.places import EventPlace
from tallystick_consent.program import Program
from tallystick_consent.rules import (
    MARGIN_S,
    Because,
    days_touched,
    evaluate,
    follows,
    name_of,
    period_after,
    with_late,
)
from tallystick_consent.signed import Correction, Retraction, signed_digest
from tallystick_ledger.encoding import new_id
from tallystick_node.errors import Refused, no_such_thing
from tallystick_node.flows.claims.decisions import keep_another_look
from tallystick_node.flows.claims.ending import last_disclosure, log_disclosure, withhold_claims
from tallystick_node.flows.claims.issuing import last_answer, release_key
from tallystick_node.flows.claims.made_good import forget_planned, plan_answer
from tallystick_node.flows.claims.reading import Reading, Slot
from tallystick_node.flows.claims.status import revoke_claim
from tallystick_node.flows.events import KEPT_UNDER, covered_by, covering, keep_event, open_event, require_not_ahead
from tallystick_node.flows.outgoing import queue_message
from tallystick_node.flows.programs import known_program, zone_of
from tallystick_node.flows.receipts.rows import receipt_of, with_subject
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import CLAIMS, CORRECTIONS, EVENTS, LINKS, MESSAGES, RECEIPTS

PERIODS_MAX = 400
"""Periods of one receipt that a correction evaluates again: a year of days, and more than a year of anything longer."""

_AS_BEFORE = frozenset({"stands", "not_reached", "not_permitted"})
"""What becomes of a period that a correction does not reach."""


async def correct_event(node: Node, once: Once, body: wire.CorrectEvent, *, tells_effects: bool) -> StoredReply:
    """Correct an event of one of our customers, and what followed from it.

    Args:
        tells_effects: whether who calls may know which partners are told what.

    Raises:
        NotFound: no such event of this subject.
        EventRefused: what takes its place is not of its type's schema.
        Refused: it was corrected before; or what takes its place is under no live receipt, or in the future.
        PayloadUnavailable, PayloadErased: a payload that is needed cannot be read.
    """
    right_id = new_id("evt", node.random_bytes(16))
    right = None
    if body.type is not None and body.data is not None:
        right = parse_event(body.type, body.data, event_id=right_id)

    def work(transaction: Transaction) -> wire.Correction:
        transaction.subject = body.subject
        wrong_row = None if body.event is None else _wrong(transaction, body.event, subject=body.subject)
        events = [] if wrong_row is None else [parse_payload(open_event(node, wrong_row).payload)]
        right_place = None
        if right is not None:
            require_not_ahead(right, now_s=transaction.now_s)
            receipt = _covering(node, transaction, right, body)
            appended, _ = keep_event(node, transaction, right, subject=body.subject, receipt=receipt)
            right_place = EventPlace(log=_origin(node, transaction.log), leaf=appended.index)
            events.append(right)
        shown = _correct(node, transaction, body, wrong_row, right_place, events)
        told = shown.effects if tells_effects else ()
        return shown.model_copy(update={"right": None if right is None else right.id, "effects": told})

    def render(shown: wire.Correction, proofs: tuple[wire.EntryProof, ...]) -> StoredReply:
        return StoredReply(201, shown.model_copy(update={"proofs": proofs}).model_dump_json())

    return await node.once(once, work, render)


def _covering(node: Node, transaction: Transaction, right: JourneyEvent, body: wire.CorrectEvent) -> str:
    try:
        return covering(node, transaction, right, subject=body.subject, named=body.receipt, even_closed=True)
    except Refused:
        node.secrets.require_not_erased(body.subject)
        raise


def _correct(
    node: Node,
    transaction: Transaction,
    body: wire.CorrectEvent,
    wrong_row: Any,
    right_place: EventPlace | None,
    events: Sequence[JourneyEvent],
) -> wire.Correction:
    wrong_place = None
    if wrong_row is not None:
        wrong_place = EventPlace(log=_origin(node, wrong_row.log), leaf=wrong_row.leaf)
    token = node.signed(Correction(wrong=wrong_place, right=right_place, at=transaction.now_s))
    said = CorrectionBody(wrong=wrong_place, right=right_place, signed=signed_digest(token))
    correction = transaction.append("correction", said.document(), entry_id=transaction.new_id("cor")).entry.id
    transaction.execute(insert(CORRECTIONS).values(id=correction, subject=body.subject, token=token))
    if wrong_row is not None:
        marked = {"corrected_by": correction}
        transaction.execute(update(EVENTS).where(EVENTS.c.id == wrong_row.id).values(**marked))
    because: Because = "missing" if wrong_row is None else "wrong"
    effects = [
        effect
        for row in _receipts_of(transaction, body.subject)
        if any(covered_by(row, event) for event in events)
        for effect in _evaluate_again(node, transaction, row, correction, events, because=because)
    ]
    return wire.Correction(
        correction=correction,
        wrong=body.event,
        right=None,
        recorded_at=transaction.now_s,
        effects=tuple(effects),
    )


def _wrong(transaction: Transaction, event: str, *, subject: str) -> Any:
    row = transaction.row(select(EVENTS).where(EVENTS.c.id == event, EVENTS.c.subject == subject))
    if row is None:
        raise no_such_thing()
    if row.corrected_by is not None:
        raise Refused(
            "event_corrected",
            "This event was corrected before.",
            remedy="Correct the event that took its place, or record what was missing.",
            existing_id=row.corrected_by,
        )
    return row


def _origin(node: Node, log: str) -> str:
    return f"{node.host}/log/{log}"


def _receipts_of(transaction: Transaction, subject: str) -> Sequence[Any]:
    """Return the receipts of a subject that have not ended; what was told under others cannot be evaluated any more."""
    mine = (LINKS.c.subject == subject, RECEIPTS.c.role == "issuer", RECEIPTS.c.state.in_(KEPT_UNDER))
    return list(transaction.execute(with_subject().where(*mine).order_by(RECEIPTS.c.id)).all())


def _evaluate_again(
    node: Node, transaction: Transaction, row: Any, correction: str, events: Sequence[JourneyEvent], *, because: Because
) -> list[wire.CorrectionEffect]:
    """Evaluate the periods again that were answered under a receipt, from the first that the events lie in."""
    terms = receipt_of(row).terms
    program = known_program(transaction, terms.recipient, terms.program, terms.program_version)
    zone, rule = zone_of(program), program.rule.spelled_out()
    first_day = min(days_touched(event, rule, zone=zone)[0] for event in events)
    # A session may have begun before it, and what removes or reconciles speaks of any period that was open then.
    reaches_back = timedelta(seconds=MARGIN_S, days=rule.close_after_days if rule.reads_to_close else 0)
    first_told = datetime.fromtimestamp(terms.events_from_s, zone).date()
    name = name_of(max(first_day - reaches_back, first_told), rule.span)
    own = name_of(first_day, rule.span)
    effects: list[wire.CorrectionEffect] = []
    for _ in range(PERIODS_MAX):
        is_closed = transaction.now_s >= program.closed_for_all_s(name, zone=zone)
        start_s = program.period(name, zone=zone).start_s
        if name == row.next_period or not is_closed or start_s >= terms.events_until_s:
            break
        outcome = _settle(node, transaction, row, program, name, correction, because=because)
        if name >= own or outcome not in _AS_BEFORE:  # else it holds none of the events, and they change nothing there
            effects.append(
                wire.CorrectionEffect(
                    receipt=row.id, partner=row.partner, program=program.program, period=name, outcome=outcome
                )
            )
        row = transaction.row(with_subject().where(RECEIPTS.c.id == row.id))  # a new claim has counted a use
        name = period_after(name)
    return effects


def _settle(
    node: Node,
    transaction: Transaction,
    row: Any,
    program: Program,
    name: str,
    correction: str,
    *,
    because: Because,
) -> str:
    """Hold what a period comes to now, every event counted as if it had come in time, against what was told of it;
    tell the difference, and keep it for the subject to read."""
    last = last_answer(transaction, row.id, name)
    slot = Slot(row, receipt_of(row, again=last is not None), program, name)
    read = Reading(node, transaction, [slot]).read(slot, uses=slot.receipt.uses)
    if isinstance(read, Refusal):
        return "not_permitted"
    found = evaluate(program.rule, with_late(read.events), period=read.period, zones=read.zones)
    told = last if last is not None and last.state in ("issued", "delivered") else None
    statement = None if told is None else Answer.model_validate_json(told.answer).statement
    outcome = follows(program.rule, statement, found, because=because, period=read.period, now_s=transaction.now_s)
    if outcome == "issued" and _is_told_elsewhere(transaction, row, program, name):
        return "stands"  # the slot is answered under another receipt of the link
    # What is planned still stands while the subject has reached what is asked, however this correction counts.
    is_dropped = not found.satisfied and forget_planned(transaction, row.id, name)
    if is_dropped and outcome == "not_reached":  # what she was told is made good never will be
        keep_another_look(transaction, row, program, name, "revoked", found=found)
    claim, retracted_s = "", 0
    if outcome in ("revoked", "superseded"):
        assert told is not None, "only what was told is taken back"
        claim = told.digest
        closed_s = program.closed_for_all_s(name, zone=zone_of(program))
        retracted_s = _take_back(node, transaction, told, correction, closed_s=closed_s)
    if outcome in ("issued", "superseded"):
        claim = ""  # named once it is issued
        plan_answer(node, transaction, row, program, name, correction, after_s=retracted_s)
    if outcome not in _AS_BEFORE:
        keep_another_look(transaction, row, program, name, outcome, found=found, claim=claim)
    return outcome


def _is_told_elsewhere(transaction: Transaction, row: Any, program: Program, period: str) -> bool:
    """Return whether a claim under another receipt of the link stands for a period of a program."""
    stands = (CLAIMS.c.role == "issuer", CLAIMS.c.state.in_(("issued", "delivered")), CLAIMS.c.receipt != row.id)
    slot = (CLAIMS.c.link == row.link, CLAIMS.c.program == program.program, CLAIMS.c.period == period)
    return transaction.row(select(CLAIMS.c.digest).where(*stands, *slot).limit(1)) is not None


def _take_back(node: Node, transaction: Transaction, told: Any, correction: str, *, closed_s: int) -> int:
    """Withhold a claim that never left; revoke one that may have, and tell its recipient. Return when that is told, 0
    where it is not.

    That leaves, and its status shows it, at a time of the claim's own, as the claim did: whom the correction is about
    may have other partners, and corrections are few, so that two who hear of one at once could match her (P6).

    Args:
        closed_s: when its period closed.
    """
    message = transaction.row(
        select(MESSAGES).where(MESSAGES.c.about == told.digest, MESSAGES.c.kind == "claim.issued")
    )
    assert message is not None, "a claim is queued in the transaction that issues it"
    if message.state == "queued":
        settled = {"state": "withheld", "body": None}
        transaction.execute(update(MESSAGES).where(MESSAGES.c.number == message.number).values(**settled))
        if not message.maybe_arrived and told.handed_at_s is None:
            withhold_claims(transaction, [told.digest])
            return 0
    body = last_disclosure(transaction, told.digest)
    log_disclosure(transaction, body.model_copy(update={"state": "revoked", "correction": correction}))
    revoked = {"state": "revoked", "token": "", "salt": ""}
    transaction.execute(update(CLAIMS).where(CLAIMS.c.digest == told.digest).values(**revoked))
    drawn_with: dict[str, Any] = {"key": release_key(node), "recipient": told.partner, "period": told.period}
    opens = slot_of(closed_s, **drawn_with, ready_s=transaction.now_s)
    leaves_s = leaving_at_s(told.digest, **drawn_with, slot=opens)
    revoke_claim(transaction, told.digest, from_s=leaves_s)
    token = node.signed(
        Retraction(
            recipient=told.partner,
            receipt=told.receipt,
            claim=told.digest,
            nullifier=told.nullifier,
            at=leaves_s,  # when it is said, to whom it is said
        )
    )
    queue_message(
        transaction,
        "claim.revoked",
        partner=told.partner,
        about=told.digest,
        body=wire.PeerSigned(token=token),
        not_before_s=leaves_s,
    )
    return leaves_s
