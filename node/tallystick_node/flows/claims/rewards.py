"""Rewards: an accepted claim pays the payer's own customer once, out of a budget that cannot be overdrawn.

Source: DESIGN flow 5, CONSTRUCTIONS (payer's uniqueness), SCENARIOS 1.10 and 1.12.
"""

import json
from typing import Any

from sqlalchemy import func, insert, select, update

from tallystick import wire
from tallystick_consent.claims.claim import Claim
from tallystick_consent.claims.pairwise import payer_unique
from tallystick_consent.program import Program
from tallystick_ledger.books import BUDGET_PREFIX, Transfer, TransferState, reversal_of
from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.errors import BooksRefused
from tallystick_node.errors import no_such_thing
from tallystick_node.flows.accounts import balance_in, balance_of, book_step, transfer_of
from tallystick_node.flows.programs import known_program
from tallystick_node.flows.receipts.duties import drop_accounting_if_discharged
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import ACCOUNTS, CLAIMS, LINKS, PROGRAMS, REWARDS

PROMOTED_MAX = 1_000
"""How many that wait for a budget are looked at when one reward gives its part back: far more than it can pay."""


def pay_reward(
    node: Node, transaction: Transaction, program: Program, claim: Claim, *, digest: str, subject: str, cause: str
) -> None:
    """Reserve and post what a claim earned, or leave it on the waiting list where the budget is spent.

    Whoever issued the claim, one subject is paid once for a program, period and slot: `p` is unique, here and in the
    log. A second claim for the same is taken like the first, and pays nothing more.

    Args:
        digest: the claim's.
        subject: our customer.
        cause: id of the entry that accepted the claim.
    """
    k_member = node.custody.find_or_make(node.secrets.name("member", subject))
    unique = to_base64url(
        payer_unique(k_member, payer=node.host, program=program.program, period=claim.period, slot=claim.slot)
    )
    if transaction.row(select(REWARDS.c.id).where(REWARDS.c.unique == unique)) is not None:
        return
    earned = {"link": claim.link, "receipt": claim.receipt, "claim": digest, "period": claim.period, "cause": cause}
    _earn(transaction, program, subject=subject, unique=unique, **earned)


def _earn(transaction: Transaction, program: Program, *, period: str, **earned: str) -> None:
    """Write down what a claim earned, and pay it as far as the budget goes; to whom, only as long as that is kept."""
    reward = transaction.new_id("trf")
    transaction.execute(
        insert(REWARDS).values(
            id=reward,
            program=program.program,
            version=program.version,
            period=period,
            asset=program.reward.asset,
            amount_minor=program.reward.amount,
            state="waitlisted",
            **earned,
        )
    )
    _fund(transaction, program, period)
    _pay(transaction, transaction.row(select(REWARDS).where(REWARDS.c.id == reward)), program)
    drop_accounting_if_discharged(transaction, earned["receipt"])


def _pay_for_another(node: Node, transaction: Transaction, freed: Any) -> None:
    """Pay the same subject for another claim that was accepted for the slot, by whichever issuer, and still stands: it
    paid nothing only since the slot was paid already.

    An acceptance in the log of an earlier year pays nothing any more: an auditor of this one does not see it.
    """
    if freed.subject == "":
        return
    stands = (CLAIMS.c.role == "recipient", CLAIMS.c.state == "accepted", CLAIMS.c.digest != freed.claim)
    slot = (CLAIMS.c.program == freed.program, CLAIMS.c.period == freed.period, LINKS.c.subject == freed.subject)
    seen = (CLAIMS.c.entry != "", CLAIMS.c.log == transaction.log)
    row = transaction.row(
        select(CLAIMS)
        .join(LINKS, LINKS.c.id == CLAIMS.c.link)
        .where(*stands, *slot, *seen)
        .order_by(CLAIMS.c.number)
        .limit(1)
    )
    if row is not None:
        program = known_program(transaction, node.host, row.program, row.version)
        earned = {"link": row.link, "receipt": row.receipt, "claim": row.digest, "cause": row.entry}
        _earn(transaction, program, subject=freed.subject, unique=freed.unique, period=row.period, **earned)


def _pay(transaction: Transaction, row: Any, program: Program) -> bool:
    """Reserve and post a reward that waits; return whether its budget had enough left for it."""
    transfer = Transfer(
        id=row.id,
        state=TransferState.RESERVED,
        debit=budget_account(row.program, row.period),
        credit=f"member/{row.link}/{row.program}",
        asset=row.asset,
        amount_minor=row.amount_minor,
        terms=program.digest(),
        cause=row.cause,
        unique=row.unique,
    )
    try:
        book_step(transaction, transfer)
    except BooksRefused as error:
        if error.code != "budget_exhausted":
            raise
        return False
    book_step(transaction, transfer._replace(state=TransferState.POSTED))
    _change(transaction, row.id, state="posted", posted_at_s=transaction.now_s)
    return True


def _promote(node: Node, transaction: Transaction, freed: Any) -> None:
    """Pay whoever waited longest for the budget that a reward gave back, as far as it goes.

    Who waits is paid in the order in which the claims were accepted, and nobody is passed over for a smaller reward.
    """
    waiting = transaction.execute(
        select(REWARDS)
        .join(CLAIMS, CLAIMS.c.digest == REWARDS.c.claim)
        .where(
            REWARDS.c.program == freed.program,
            REWARDS.c.period == freed.period,
            REWARDS.c.asset == freed.asset,
            REWARDS.c.state == "waitlisted",
            REWARDS.c.cause != "",
            CLAIMS.c.log == transaction.log,  # an auditor of this log does not see what an earlier one accepted
            REWARDS.c.link != "",
        )
        .order_by(CLAIMS.c.number)
        .limit(PROMOTED_MAX)
    ).all()
    for row in waiting:
        if not _pay(transaction, row, known_program(transaction, node.host, row.program, row.version)):
            return


def take_back_reward(node: Node, transaction: Transaction, claim: str, *, cause: str) -> None:
    """Take back what a claim was paid, whole, by a new linked transfer; what only waited, waits no longer.

    The slot is free then: another claim that was accepted for it is paid at once, and without one, a claim that takes
    the place of the retracted one like any other. What went back to the budget pays whoever waits for it.

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
        _pay_for_another(node, transaction, row)
    elif row.state == "posted":
        posted = transfer_of(transaction, row.id)
        assert posted is not None, "a posted reward is a transfer"
        reversal = reversal_of(posted, transfer_id=transaction.new_id("trf"), cause=cause)
        book_step(transaction, reversal)
        _change(transaction, row.id, state="reversed", unique=row.id, reversed_by=reversal.id)
        _pay_for_another(node, transaction, row)
        _promote(node, transaction, row)


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
    # A later version may reward in another asset; its budget is another one.
    mine = (ACCOUNTS.c.name == budget_account(program, period), ACCOUNTS.c.asset == budget["asset"])
    account = node.row(select(ACCOUNTS).where(*mine))
    balance = balance_in(account) if account is not None else None
    taken_back = (
        REWARDS.c.program == program,
        REWARDS.c.period == period,
        REWARDS.c.asset == budget["asset"],
        REWARDS.c.state == "reversed",
    )
    came_back = node.row(select(func.coalesce(func.sum(REWARDS.c.amount_minor), 0).label("amount")).where(*taken_back))
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
