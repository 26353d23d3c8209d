"""What a subject takes back by a narrower version of a receipt: answers that wait, and that it does not cover, stay.

An answer that was issued waits for its release slot, for the other end, or for the recipient's signature over the new
version. Each is decided again, as of both versions: what only the former permitted does not leave any more.

Source: DESIGN flow 3 and P4, SCENARIOS 2.10.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select, update

from tallystick_consent.decide import Ask, Permit, Reason, Refusal, decide
from tallystick_consent.receipts.receipt import Receipt, Terms
from tallystick_consent.receipts.states import ReceiptState
from tallystick_node.flows.claims.decisions import keep_refusal
from tallystick_node.flows.claims.ending import withhold_claims
from tallystick_node.flows.claims.status import revoke_claim
from tallystick_node.flows.programs import known_program, zone_of
from tallystick_node.flows.receipts.rows import terms_of
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import CLAIMS, MESSAGES


def take_back_claims(node: Node, transaction: Transaction, row: Any, after: Terms) -> None:
    """Withhold what is issued under a receipt, not delivered, and covered by its version in force but not by `after`.

    What is on its way, or in the hands of a wallet, may have arrived: its status is set to revoked, and it is tried no
    further. The caller lists it in the entry of the version.

    Args:
        row: the receipt before `after` comes into force, with the subject of its link.
    """
    before = terms_of(row)
    issued = (CLAIMS.c.receipt == row.id, CLAIMS.c.role == "issuer", CLAIMS.c.state == "issued")
    for claim in transaction.execute(select(CLAIMS).where(*issued).order_by(CLAIMS.c.number)).all():
        program = known_program(transaction, row.partner, claim.program, claim.version)
        period = program.period(claim.period, zone=zone_of(program))
        asks = (program.ask(period, issuer=node.host), program.required_ask(period, issuer=node.host))
        # Of the period itself: what was read around it, to merge visits, is no part of the answer.
        within = [
            ask._replace(events_from_s=period.start_s, events_until_s=period.end_s) for ask in asks if ask is not None
        ]
        refused = [each for ask in within for each in _not_any_more(ask, before, after, now_s=transaction.now_s)]
        if not refused:
            continue
        keep_refusal(transaction, row, program, claim.period, Refusal(tuple(dict.fromkeys(refused))))
        never_left = _hold_back(transaction, claim.digest)
        if never_left:
            withhold_claims(transaction, [claim.digest])
        if not never_left or claim.handed_at_s is not None:
            revoke_claim(transaction, claim.digest)
            dropped = {"token": "", "salt": ""}
            transaction.execute(update(CLAIMS).where(CLAIMS.c.digest == claim.digest).values(**dropped))


def _not_any_more(ask: Ask, before: Terms, after: Terms, *, now_s: int) -> Iterator[Reason]:
    """Yield why what a version permitted is not permitted by the one after it; nothing where it still is, whole."""
    was, left = (
        decide(ask, Receipt(terms, ReceiptState.GIVEN, acknowledged=True), now_s=now_s) for terms in (before, after)
    )
    if isinstance(left, Refusal):
        refused_before = {each.code for each in was.reasons} if isinstance(was, Refusal) else set[str]()
        yield from (each for each in left.reasons if each.code not in refused_before)
    elif isinstance(was, Permit) and (was.events_from_s, was.events_until_s) != (
        left.events_from_s,
        left.events_until_s,
    ):
        yield Reason("period_not_covered", f"an answer over events from {left.events_from_s} to {left.events_until_s}")
    elif isinstance(was, Permit) and left.resources is not None and not _of_all(was, left.resources):
        yield Reason("resource_not_covered", "an answer about the resources that are left")


def _of_all(was: Permit, left: frozenset[str]) -> bool:
    """Return whether every resource that an answer may rest on is left; which it does rest on is not known."""
    return was.resources is not None and was.resources <= left


def _hold_back(transaction: Transaction, claim: str) -> bool:
    """Try a claim no further; return whether it never left."""
    mine = (MESSAGES.c.about == claim, MESSAGES.c.kind == "claim.issued")
    message = transaction.row(select(MESSAGES).where(*mine))
    assert message is not None, "a claim is queued in the transaction that issues it"
    # One that is being sent has its body in hand already: without it here, it is not queued again.
    held = {"body": None, "state": "withheld" if message.state == "queued" else message.state}
    transaction.execute(update(MESSAGES).where(MESSAGES.c.number == message.number).values(**held))
    return bool(message.state == "queued" and not message.maybe_arrived)
