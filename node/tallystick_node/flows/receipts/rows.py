"""Receipts, as both ends keep them: their rows, their end, and how they are shown.

`recipient` is the end that asks, `issuer` and `giving` the end where the subject answers. Every transition is an entry
on both ledgers.

Source: DESIGN flow 3, CONSTRUCTIONS (keys), SCENARIOS section 0 (withdrawal of consent).
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, insert, select, update

from tallystick import wire
from tallystick_consent.entries import ReceiptBody, Signature, receipt_body
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.program import Program
from tallystick_consent.receipts.authority import Authority
from tallystick_consent.receipts.receipt import Notice, Receipt, Terms, parse_terms
from tallystick_consent.receipts.states import HELD, IN_FORCE, OPEN, ReceiptState
from tallystick_consent.replay import TIME_SLACK_S
from tallystick_consent.signed import Acknowledgement, open_object, signed_digest
from tallystick_consent.together import require_within_beside
from tallystick_ledger.encoding import canonical_json
from tallystick_node.errors import Refused
from tallystick_node.flows.claims.ending import drop_claims_of
from tallystick_node.flows.links import await_own_receipt, end_link
from tallystick_node.flows.outgoing import queue_message
from tallystick_node.flows.programs import known_program
from tallystick_node.flows.receipts.duties import discharge_of, keep_after_end
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Appended, Transaction
from tallystick_node.node import Node, no_such_thing
from tallystick_node.paging import read_page
from tallystick_node.storage.tables import CLAIMS, CONTESTS, DECISIONS, LINKS, MESSAGES, RECEIPT_VERSIONS, RECEIPTS

DAY_S = 86_400
CLOSING_TAIL_S = 62 * DAY_S
"""How long a receipt outlives the events it covers, so that their last period can close and be answered."""

LOOKBACK_MAX_S = 366 * DAY_S
"""How far before its request a receipt may reach: far enough for a year, near enough for every calendar."""

REQUEST_LIFE_S = 30 * DAY_S
"""How long a subject may take to answer a request, and a request to arrive."""

GUARDIAN = Authority(kind="guardian")

ACKNOWLEDGE_WITHIN_S = 7 * DAY_S
"""How long a partner may take to sign for a pause or an ending: a week, in which one that is down is mended."""


def find_receipts(node: Node, body: wire.FindReceipts) -> wire.Receipts:
    """Return the receipts of one customer or link, oldest first."""
    mine = LINKS.c.subject == body.subject if body.subject is not None else LINKS.c.id == body.link
    rows = node.rows(_with_hint().where(mine).order_by(RECEIPTS.c.requested_at_s, RECEIPTS.c.id))
    return wire.Receipts(receipts=tuple(_shown(row) for row in rows))


def get_receipt(node: Node, receipt: str) -> wire.Receipt:
    """Return one receipt.

    Raises:
        NotFound: there is none of that id.
    """
    row = node.row(_with_hint().where(RECEIPTS.c.id == receipt))
    if row is None:
        raise no_such_thing()
    return _shown(row)


def show_receipt(transaction: Transaction, receipt: str) -> wire.Receipt:
    """Return a receipt as it stands in this write."""
    row = transaction.row(_with_hint().where(RECEIPTS.c.id == receipt))
    assert row is not None, "a write shows a receipt that it has found"
    transaction.subject = row.subject
    return _shown(row)


def show_receipts(transaction: Transaction, subject: str) -> tuple[wire.Receipt, ...]:
    """Return the receipts of one customer as they stand in this write, oldest first."""
    transaction.subject = subject
    mine = _with_hint().where(LINKS.c.subject == subject).order_by(RECEIPTS.c.requested_at_s, RECEIPTS.c.id)
    return tuple(_shown(row) for row in transaction.execute(mine).all())


def find_unacknowledged(node: Node, *, limit: int, cursor: str | None) -> wire.Unacknowledged:
    """Return a page of the steps that partners have not signed for, those that wait longest first.

    Raises:
        NotFound: the cursor is not one of this list.
    """
    waiting = select(RECEIPTS).where(RECEIPTS.c.unacknowledged_since_s.is_not(None))
    order = (RECEIPTS.c.unacknowledged_since_s, RECEIPTS.c.id)
    now_s, page = node.now_s(), read_page(node, waiting, by=order, limit=limit, cursor=cursor)
    listed = [row.id for row in page.rows]
    given_up = {
        row.about
        for row in node.rows(
            select(MESSAGES.c.about, MESSAGES.c.kind, RECEIPTS.c.state.label("step"))
            .join(RECEIPTS, RECEIPTS.c.id == MESSAGES.c.about)
            .where(MESSAGES.c.state == "rejected", MESSAGES.c.about.in_(listed))
        )
        if row.kind == f"receipt.{row.step}"
    }
    return wire.Unacknowledged(
        steps=tuple(
            wire.UnacknowledgedStep(
                receipt=row.id,
                partner=row.partner,
                state=row.state,
                since=row.unacknowledged_since_s,
                refused=row.id in given_up,
                due=due_s,
                overdue=due_s is not None and due_s <= now_s,
            )
            for row in page.rows
            for due_s in (_acknowledge_by(row),)
        ),
        has_more=page.has_more,
        next_cursor=page.next_cursor,
    )


def _acknowledge_by(row: Any) -> int | None:
    """Return when a receipt's last step must be signed for; None where it says no time, as what version 0.1 took."""
    step: dict[str, Any] = json.loads(row.last_step or "{}")
    return step.get("acknowledge_by")


def receipt_of(row: Any, *, again: bool = False) -> Receipt:
    """Return a row as `decide` takes it.

    Args:
        again: an answer that was given, and counted, is given in another claim.
    """
    return Receipt(
        terms_of(row),
        ReceiptState(row.state),
        acknowledged=row.live_leaf is not None,
        uses=row.uses - 1 if again else row.uses,
        confirm_by_s=row.confirm_by_s,
    )


def terms_of(row: Any) -> Terms:
    """Return the terms in a row."""
    return parse_terms(json.loads(row.terms))


def with_subject() -> Select[Any]:
    """Return the query of receipts, each with the subject of its link, and up to when earlier links of theirs told."""
    return select(RECEIPTS, LINKS.c.subject, LINKS.c.answered_until_s).join(LINKS, LINKS.c.id == RECEIPTS.c.link)


def row_of_partner(transaction: Transaction, receipt: object, *, partner: str, role: str | tuple[str, ...]) -> Any:
    """Return the row of a receipt with a partner.

    Raises:
        NotFound: there is none at this end.
    """
    roles = (role,) if isinstance(role, str) else role
    row = transaction.row(
        select(RECEIPTS).where(RECEIPTS.c.id == receipt, RECEIPTS.c.partner == partner, RECEIPTS.c.role.in_(roles))
    )
    if row is None:
        raise no_such_thing()
    return row


def row_of_subject(transaction: Transaction, receipt: str, subject: str) -> Any:
    """Return the row of a receipt that a customer of ours gives or stops here, with the subject of its link.

    Raises:
        NotFound: there is none of theirs.
    """
    mine = with_subject().where(RECEIPTS.c.id == receipt, RECEIPTS.c.role == "issuer", LINKS.c.subject == subject)
    row = transaction.row(mine)
    if row is None:
        raise no_such_thing()
    transaction.subject = subject
    return row


def require_none_open(transaction: Transaction, link: str) -> None:
    """Refuse a second receipt while one of a link is open: both would answer for one slot."""
    row = transaction.row(select(RECEIPTS.c.id).where(RECEIPTS.c.link == link, RECEIPTS.c.state.in_(OPEN)))
    if row is not None:
        raise Refused(
            "receipt_exists",
            "This link has a receipt that has not ended.",
            remedy="Wait until it has ended, then ask anew.",
            existing_id=row.id,
        )


def require_recent(terms: Terms) -> None:
    """Refuse a request that reaches further back than anybody will evaluate."""
    if terms.events_from_s < terms.valid_from_s - LOOKBACK_MAX_S:
        raise ReceiptRejected(
            "period_not_covered", "A request reaches more than a year back.", remedy="Ask from a later time on."
        )


def insert_receipt(transaction: Transaction, terms: Terms, notice: Notice, *, partner: str, role: str) -> None:
    """Keep a receipt that was just requested."""
    transaction.execute(
        insert(RECEIPTS).values(
            id=terms.receipt,
            version=terms.version,
            link=terms.link,
            partner=partner,
            role=role,
            state=ReceiptState.REQUESTED,
            terms=canonical_json(terms.document()).decode(),
            notice=notice.model_dump_json(),
            requested_at_s=transaction.now_s,
            valid_until_s=terms.valid_until_s,
            uses=0,
        )
    )
    transaction.execute(update(LINKS).where(LINKS.c.id == terms.link).values(waits_until_s=None))


def log_receipt(transaction: Transaction, body: ReceiptBody) -> Appended:
    """Log a step of a receipt that has its row, and keep the step: with what it let through, also after that was
    acknowledged."""
    before = transaction.row(select(RECEIPTS.c.last_step).where(RECEIPTS.c.id == body.receipt))
    kept = body
    if before is not None and before.last_step and ReceiptState(body.state) not in IN_FORCE:
        last = ReceiptBody.model_validate_json(before.last_step)
        if last.state == body.state:
            kept = body.model_copy(update={"deliverable": last.deliverable})
    change_receipt(transaction, body.receipt, last_step=kept.model_dump_json())
    return transaction.append("receipt", body.document())


def last_state(row: Any) -> ReceiptState:
    """Return the state that the ledger has a receipt in; its row is ahead of that while its subject is erased."""
    return ReceiptState(json.loads(row.last_step)["state"] if row.last_step else row.state)


def acknowledge(node: Node, transaction: Transaction, row: Any, state: str, signed: str) -> str:
    """Return our signature over the digest of what the other partner signed about a receipt, as its row is now."""
    content = {"receipt": row.id, "version": row.version, "state": state, "digest": signed_digest(signed)}
    return node.signed(Acknowledgement.model_validate({**content, "at": transaction.now_s}))


def acknowledged(
    node: Node, transaction: Transaction, row: Any, *, state: str, sent: str, token: str
) -> Appended | None:
    """Log the other partner's signature over a step; None where that is not the last one any more, or is logged.

    Args:
        state: the step's.
        sent: what we signed.
        token: its answer.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected: not that partner's signature over this step.
    """
    answer = open_object(token, Acknowledgement, keys=node.partner(row.partner).ed25519("receipt"))
    if (answer.receipt, answer.state, answer.digest) != (row.id, state, signed_digest(sent)):
        raise ReceiptRejected(
            "receipt_malformed", "An acknowledgement is of something else.", remedy="Acknowledge what was sent."
        )
    last = _last_step(row, signed=signed_digest(sent))
    if (last.state, last.signed, last.acknowledgement) != (state, signed_digest(sent), None):
        return None
    require_timely(answer.at, since_s=row.unacknowledged_since_s or row.ended_at_s or 0, now_s=transaction.now_s)
    signature = Signature(at=answer.at, digest=signed_digest(token))
    appended = log_receipt(transaction, last.model_copy(update={"acknowledgement": signature, "deliverable": ()}))
    change_receipt(transaction, row.id, unacknowledged_since_s=None)
    if ReceiptState(state) not in OPEN:
        change_receipt(transaction, row.id, end_acknowledged_at_s=answer.at)
    return appended


def require_timely(signed_at_s: int, *, since_s: int, now_s: int) -> None:
    """Refuse a partner's signature that states a time before what it is for, or one to come: it would stand in our
    ledger for good, and our customer be shown it.

    Raises:
        ReceiptRejected: likewise.
    """
    if not since_s - TIME_SLACK_S <= signed_at_s <= now_s + TIME_SLACK_S:
        raise ReceiptRejected(
            "receipt_malformed",
            "A signature states a time before what it is for, or one to come.",
            remedy="Sign with the time at which it is signed, by a clock that is right.",
        )


def _last_step(row: Any, *, signed: str) -> ReceiptBody:
    """Return a receipt's last step; a row of version 0.1 kept none, and had one that was signed at most."""
    if row.last_step:
        return ReceiptBody.model_validate_json(row.last_step)
    grade = json.loads(row.evidence)["grade"] if row.state == ReceiptState.GIVEN else ""
    return receipt_body(terms_of(row), row.state, grade=grade, signed=signed)


def change_receipt(transaction: Transaction, receipt: str, **values: object) -> None:
    """Change columns of a receipt."""
    transaction.execute(update(RECEIPTS).where(RECEIPTS.c.id == receipt).values(**values))


def last_yes(row: Any) -> str:
    """Return the digest of the signed receipt or renewal that is the last yes to a receipt, "" before there is one."""
    return signed_digest(row.signed) if row.signed else ""


def stopped(row: Any) -> dict[str, object]:
    """Return what a receipt's leaves become when answers stop."""
    return {"live_leaf": None, "lived_leaf": row.lived_leaf if row.live_leaf is None else row.live_leaf}


def end_receipt(
    transaction: Transaction,
    row: Any,
    state: ReceiptState,
    *,
    listed: Sequence[str] = (),
    settles_until_s: int | None = None,
    **more: object,
) -> None:
    """End a receipt, what was derived under it, and its link where it was the last one there.

    Args:
        listed: digests of the claims that are still to come.
        settles_until_s: when the last of them runs out; None where there is none.
    """
    ended = {"state": state, "ended_at_s": transaction.now_s, "settles_until_s": settles_until_s, **stopped(row)}
    change_receipt(transaction, row.id, next_period=None, next_close_s=None, **ended, **more)
    drop_claims_of(transaction, row.id, but=listed)
    if row.role == "recipient":
        discharge_of(transaction, row.id, "answers", but=listed)
        if row.state in HELD:
            keep_after_end(transaction, terms_of(row))
    asked = (RECEIPT_VERSIONS.c.receipt == row.id, RECEIPT_VERSIONS.c.state == ReceiptState.REQUESTED)
    transaction.execute(update(RECEIPT_VERSIONS).where(*asked).values(state=state))
    transaction.execute(DECISIONS.delete().where(DECISIONS.c.receipt == row.id))
    transaction.execute(CONTESTS.delete().where(CONTESTS.c.receipt == row.id))
    own = state is ReceiptState.EXPIRED and terms_of(row).authority == GUARDIAN
    _end_link_if_last(transaction, row.link, awaits_own=own)


def finish_settling(transaction: Transaction, receipt: str) -> None:
    """Drop what was settled of a receipt that has ended; once all that its ending lists has come or run out, its link
    may end."""
    row = transaction.row(select(RECEIPTS).where(RECEIPTS.c.id == receipt))
    if row is None or row.settles_until_s is None:
        return
    mine = transaction.execute(select(CLAIMS.c.digest, CLAIMS.c.state).where(CLAIMS.c.receipt == receipt)).all()
    if row.role == "issuer":
        to_come = [each.digest for each in mine if each.state == "issued"]
    else:
        listed = ReceiptBody.model_validate_json(row.last_step).deliverable
        to_come = sorted(set(listed) - {each.digest for each in mine})
    drop_claims_of(transaction, receipt, but=to_come)
    discharge_of(transaction, receipt, "answers", but=to_come)
    if not to_come or row.settles_until_s <= transaction.now_s:
        change_receipt(transaction, receipt, settles_until_s=None)
        _end_link_if_last(transaction, row.link)


def _end_link_if_last(transaction: Transaction, link: str, *, awaits_own: bool = False) -> None:
    alive = RECEIPTS.c.state.in_(OPEN) | RECEIPTS.c.settles_until_s.is_not(None)
    if transaction.row(select(RECEIPTS.c.id).where(RECEIPTS.c.link == link, alive)) is not None:
        return
    if awaits_own:
        await_own_receipt(transaction, link)
    else:
        end_link(transaction, link)


def tell_partner(transaction: Transaction, kind: str, row: Any, body: wire.Request) -> None:
    """Queue a message about a receipt for the other end."""
    queue_message(transaction, kind, partner=row.partner, about=row.id, body=body)


def require_within_receipts(transaction: Transaction, program: Program, *, link: str) -> None:
    """Refuse a program that, beside the subject's other receipts with the same partner, tells more than they permit.

    The subject is this node's own, at either end: what the other end knows of the same person is not asked.

    Args:
        program: what consent is asked, or given, for.
        link: over which link; its own receipts are passed over.

    Raises:
        RulesTellTooMuch: together they tell more (P17).
    """
    asked = select(LINKS.c.subject, LINKS.c.partner, LINKS.c.role).where(LINKS.c.id == link)
    row = transaction.row(asked)
    assert row is not None, "consent is asked over a link that stands"
    live = (
        select(RECEIPTS.c.terms)
        .join(LINKS, LINKS.c.id == RECEIPTS.c.link)
        .where(
            LINKS.c.subject == row.subject,
            LINKS.c.partner == row.partner,
            LINKS.c.role == row.role,
            LINKS.c.id != link,
            RECEIPTS.c.ended_at_s.is_(None),
        )
    )
    terms = [parse_terms(json.loads(each.terms)) for each in transaction.execute(live).all()]
    require_within_beside(
        program, [known_program(transaction, each.recipient, each.program, each.program_version) for each in terms]
    )


async def shown_once(node: Node, once: Once, work: Any, *, status: int = 200) -> StoredReply:
    """Do a write that changes a receipt, and answer with the receipt as it then stands."""

    def and_show(transaction: Transaction) -> wire.Receipt:
        return show_receipt(transaction, work(transaction))

    def render(shown: wire.Receipt, proofs: tuple[wire.EntryProof, ...]) -> StoredReply:
        return StoredReply(status, shown.model_copy(update={"proofs": proofs}).model_dump_json())

    return await node.once(once, and_show, render)


def _with_hint() -> Any:
    return select(RECEIPTS, LINKS.c.partner_hint, LINKS.c.subject).join(LINKS, LINKS.c.id == RECEIPTS.c.link)


def _shown(row: Any) -> wire.Receipt:
    return wire.Receipt(
        receipt=row.id,
        version=row.version,
        state=row.state,
        partner=row.partner,
        terms=json.loads(row.terms),
        notice=Notice.model_validate_json(row.notice),
        partner_hint=row.partner_hint,
        acknowledged_at=row.acknowledged_at_s,
        ended_at=row.ended_at_s,
        end_acknowledged_at=row.end_acknowledged_at_s,
        unacknowledged_since=row.unacknowledged_since_s,
        uses=row.uses,
        confirm_by=row.confirm_by_s,
        signed=last_yes(row),
    )
