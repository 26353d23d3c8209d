"""Rewards: an accepted claim pays the payer's own customer once, out of a budget that cannot be overdrawn.

Source: DESIGN flow 5, CONSTRUCTIONS (payer's uniqueness), SCENARIOS 1.10 and 1.12.
"""

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import func, insert, select, update

from tallystick import wire
from tallystick_consent.claims.claim import Claim
from tallystick_consent.claims.pairwise import payer_unique
from tallystick_consent.program import Program
from tallystick_ledger.books import BUDGET_PREFIX, Transfer, TransferState, reversal_of
from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.errors import BooksRefused
from tallystick_node.flows.accounts import balance_in, balance_of, book_step, transfer_of
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node, no_such_thing
from tallystick_node.storage.tables import ACCOUNTS, PROGRAMS, REWARDS


def pay_reward(
    node: Node, transaction: Transaction, program: Program, claim: Claim, *, digest: str, subject: str, cause: str
) -> None:
    """Reserve and post what a claim earned, or put it on the waiting list where the budget is spent.

    Whoever issued the claim, one subject is paid once for a program, period and slot: `p` is unique, here and in the
    log. A second claim for the same is taken like the first, and pays nothing more.

    Args:
        digest: the claim's.
        subject: our customer.
        cause: id of the entry that accepted the claim.
    """
    k_member = node.custody.find_or_make(node.secret_name("member", subject))
    unique = to_base64url(
        payer_unique(k_member, payer=node.host, program=program.program, period=claim.period, slot=claim.slot)
    )
    if transaction.row(select(REWARDS.c.id).where(REWARDS.c.unique == unique)) is not None:
        return
    _fund(transaction, program, claim.period)
    transfer = Transfer(
        id=transaction.new_id("trf"),
        state=TransferState.RESERVED,
        debit=budget_account(program.program, claim.period),
        credit=f"member/{claim.link}/{program.program}",
        asset=program.reward.asset,
        amount_minor=program.reward.amount,
        terms=program.digest(),
        cause=cause,
        unique=unique,
    )
    state = "posted"
    try:
        book_step(transaction, transfer)
    except BooksRefused as error:
        if error.code != "budget_exhausted":
            raise
        state = "waitlisted"
    else:
        book_step(transaction, replace(transfer, state=TransferState.POSTED))
    transaction.execute(
        insert(REWARDS).values(
            id=transfer.id,
            subject=subject,
            link=claim.link,
            receipt=claim.receipt,
            claim=digest,
            program=program.program,
            version=program.version,
            period=claim.period,
            unique=unique,
            asset=program.reward.asset,
            amount_minor=program.reward.amount,
            state=state,
            posted_at_s=transaction.now_s if state == "posted" else None,
        )
    )


def take_back_reward(transaction: Transaction, claim: str, *, cause: str) -> None:
    """Take back what a claim was paid, whole, by a new linked transfer; what only waited, waits no longer.

    The slot is free then: a claim that takes the place of the retracted one is paid like any other.

    Args:
        claim: digest of the claim that was retracted.
        cause: id of the entry that says so.
    """
    row = transaction.row(select(REWARDS).where(REWARDS.c.claim == claim))
    if row is None:
        return
    # What frees the slot is the row's own id, of another form than `p`, and its own alone.
    if row.state == "waitlisted":
        _change(transaction, row.id, state="voided", unique=row.id)
    elif row.state == "posted":
        posted = transfer_of(transaction, row.id)
        assert posted is not None, "a posted reward is a transfer"
        reversal = reversal_of(posted, transfer_id=transaction.new_id("trf"), cause=cause)
        book_step(transaction, reversal)
        _change(transaction, row.id, state="reversed", unique=row.id, reversed_by=reversal.id)


def _change(transaction: Transaction, reward: str, **values: object) -> None:
    transaction.execute(update(REWARDS).where(REWARDS.c.id == reward).values(**values))


def _fund(transaction: Transaction, program: Program, period: str) -> None:
    """Give a period its budget when it is first needed: what the program says, once."""
    account = budget_account(program.program, period)
    if balance_of(transaction, account, program.budget.asset).credits_posted > 0:
        return
    book_step(
        transaction,
        Transfer(
            id=transaction.new_id("trf"),
            state=TransferState.POSTED,
            debit=f"funds/{program.program}",
            credit=account,
            asset=program.budget.asset,
            amount_minor=program.budget.amount,
            terms=program.digest(),
        ),
    )


def budget_account(program: str, period: str) -> str:
    """Return the name of the account that caps a program's rewards of a period."""
    return f"{BUDGET_PREFIX}{program}/{period}"


def find_budget(node: Node, program: str, period: str) -> wire.Budget:
    """Return what one of our programs may still pay in a period.

    Raises:
        NotFound: no such program of ours.
    """
    row = node.row(
        select(PROGRAMS.c.document)
        .where(PROGRAMS.c.program == program, PROGRAMS.c.payer == node.host)
        .order_by(PROGRAMS.c.version.desc())
    )
    if row is None:
        raise no_such_thing()
    budget = json.loads(row.document)["budget"]
    account = node.row(select(ACCOUNTS).where(ACCOUNTS.c.name == budget_account(program, period)))
    balance = balance_in(account) if account is not None else None
    taken_back = (REWARDS.c.program == program) & (REWARDS.c.period == period) & (REWARDS.c.state == "reversed")
    came_back = node.row(select(func.coalesce(func.sum(REWARDS.c.amount_minor), 0).label("amount")).where(taken_back))
    back = int(came_back.amount) if came_back is not None else 0
    return wire.Budget(
        program=program,
        period=period,
        asset=budget["asset"],
        limit=balance.credits_posted - back if balance else budget["amount"],
        posted=balance.debits_posted - back if balance else 0,
        reserved=balance.debits_pending if balance else 0,
        remaining=balance.available if balance else budget["amount"],
    )


def find_rewards(node: Node, subject: str) -> wire.Rewards:
    """Return the rewards of one of our customers, and why each was paid."""
    rows = node.rows(select(REWARDS).where(REWARDS.c.subject == subject).order_by(REWARDS.c.period, REWARDS.c.id))
    return wire.Rewards(rewards=tuple(_shown(row) for row in rows))


def _shown(row: Any) -> wire.Reward:
    return wire.Reward(
        reward=row.id,
        program=row.program,
        period=row.period,
        asset=row.asset,
        amount=row.amount_minor,
        state=row.state,
        posted_at=row.posted_at_s,
        reasons={
            "rule": f"{row.program}@{row.version}",
            "claim": row.claim,
            "receipt": row.receipt,
            **({"reversed_by": row.reversed_by} if row.reversed_by else {}),
        },
    )
