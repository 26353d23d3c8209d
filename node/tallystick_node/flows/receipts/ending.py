"""How receipts end: with what was derived under them, and with their link where they were the last one there.

Source: SCENARIOS section 0 (withdrawal of consent).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update

from tallystick_consent.entries import ReceiptBody
from tallystick_consent.receipts.states import HELD, OPEN, ReceiptState
from tallystick_node.flows.claims.ending import drop_claims_of
from tallystick_node.flows.links.ending import await_own_receipt, end_link
from tallystick_node.flows.receipts.duties import discharge_of, keep_after_end
from tallystick_node.flows.receipts.rows import GUARDIAN, change_receipt, stopped, terms_of
from tallystick_node.log.transaction import Transaction
from tallystick_node.storage.tables import CLAIMS, CONTESTS, DECISIONS, MADE_GOOD, RECEIPT_VERSIONS, RECEIPTS


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
    transaction.execute(MADE_GOOD.delete().where(MADE_GOOD.c.receipt == row.id))
    own = state is ReceiptState.EXPIRED and terms_of(row).authority == GUARDIAN
    _end_link_if_last(transaction, row.link, awaits_own=own)


def finish_settling(transaction: Transaction, receipt: str) -> None:
    """Drop what was settled of a receipt that has ended; once all that its ending lists has come or run out, its link
    may end. What may have arrived is asked after beyond that, at its issuer."""
    row = transaction.row(select(RECEIPTS).where(RECEIPTS.c.id == receipt))
    if row is None or row.ended_at_s is None or (row.role == "recipient" and row.settles_until_s is None):
        return
    mine = transaction.execute(select(CLAIMS.c.digest, CLAIMS.c.state).where(CLAIMS.c.receipt == receipt)).all()
    if row.role == "issuer":
        to_come = [each.digest for each in mine if each.state == "issued"]
    else:
        listed = ReceiptBody.model_validate_json(row.last_step).deliverable
        to_come = sorted(set(listed) - {each.digest for each in mine})
    drop_claims_of(transaction, receipt, but=to_come)
    discharge_of(transaction, receipt, "answers", but=to_come)
    if row.settles_until_s is not None and (not to_come or row.settles_until_s <= transaction.now_s):
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
