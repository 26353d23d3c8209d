"""Carry what is open from a log to the one that continues it: the records of its opening, and the places in our rows.

Everything comes from rows, not from the log's entries, which may be too many to read again. An audit makes the same
records from the entries alone and holds the two together (`tallystick_consent.chain`).

Source: DESIGN section 4 (yearly shards).
"""

from collections.abc import Iterator
from typing import Any, Literal

from sqlalchemy import select, update

from tallystick_consent.entries import CarriedAnswer, DisclosureBody, ReceiptBody, SoFar
from tallystick_consent.replay import carried_disclosure, carried_receipt, counts_here, receipt_is_open
from tallystick_ledger.books import TransferState
from tallystick_ledger.encoding import parse_canonical_json
from tallystick_ledger.opening import REMEMBERED_S, Carried, Opening, OpeningDraft
from tallystick_ledger.replay import paid_record
from tallystick_ledger.times import DAY_S
from tallystick_node.flows.accounts import balance_in
from tallystick_node.flows.programs import logged_programs
from tallystick_node.flows.receipts.duties import duties_under_way
from tallystick_node.flows.subjects.erasure_asking import erasures_under_way
from tallystick_node.log.transaction import Transaction
from tallystick_node.storage.tables import ACCOUNTS, CLAIMS, DISCLOSURES, RECEIPT_VERSIONS, RECEIPTS, REWARDS, TRANSFERS


def carry_over(transaction: Transaction, draft: OpeningDraft, *, host: str) -> list[Opening]:
    """Return the parts of an opening, and let the rows name the places that receipts have in the log that it opens.

    Args:
        transaction: the one that ends the log before.
        draft: the opening, with what others carry.
        host: this node's.

    Raises:
        EntryMalformed: there is more than an opening can carry.
    """
    for record in (
        *_money(transaction),
        *(Carried("program", each.document()) for each in logged_programs(transaction, host=host)),
    ):
        draft.add(record)
    recent = _recent_answers(transaction)
    outstanding = {body.receipt for _, body in recent if isinstance(body, DisclosureBody) and body.state == "issued"}
    places = dict(_carry_receipts(transaction, draft, host=host, outstanding=outstanding))
    for at_s, body in recent:
        if isinstance(body, CarriedAnswer):
            draft.add(Carried("answer", body.document()))
            continue
        if body.state == "issued":
            # The correction because of which it was issued is none of the new log's.
            body = body.model_copy(update={"receipt_leaf": places[body.receipt], "correction": ""})
            moved = {"body": body.model_dump_json()}
            transaction.execute(update(DISCLOSURES).where(DISCLOSURES.c.claim == body.claim).values(**moved))
        draft.add(carried_disclosure(body, at_s=at_s))
    for duty in duties_under_way(transaction):
        draft.add(duty)
    for erasure in erasures_under_way(transaction, host=host):
        draft.add(Carried("erasure", erasure.document()))
    return draft.parts()


def _money(transaction: Transaction) -> Iterator[Carried]:
    for row in transaction.execute(select(ACCOUNTS).order_by(ACCOUNTS.c.name, ACCOUNTS.c.asset)):
        yield Carried("balance", {"account": row.name, "asset": row.asset, **balance_in(row).document()})
    # Bodies are canonical JSON, so that a member stands there in just one spelling.
    reserved = TRANSFERS.c.body.contains(f'"state":"{TransferState.RESERVED}"', autoescape=True)
    for row in transaction.execute(select(TRANSFERS.c.body).where(reserved).order_by(TRANSFERS.c.id)):
        yield Carried("transfer", parse_canonical_json(row.body.encode()))
    paid = (REWARDS.c.posted_at_s > transaction.now_s - REMEMBERED_S) & (REWARDS.c.state == "posted")
    for row in transaction.execute(select(REWARDS).where(paid).order_by(REWARDS.c.id)):
        yield paid_record(row.unique, row.id, row.posted_at_s)


def _recent_answers(transaction: Transaction) -> list[tuple[int, DisclosureBody | CarriedAnswer]]:
    """Return the answers that still count, in the order in which they were issued or accepted, and when that was."""
    found: list[tuple[int, DisclosureBody | CarriedAnswer]] = []
    rows = transaction.execute(
        select(
            CLAIMS.c.digest, CLAIMS.c.role, CLAIMS.c.state, CLAIMS.c.nullifier, CLAIMS.c.logged_at_s, DISCLOSURES.c.body
        )
        .outerjoin(DISCLOSURES, DISCLOSURES.c.claim == CLAIMS.c.digest)
        .where(CLAIMS.c.logged_at_s > transaction.now_s - REMEMBERED_S)
        .order_by(CLAIMS.c.number)
    )
    for row in rows:
        body: DisclosureBody | CarriedAnswer
        if row.role == "issuer":
            body = DisclosureBody.model_validate_json(row.body)
        else:
            taken: Literal["accepted", "retracted"] = "retracted" if row.state == "retracted" else "accepted"
            body = CarriedAnswer(claim=row.digest, nullifier=row.nullifier, state=taken, at=row.logged_at_s)
        found.append((row.logged_at_s, body))
    return found


def _carry_receipts(
    transaction: Transaction, draft: OpeningDraft, *, host: str, outstanding: set[str]
) -> Iterator[tuple[str, int]]:
    """Carry every receipt of which more may come; yield its id, and where it stands in the new log."""
    for row in transaction.execute(select(RECEIPTS).order_by(RECEIPTS.c.requested_at_s, RECEIPTS.c.id)).all():
        body = ReceiptBody.model_validate_json(row.last_step)
        if not receipt_is_open(body, host=host, at_s=transaction.now_s) and body.receipt not in outstanding:
            continue
        so_far = _so_far(row, body) if counts_here(body, host=host) else None
        place = draft.add(carried_receipt(body, frozenset(body.deliverable), so_far))
        moved = {"lived_leaf": place} if row.live_leaf is None else {"live_leaf": place}
        transaction.execute(update(RECEIPTS).where(RECEIPTS.c.id == row.id).values(**moved))
        yield body.receipt, place
        asked = (RECEIPT_VERSIONS.c.receipt == row.id, RECEIPT_VERSIONS.c.state == "requested")
        for next_one in transaction.execute(select(RECEIPT_VERSIONS.c.last_step).where(*asked)).all():
            draft.add(carried_receipt(ReceiptBody.model_validate_json(next_one.last_step), frozenset(), None))


def _so_far(row: Any, body: ReceiptBody) -> SoFar:
    """Return what counts against a receipt's limits."""
    days = body.limits.reconfirm_days
    confirmed_at_s = 0 if days is None or row.confirm_by_s is None else row.confirm_by_s - days * DAY_S
    return SoFar(uses=row.uses, confirmed_at=confirmed_at_s)
