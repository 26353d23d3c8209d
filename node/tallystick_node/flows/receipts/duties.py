"""What a recipient keeps of a receipt until a time: taken up, listed, and discharged when the time has come.

An answer is kept from its acceptance on; evidence and accounting from the receipt's end on, where its terms name them.
What is discharged is gone from the rows, and where the terms name it, the ledger says so in the same transaction.

Source: API section 6 (`retention`), GDPR article 5(1)(e).
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from sqlalchemy import delete, insert, select, update

from tallystick import wire
from tallystick_consent.entries import DISCHARGED_MAX, DischargeBody
from tallystick_consent.receipts.receipt import Terms, parse_terms
from tallystick_consent.receipts.retention import DISCHARGE_WITHIN_S
from tallystick_consent.replay import carried_duty
from tallystick_ledger.opening import Carried
from tallystick_ledger.times import DAY_S
from tallystick_node.flows.receipts.rows import NOT_STOPPED
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.paging import read_page
from tallystick_node.storage.tables import CLAIMS, DUTIES, RECEIPTS, REWARDS


def find_duties(node: Node, *, limit: int, cursor: str | None) -> wire.Duties:
    """Return a page of what this node keeps of receipts under which it receives, the first due first.

    Raises:
        NotFound: the cursor is not one of this list.
    """
    now_s = node.now_s()
    asked = select(DUTIES, RECEIPTS.c.partner).join(RECEIPTS, RECEIPTS.c.id == DUTIES.c.receipt)
    page = read_page(node, asked, by=(DUTIES.c.due_s, DUTIES.c.number), limit=limit, cursor=cursor)
    return wire.Duties(
        duties=tuple(
            wire.Duty(
                receipt=row.receipt,
                partner=row.partner,
                field=row.field,
                ground=row.ground,
                claim=row.claim,
                due=row.due_s,
                owed=row.due_s <= now_s,
                overdue=row.due_s + DISCHARGE_WITHIN_S < now_s,
            )
            for row in page.rows
        ),
        has_more=page.has_more,
        next_cursor=page.next_cursor,
    )


def keep_answer(transaction: Transaction, terms: Terms, claim: str) -> None:
    """Take up the duty that goes with an answer which was just accepted."""
    declared = any(each.field == "answers" for each in terms.retention)
    due_s = transaction.now_s + terms.retention_s
    _keep(transaction, terms.receipt, "answers", "consent", claim=claim, due_s=due_s, declared=declared)


def keep_after_end(transaction: Transaction, terms: Terms) -> None:
    """Take up the duties that begin with the end of a receipt which had been given."""
    for each in terms.retention:
        if each.field != "answers":
            due_s = transaction.now_s + each.until_days * DAY_S
            _keep(transaction, terms.receipt, each.field, each.ground, claim="", due_s=due_s, declared=True)


def drop_accounting_if_discharged(transaction: Transaction, receipt: str) -> None:
    """Empty what was just paid under a receipt whose accounting is discharged: of what is settled after its end, some
    comes when the days are over for which the terms let it be kept, and the ledger has said that nothing is."""
    ended = select(RECEIPTS.c.terms).where(RECEIPTS.c.id == receipt, RECEIPTS.c.ended_at_s.is_not(None))
    row = transaction.row(ended)
    if row is None or all(each.field != "accounting" for each in parse_terms(json.loads(row.terms)).retention):
        return
    owed = select(DUTIES.c.number).where(DUTIES.c.receipt == receipt, DUTIES.c.field == "accounting")
    if transaction.row(owed) is None:
        _drop(transaction, receipt, "accounting", ())


def discharge_due(transaction: Transaction, *, rows_max: int) -> int:
    """Discharge what may not be kept any longer; return how much that was."""
    due = select(DUTIES).where(DUTIES.c.due_s <= transaction.now_s).order_by(DUTIES.c.due_s, DUTIES.c.number)
    rows = transaction.execute(due.limit(rows_max)).all()
    _discharge(transaction, rows)
    return len(rows)


def discharge_of(transaction: Transaction, receipt: str, field: str, *, but: Collection[str] = ()) -> None:
    """Discharge one field of a receipt before its time.

    Args:
        but: of answers, digests of those that are kept.
    """
    rows = transaction.execute(select(DUTIES).where(DUTIES.c.receipt == receipt, DUTIES.c.field == field)).all()
    _discharge(transaction, [row for row in rows if not row.claim or row.claim not in but])


def duties_under_way(transaction: Transaction) -> Iterator[Carried]:
    """Yield the record of every duty that the ledger tells of."""
    for row in transaction.execute(select(DUTIES).where(DUTIES.c.declared).order_by(DUTIES.c.number)).all():
        yield carried_duty(row.receipt, row.field, claim=row.claim, due_s=row.due_s)


def _keep(
    transaction: Transaction, receipt: str, field: str, ground: str, *, claim: str, due_s: int, declared: bool
) -> None:
    kept = {"receipt": receipt, "field": field, "ground": ground, "claim": claim}
    transaction.execute(insert(DUTIES).values(**kept, due_s=due_s, declared=declared))


def _discharge(transaction: Transaction, rows: Iterable[Any]) -> None:
    fields: dict[tuple[str, str, bool], list[Any]] = defaultdict(list)
    for row in rows:
        fields[row.receipt, row.field, row.declared].append(row)
    for (receipt, field, declared), duties in fields.items():
        for begin in range(0, len(duties), DISCHARGED_MAX):
            some = duties[begin : begin + DISCHARGED_MAX]
            claims = tuple(each.claim for each in some if each.claim)
            _drop(transaction, receipt, field, claims)
            transaction.execute(delete(DUTIES).where(DUTIES.c.number.in_([each.number for each in some])))
            if declared:
                body = DischargeBody.model_validate({"receipt": receipt, "field": field, "claims": claims})
                transaction.append("discharge", body.document())


def _drop(transaction: Transaction, receipt: str, field: str, claims: Collection[str]) -> None:
    """Empty what a field is kept in; that it was accepted, given or paid stays, in the ledger."""
    if field == "answers":
        emptied = {"token": "", "salt": "", "answer": "", "band": None}
        transaction.execute(update(CLAIMS).where(CLAIMS.c.digest.in_(claims)).values(**emptied))
    elif field == "evidence":
        gone = {"evidence": None, "signed": None, "acknowledgement": None, **NOT_STOPPED}
        transaction.execute(update(RECEIPTS).where(RECEIPTS.c.id == receipt).values(**gone))
    else:
        nobodys = {"subject": "", "link": "", "receipt": "", "claim": "", "cause": ""}
        transaction.execute(update(REWARDS).where(REWARDS.c.receipt == receipt).values(**nobodys))
