"""People without an app: a code by letter lets them see, refuse, stop, dispute, and ask to be erased.

A clerk's key needs no right to vouch for who is there: the letter went to the address on file, and its code does that.
Whatever is wrong with a code, the refusal is one and the same; each wrong one counts against all open codes of that
customer, in a write of its own, so that the refusal cannot undo the count.

Source: UX (pages 1 and 2), SCENARIOS section 0; `tallystick_consent.receipts.channels` has the arithmetic.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update

from tallystick import wire
from tallystick_consent.receipts.channels import CODE_LIFE_S, OPEN_MAX, TRIES_MAX, is_same_code, letter_code
from tallystick_ledger.encoding import canonical_json, parse_json_object
from tallystick_node.errors import CodeRefused, Refused
from tallystick_node.flows.people.acts import keep_act
from tallystick_node.flows.receipts.issuer import refuse
from tallystick_node.flows.receipts.rows import row_of_subject
from tallystick_node.flows.receipts.showing import show_receipt, show_receipts
from tallystick_node.flows.receipts.stopping import withdraw
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import LETTERS


async def write_letter(node: Node, once: Once, body: wire.WriteLetter) -> StoredReply:
    """Make a one-time code for a letter; it is derived from the letter's id, and kept nowhere.

    Raises:
        Refused: the customer has as many open codes as it may have.
        PayloadErased: the customer was erased.
    """

    def work(transaction: Transaction) -> wire.Letter:
        node.secrets.require_not_erased(body.subject)
        transaction.subject = body.subject
        transaction.execute(delete(LETTERS).where(LETTERS.c.expires_at_s <= transaction.now_s))
        theirs = (LETTERS.c.subject == body.subject, LETTERS.c.state == "open")
        if len(transaction.execute(select(LETTERS.c.id).where(*theirs)).all()) >= OPEN_MAX:
            raise Refused(
                "limit_reached", "The customer has codes enough that are still good.", remedy="Let one be used first."
            )
        letter, expires_at_s = transaction.new_id("ltr"), transaction.now_s + CODE_LIFE_S
        transaction.execute(
            insert(LETTERS).values(id=letter, subject=body.subject, state="open", tries=0, expires_at_s=expires_at_s)
        )
        return wire.Letter(letter=letter, code=_code(node, letter, body.subject), expires_at=expires_at_s)

    def render(made: wire.Letter, _: Any) -> StoredReply:
        return StoredReply(201, made.model_dump_json(), kept=made.model_dump_json(exclude={"code"}))

    reply = await node.once(once, work, render)
    if not reply.replayed:
        return reply
    kept = parse_json_object(reply.body)
    code = await asyncio.to_thread(_code, node, kept["letter"], body.subject)
    told = wire.Letter.model_validate_json(canonical_json({**kept, "code": code}))
    return StoredReply(reply.status, told.model_dump_json(), replayed=True)


async def serve(node: Node, once: Once, body: wire.Serve, *, app: str) -> StoredReply:
    """Do what somebody without an app asks for; the code is used up with it, and with nothing that was refused.

    Raises:
        CodeRefused: unknown, used, expired, or told wrong too often.
        NotFound, ReceiptRejected: as the act itself is refused.
        PayloadErased: the subject was erased.
    """
    replayed = await asyncio.to_thread(node.replayed, once)
    if replayed is not None:
        return replayed
    letter = (await node.written(lambda transaction: _try_code(node, transaction, body))).value
    if letter is None:
        raise _code_refused()

    def work(transaction: Transaction) -> wire.Served:
        transaction.subject = body.subject
        used = update(LETTERS).where(LETTERS.c.id == letter, LETTERS.c.state == "open").values(state="used")
        if transaction.execute(used).rowcount != 1:
            raise _code_refused()
        done = _do(node, transaction, body)
        act = transaction.new_id("act")
        about = {**body.model_dump(mode="json", exclude={"subject", "code", "kind"}), "letter": letter, "app": app}
        keep_act(
            node,
            transaction,
            body.kind,
            subject=body.subject,
            receipt=body.receipt or "",
            by=body.by,
            grade="clerk",
            about=about,
            state=done.state,
            act=act,
        )
        return wire.Served(act=act, state=done.state, receipts=done.receipts)

    def render(served: wire.Served, proofs: tuple[wire.EntryProof, ...]) -> StoredReply:
        return StoredReply(200, served.model_copy(update={"proofs": proofs}).model_dump_json())

    return await node.once(once, work, render)


@dataclass(frozen=True, slots=True)
class _Done:
    state: Any
    receipts: tuple[wire.Receipt, ...] = ()


def _do(node: Node, transaction: Transaction, body: wire.Serve) -> _Done:
    if body.kind == "see":
        return _Done("done", show_receipts(transaction, body.subject))
    if body.receipt is None:
        return _Done("open")  # erasure: whoever of ours may erase does, or says why not
    if body.kind == "refuse":
        refuse(transaction, body.receipt, wire.RefuseReceipt(subject=body.subject, by=body.by))
    elif body.kind == "stop":
        withdraw(node, transaction, body.receipt, wire.WithdrawReceipt(subject=body.subject, by=body.by))
    else:
        row_of_subject(transaction, body.receipt, body.subject)
        return _Done("open")
    return _Done("done", (show_receipt(transaction, body.receipt),))


def _try_code(node: Node, transaction: Transaction, body: wire.Serve) -> str | None:
    """Return the letter whose code was told; None, and one more wrong try counted, where there is none."""
    theirs = (LETTERS.c.subject == body.subject, LETTERS.c.state == "open", LETTERS.c.expires_at_s > transaction.now_s)
    for row in transaction.execute(select(LETTERS.c.id).where(*theirs)).all():
        if is_same_code(body.code, _code(node, row.id, body.subject)):
            return str(row.id)
    transaction.execute(update(LETTERS).where(*theirs).values(tries=LETTERS.c.tries + 1))
    transaction.execute(update(LETTERS).where(*theirs, LETTERS.c.tries >= TRIES_MAX).values(state="dead"))
    return None


def _code(node: Node, letter: str, subject: str) -> str:
    return letter_code(node.custody.find_or_make("letter"), letter=letter, subject=subject)


def _code_refused() -> CodeRefused:
    return CodeRefused("This code cannot be taken.", remedy="Send a new letter to the address on file.")
