"""Events: sealed under their subject's key, committed to in the ledger, kept under a receipt that covers them.

Source: DESIGN flow 1, SCENARIOS 1.05 and 1.07 (periods and their close).
"""

import asyncio
import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import func, insert, select

from tallystick import wire
from tallystick_consent.decide import Ask, Permit
from tallystick_consent.entries import EventBody
from tallystick_consent.events import MEDIA_TYPE, JourneyEvent, event_payload, parse_event, parse_payload
from tallystick_consent.receipts.states import IN_FORCE, ReceiptState
from tallystick_consent.rules import days_touched, name_of
from tallystick_ledger.encoding import canonical_json, new_id, parse_json_object, to_base64url
from tallystick_ledger.errors import PayloadErased
from tallystick_ledger.times import CLOCKS_DIFFER_MAX_S
from tallystick_ledger.vault import Opening, Sealed, Vault
from tallystick_node.errors import Refused, no_such_thing
from tallystick_node.flows.people.standings import those_that_cover
from tallystick_node.flows.programs import known_program, zone_of
from tallystick_node.flows.receipts.resources import ResourceNames, names_of
from tallystick_node.keys.custody import erased
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Appended, Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import EVENTS, LINKS, RECEIPTS

KEPT_UNDER = IN_FORCE | {ReceiptState.PAUSED}
"""Under which receipts events are kept: a pause stops answers, so that what it would have answered can be made up."""

_NOT_LIVE = {
    ReceiptState.WITHDRAWN: ("receipt_withdrawn", "The subject has withdrawn the receipt that covered this event."),
    ReceiptState.REVOKED: ("receipt_revoked", "A partner has revoked the receipt that covered this event."),
    ReceiptState.INVALIDATED: ("receipt_invalidated", "The receipt that covered this event was never valid."),
    ReceiptState.EXPIRED: ("receipt_expired", "The receipt that covered this event has expired."),
    # Not ended, and yet not live: its time is over, and nothing has swept it up so far.
    **dict.fromkeys(KEPT_UNDER, ("receipt_expired", "The receipt that covered this event has expired.")),
}


async def record_event(node: Node, once: Once, body: wire.RecordEvent) -> StoredReply:
    """Record an event of one of our customers.

    Raises:
        EventRefused: not of its type's schema.
        Refused: in the future, in a closed period, or under no live receipt.
        BadInput, EntryMalformed: too large.
        PayloadErased: the subject was erased.
    """
    event_id = new_id("evt", node.random_bytes(16))
    event = parse_event(body.type, body.data, event_id=event_id)

    def work(transaction: Transaction) -> wire.Event:
        require_not_ahead(event, now_s=transaction.now_s)
        try:
            receipt = covering(node, transaction, event, subject=body.subject, named=body.receipt)
        except Refused:
            node.secrets.require_not_erased(body.subject)
            raise
        transaction.subject = body.subject
        _, opening = keep_event(node, transaction, event, subject=body.subject, receipt=receipt)
        return _shown(event_id, event.type, receipt, transaction.now_s, opening)

    def render(shown: wire.Event, proofs: tuple[wire.EntryProof, ...]) -> StoredReply:
        told = shown.model_copy(update={"proofs": proofs})
        # The opening is the payload: it must die with its key, so it is not kept with the reply.
        return StoredReply(201, told.model_dump_json(), kept=told.model_dump_json(exclude={"opening"}))

    reply = await node.once(once, work, render)
    return await asyncio.to_thread(_reopened, node, reply) if reply.replayed else reply


def require_not_ahead(event: JourneyEvent, *, now_s: int) -> None:
    """Refuse an event that has not happened yet."""
    if event.ended_at.timestamp() > now_s + CLOCKS_DIFFER_MAX_S:
        raise Refused(
            "event_in_future", "An event lies in the future.", remedy="Compare the app's clock with the node's."
        )


def keep_event(
    node: Node, transaction: Transaction, event: JourneyEvent, *, subject: str, receipt: str
) -> tuple[Appended, Opening]:
    """Seal an event under its subject's key, commit to it in the log, and keep it under a receipt.

    Raises:
        PayloadErased: the subject was erased.
    """
    payload = event_payload(event, source=node.host, subject=subject, receipt=receipt)
    sealed, opening = node.secrets.vault.seal(payload, subject=subject, entry_id=event.id, media_type=MEDIA_TYPE)
    committed = EventBody(commitment=to_base64url(sealed.commitment))
    appended = transaction.append("event", committed.document(), entry_id=event.id)
    transaction.execute(
        insert(EVENTS).values(
            id=event.id,
            leaf=appended.index,
            log=transaction.log,
            subject=subject,
            type=event.type,
            data_class=event.data_class,
            at_s=int(event.started_at.timestamp()),
            receipt=receipt,
            commitment=sealed.commitment,
            ciphertext=sealed.ciphertext,
            recorded_at_s=transaction.now_s,
        )
    )
    return appended, opening


def _reopened(node: Node, reply: StoredReply) -> StoredReply:
    """Return a reply that was kept without its opening, as it was given the first time.

    Raises:
        PayloadErased: the subject was erased since.
    """
    kept = parse_json_object(reply.body)
    opening = get_event(node, kept["event"]).opening
    told = wire.Event.model_validate_json(canonical_json({**kept, "opening": opening.model_dump(mode="json")}))
    return StoredReply(reply.status, told.model_dump_json(), replayed=True)


def get_event(node: Node, event: str) -> wire.Event:
    """Return an event, opened, for an app of this company.

    Raises:
        NotFound: there is none of that id.
        PayloadErased, PayloadUnavailable: its payload cannot be read any more.
    """
    row = node.row(select(EVENTS).where(EVENTS.c.id == event))
    if row is None:
        raise no_such_thing()
    return shown_event(node, row)


def shown_event(node: Node, row: Any) -> wire.Event:
    """Return an event of a row, opened.

    Raises:
        PayloadErased, PayloadUnavailable: its payload cannot be read any more.
    """
    return _shown(row.id, row.type, row.receipt, row.recorded_at_s, open_event(node, row))


def sealed_events(
    transaction: Transaction,
    subjects: Collection[str],
    *,
    data_classes: Collection[str],
    from_s: int,
    until_s: int,
) -> dict[str, list[Any]]:
    """Return the events of these subjects, classes and times, sealed as they are, by subject; but for what was
    corrected."""
    asked = select(
        EVENTS.c.id,
        EVENTS.c.subject,
        EVENTS.c.data_class,
        EVENTS.c.at_s,
        EVENTS.c.commitment,
        EVENTS.c.ciphertext,
        EVENTS.c.recorded_at_s,
    ).where(
        EVENTS.c.subject.in_(subjects),
        EVENTS.c.data_class.in_(sorted(data_classes)),
        EVENTS.c.at_s >= from_s,
        EVENTS.c.at_s < until_s,
        EVENTS.c.corrected_by.is_(None),
    )
    found: dict[str, list[Any]] = {}
    for row in transaction.execute(asked).all():
        found.setdefault(row.subject, []).append(row)
    return found


def open_permitted(
    vault: Vault, rows: Iterable[Any], permit: Permit, *, names: ResourceNames | None = None
) -> list[JourneyEvent]:
    """Open those of a subject's events that a permit covers, and nothing else; what was erased is not there.

    Each event carries when it was recorded, so that what came after a period's close does not count for it. Which
    resource an event is of stands in its payload alone: one that the permit leaves out is let go once that is read.

    Args:
        vault: has the subject's key.
        rows: of its events, sealed.
        permit: of a receipt.
        names: how that receipt's link calls resources, where the permit is of some alone.

    Raises:
        PayloadUnavailable: a key that is needed for it is missing.
    """
    opened: list[JourneyEvent] = []
    for row in rows:
        if row.data_class not in permit.data_classes or not permit.events_from_s <= row.at_s < permit.events_until_s:
            continue
        try:
            event = parse_payload(_opened(vault, row).payload, recorded_at_s=row.recorded_at_s)
        except PayloadErased:
            continue
        if permit.resources is not None and not (names and names.let_through(event, permit.resources)):
            continue
        opened.append(event)
    return opened


def last_recorded(transaction: Transaction, asked: Ask, subjects: Collection[str], *, since_s: int) -> dict[str, int]:
    """Return when the last event that a question is about was recorded, of each subject that has one from a moment on;
    nothing is opened for that."""
    late = (
        select(EVENTS.c.subject, func.max(EVENTS.c.recorded_at_s).label("at_s"))
        .where(
            EVENTS.c.subject.in_(subjects),
            EVENTS.c.data_class.in_(sorted(asked.data_classes)),
            EVENTS.c.at_s >= asked.events_from_s,
            EVENTS.c.at_s < asked.events_until_s,
            EVENTS.c.recorded_at_s >= since_s,
            EVENTS.c.corrected_by.is_(None),
        )
        .group_by(EVENTS.c.subject)
    )
    return {row.subject: row.at_s for row in transaction.execute(late).all()}


def covering(
    node: Node,
    transaction: Transaction,
    event: JourneyEvent,
    *,
    subject: str,
    named: str | None,
    even_closed: bool = False,
) -> str:
    """Return the receipt under which an event is kept: live, for its data class, time and resource, its period open.

    Args:
        named: the only receipt that will do; None for any.
        even_closed: its period may be closed, since the event comes with a correction.

    Raises:
        Refused: there is none.
    """
    rows = transaction.execute(
        select(RECEIPTS)
        .join(LINKS, LINKS.c.id == RECEIPTS.c.link)
        .where(LINKS.c.subject == subject, RECEIPTS.c.role == "issuer")
        .order_by(RECEIPTS.c.requested_at_s, RECEIPTS.c.id)
    ).all()
    covering = [row for row in rows if (named is None or row.id == named) and covered_by(row, event)]
    stands = those_that_cover(transaction, covering, subject=subject)
    live = [row for row in stands if ReceiptState(row.state) in KEPT_UNDER and transaction.now_s < row.valid_until_s]
    if not live:
        raise _uncovered([row for row in covering if row in stands or row.ended_at_s is not None])
    live = [row for row in live if _is_about(node, row, event)]
    if not live:
        raise _uncovered([])
    for row in live:
        if even_closed or not _is_closed(transaction, row, event):
            return str(row.id)
    raise Refused(
        "period_closed",
        "The period of this event is closed.",
        remedy="Late evidence is for a correction: POST /v1/corrections; it does not change the period by itself.",
    )


def covered_by(row: Any, event: JourneyEvent) -> bool:
    """Return whether a receipt is about events like this one, live or not."""
    terms = json.loads(row.terms)
    at_s = int(event.started_at.timestamp())
    return event.data_class in terms["data_classes"] and terms["events_from_s"] <= at_s < terms["events_until_s"]


def _is_about(node: Node, row: Any, event: JourneyEvent) -> bool:
    named = json.loads(row.terms).get("resources")
    return named is None or names_of(node, row.link).let_through(event, frozenset(each["id"] for each in named))


def _uncovered(covering: Sequence[Any]) -> Refused:
    ended = [row.state for row in covering if row.state in _NOT_LIVE]
    if not ended:
        return Refused(
            "receipt_missing",
            "No receipt covers this event.",
            remedy="Ask the subject for consent first. Where there is a receipt, it names no events of this kind,"
            " or none of that time (events_from, events_until). Nothing was recorded.",
        )
    code, problem = _NOT_LIVE[ended[-1]]
    return Refused(code, problem, remedy="Ask the subject for consent first; nothing was recorded.")


def _is_closed(transaction: Transaction, row: Any, event: JourneyEvent) -> bool:
    terms = json.loads(row.terms)
    program = known_program(transaction, terms["recipient"], terms["program"], terms["program_version"])
    rule, zone = program.rule.spelled_out(), zone_of(program)
    if event.type not in rule.closes_on:
        return False
    _, last_day = days_touched(event, rule, zone=zone)
    return transaction.now_s >= program.closed_for_all_s(name_of(last_day, rule.span), zone=zone)


def open_event(node: Node, row: Any) -> Opening:
    """Return the payload of an event's row.

    Raises:
        PayloadErased, PayloadUnavailable: it cannot be read any more.
    """
    return _opened(node.secrets.vault, row)


def _opened(vault: Vault, row: Any) -> Opening:
    if not row.ciphertext:
        raise erased()
    sealed = Sealed(row.commitment, row.ciphertext)
    return vault.open(sealed, subject=row.subject, entry_id=row.id, media_type=MEDIA_TYPE)


def _shown(event_id: str, event_type: str, receipt: str, recorded_at_s: int, opening: Opening) -> wire.Event:
    return wire.Event(
        event=event_id,
        type=event_type,
        receipt=receipt,
        recorded_at=recorded_at_s,
        opening=wire.Opening(
            salt=to_base64url(opening.salt), media_type=MEDIA_TYPE, payload=to_base64url(opening.payload)
        ),
    )
