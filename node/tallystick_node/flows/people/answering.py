"""What customers asked for at a desk, and what they contest, is answered: granted or not, on which ground, by whom.

Who decided is sealed with the customer's other records. A request to be erased that is granted erases in the same
write; its record goes with all the others then, and the ledger says what was done.

Source: GDPR articles 12(3) and 17, DESIGN P14, SCENARIOS 3.04.
"""

from typing import Any

from sqlalchemy import select, update

from tallystick import wire
from tallystick_consent.receipts.answering import GROUNDS_OF, MONTHS_EXTENDED, answer_by_s
from tallystick_node.errors import Refused, ScopeMissing, no_such_thing
from tallystick_node.flows.people.acts import keep_act
from tallystick_node.flows.subjects.erasure import erase_in
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.paging import read_page
from tallystick_node.storage.tables import ACTS, CONTESTS, CORRECTIONS

NEEDS_CORRECTION = frozenset({"count_wrong", "not_mine"})
"""Grounds of a contest that something in the record must be wrong for, so that upholding one corrects it."""

_ERASING = frozenset[wire.Scope]({"subjects:erase", "subject:assert"})


def list_requests(node: Node, *, limit: int, cursor: str | None) -> wire.OpenRequests:
    """Return a page of what nobody has answered yet, what is due first at the front.

    Raises:
        NotFound: the cursor is not one of this list.
    """
    waiting = select(ACTS).where(ACTS.c.state == "open")
    page = read_page(node, waiting, by=(ACTS.c.answer_by_s, ACTS.c.number), limit=limit, cursor=cursor)
    now_s = node.now_s()
    return wire.OpenRequests(
        requests=tuple(
            wire.OpenRequest(
                request=row.id,
                kind=row.kind,
                subject=row.subject,
                receipt=row.receipt,
                asked_at=row.at_s,
                answer_by=row.answer_by_s,
                overdue=now_s >= row.answer_by_s,
                delayed=row.delayed,
            )
            for row in page.rows
        ),
        has_more=page.has_more,
        next_cursor=page.next_cursor,
    )


async def answer_request(
    node: Node, once: Once, body: wire.AnswerRequest, *, app: str, scopes: frozenset[str]
) -> StoredReply:
    """Answer a request that was made at a desk; one to be erased that is granted erases.

    Raises:
        NotFound: no such request of this customer.
        Refused: it is answered already, or the ground or correction does not fit it.
        ScopeMissing: it is to be erased, and the app's key may not erase.
    """

    def work(transaction: Transaction) -> wire.Answered:
        transaction.subject = body.subject
        row = transaction.row(select(ACTS).where(ACTS.c.id == body.request, ACTS.c.subject == body.subject))
        if row is None or row.kind not in ("erase", "dispute"):
            raise no_such_thing()
        if row.state != "open":
            raise _answered_already(row.id)
        _require_fitting(transaction, body, row.kind)
        if row.kind == "erase" and body.outcome == "granted":
            if not scopes >= _ERASING:
                raise ScopeMissing("This key may not erase.", remedy=f"Use one with {', '.join(sorted(_ERASING))}.")
            transaction.subject = ""  # it tells how far an erasure is, and no more of whom
            erased = erase_in(node, transaction, body.subject)
            return _answered(body, transaction.now_s, erasures=erased.erasures)
        transaction.execute(
            update(ACTS).where(ACTS.c.id == row.id).values(state=body.outcome, **_said(body, transaction))
        )
        _keep_who(node, transaction, body, of=row.id, receipt=row.receipt, app=app)
        return _answered(body, transaction.now_s)

    return await node.once(once, work, lambda made, _: StoredReply(200, made.model_dump_json()))


async def answer_contest(node: Node, once: Once, body: wire.AnswerContest, *, app: str) -> StoredReply:
    """Answer what a customer contests; `why` shows it from then on.

    Raises:
        NotFound: no such contest, or no such correction, of this customer.
        Refused: it is answered already; the ground does not fit; or nothing was corrected where something was wrong.
    """

    def work(transaction: Transaction) -> wire.Contest:
        transaction.subject = body.subject
        mine = (CONTESTS.c.id == body.contest, CONTESTS.c.subject == body.subject)
        row = transaction.row(select(CONTESTS).where(*mine))
        if row is None:
            raise no_such_thing()
        if row.state != "open":
            raise _answered_already(row.id)
        _require_fitting(transaction, body, "contest")
        if body.outcome == "upheld" and row.ground in NEEDS_CORRECTION and body.correction is None:
            raise Refused(
                "correction_missing",
                "What is wrong in the record is not corrected yet.",
                remedy="Correct the event first, and name the correction.",
            )
        said = _said(body, transaction)
        transaction.execute(update(CONTESTS).where(*mine).values(state=body.outcome, **said))
        _keep_who(node, transaction, body, of=row.id, receipt=row.receipt, app=app)
        return show_contest(row).model_copy(
            update={
                "state": body.outcome,
                "because": said["because"],
                "correction": said["correction"],
                "answered_at": transaction.now_s,
            }
        )

    return await node.once(once, work, lambda made, _: StoredReply(200, made.model_dump_json()))


async def delay_answer(node: Node, once: Once, body: wire.DelayAnswer, *, app: str) -> StoredReply:
    """Record that an answer takes up to two months longer, why, and that the customer was told.

    Raises:
        NotFound: no such request or contest of this customer.
        Refused: it is answered already, its month is over, or it was said before.
    """
    of_a_request = body.of.startswith("act_")
    table = ACTS if of_a_request else CONTESTS

    def work(transaction: Transaction) -> wire.AnswerDelayed:
        transaction.subject = body.subject
        mine = (table.c.id == body.of, table.c.subject == body.subject)
        row = transaction.row(select(table).where(*mine))
        if row is None or (of_a_request and row.kind not in ("erase", "dispute")):
            raise no_such_thing()
        if row.state != "open":
            raise _answered_already(row.id)
        _require_in_time(row, now_s=transaction.now_s)
        asked_at_s = row.at_s if of_a_request else row.contested_at_s
        due_s = answer_by_s(asked_at_s, months=MONTHS_EXTENDED)
        transaction.execute(update(table).where(*mine).values(delayed=body.because, answer_by_s=due_s))
        told = {"because": body.because, "channel": body.channel, "agent": body.agent, "app": app}
        keep_act(
            node,
            transaction,
            "delay",
            subject=body.subject,
            receipt=row.receipt,
            by=None,
            grade="clerk",
            about={**told, "delays": row.id, "answer_by": due_s},
        )
        return wire.AnswerDelayed(of=row.id, because=body.because, answer_by=due_s)

    return await node.once(once, work, lambda made, _: StoredReply(200, made.model_dump_json()))


def _require_in_time(row: Any, *, now_s: int) -> None:
    """Refuse to delay an answer twice, or once its month is over: the subject is told within that, or it is late."""
    if row.delayed:
        raise Refused(
            "already_delayed", "It was said before that this takes longer.", remedy="Answer it.", existing_id=row.id
        )
    if now_s >= row.answer_by_s:
        raise Refused("too_late", "The month in which that can be said is over.", remedy="Answer it.")


def show_contest(row: Any) -> wire.Contest:
    """Return a contest as its customer sees it."""
    return wire.Contest(
        contest=row.id,
        decision=row.decision,
        ground=row.ground,
        state=row.state,
        contested_at=row.contested_at_s,
        answer_by=row.answer_by_s,
        delayed=row.delayed,
        because=row.because,
        correction=row.correction,
        answered_at=row.answered_at_s,
    )


def _require_fitting(transaction: Transaction, body: wire.AnswerRequest | wire.AnswerContest, what: str) -> None:
    if body.because is not None and body.because not in GROUNDS_OF[what]:
        raise Refused(
            "ground_unfit",
            "That is no ground to decline this on.",
            remedy=f"Choose from {', '.join(sorted(GROUNDS_OF[what]))}.",
        )
    theirs = (CORRECTIONS.c.id == body.correction, CORRECTIONS.c.subject == body.subject)
    if body.correction is not None and transaction.row(select(CORRECTIONS.c.id).where(*theirs)) is None:
        raise no_such_thing()


def _said(body: wire.AnswerRequest | wire.AnswerContest, transaction: Transaction) -> dict[str, Any]:
    return {
        "because": body.because or "",
        "correction": body.correction or "",
        "answered_at_s": transaction.now_s,
    }


def _keep_who(
    node: Node,
    transaction: Transaction,
    body: wire.AnswerRequest | wire.AnswerContest,
    *,
    of: str,
    receipt: str,
    app: str,
) -> None:
    """Seal who decided, and what."""
    decided = {"outcome": body.outcome, "because": body.because, "correction": body.correction}
    keep_act(
        node,
        transaction,
        "answer",
        subject=body.subject,
        receipt=receipt,
        by=None,
        grade="clerk",
        about={**decided, "answers": of, "agent": body.agent, "app": app},
    )


def _answered(body: wire.AnswerRequest, now_s: int, *, erasures: tuple[wire.Erasure, ...] = ()) -> wire.Answered:
    return wire.Answered(request=body.request, state=body.outcome, answered_at=now_s, erasures=erasures)


def _answered_already(of: str) -> Refused:
    return Refused("already_answered", "It was answered already.", remedy="See what was said.", existing_id=of)
