"""Asks: a recipient's question about a period, answered alike whoever it is about.

Source: CONSTRUCTIONS (between nodes), DESIGN flow 4, P11.
"""

import json

from sqlalchemy import insert, select

from tallystick import wire
from tallystick_consent.decide import Refusal, decide
from tallystick_ledger.errors import BadInput
from tallystick_node.errors import no_such_thing
from tallystick_node.flows.claims.decisions import keep_asked_refusal
from tallystick_node.flows.outgoing import queue_message
from tallystick_node.flows.programs import known_program, zone_of
from tallystick_node.flows.receipts.rows import receipt_of, with_subject
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import ASKS, LINKS, RECEIPTS

ASKS_WAITING_MAX = 10_000
"""How many questions of one partner wait at most; more are answered alike, and not kept."""


async def ask_claim(node: Node, once: Once, body: wire.AskClaim) -> StoredReply:
    """Ask the issuer of one of our links for its answer on a period.

    Raises:
        NotFound: no link of that id at which this node receives.
    """

    def work(transaction: Transaction) -> wire.Asked:
        link = transaction.row(select(LINKS).where(LINKS.c.id == body.link, LINKS.c.role == "recipient"))
        if link is None:
            raise no_such_thing()
        transaction.subject = link.subject
        receipt = transaction.row(
            select(RECEIPTS).where(RECEIPTS.c.link == body.link).order_by(RECEIPTS.c.requested_at_s.desc())
        )
        if receipt is None:
            raise no_such_thing()
        terms = json.loads(receipt.terms)
        asked = wire.PeerAsk(link=body.link, program=link.program, version=terms["program_version"], period=body.period)
        queue_message(transaction, "claim.ask", partner=link.partner, about=body.link, body=asked)
        return wire.Asked()

    return await node.once(once, work, lambda asked, _: StoredReply(202, asked.model_dump_json()))


def receive_ask(_node: Node, caller: str, transaction: Transaction, body: wire.PeerAsk) -> wire.Asked:
    """Keep a partner's question as it came. Nothing is looked up here, so that nothing can be told from the answer."""
    last_place = select(ASKS.c.id).where(ASKS.c.partner == caller).offset(ASKS_WAITING_MAX - 1).limit(1)
    if transaction.row(last_place) is None:
        transaction.execute(
            insert(ASKS).values(
                partner=caller,
                link=body.link,
                program=body.program,
                version=body.version,
                period=body.period,
                received_at_s=transaction.now_s,
            )
        )
    return wire.Asked()


def settle_asks(node: Node, transaction: Transaction, *, rows_max: int) -> int:
    """Decide on questions that wait: a refusal is kept for the subject, also under a receipt that has ended; a
    permitted one is answered at its close."""
    rows = transaction.execute(select(ASKS).order_by(ASKS.c.id).limit(rows_max)).all()
    for ask in rows:
        transaction.execute(ASKS.delete().where(ASKS.c.id == ask.id))
        row = transaction.row(
            with_subject()
            .where(RECEIPTS.c.link == ask.link, RECEIPTS.c.partner == ask.partner, RECEIPTS.c.role == "issuer")
            .order_by(RECEIPTS.c.requested_at_s.desc())
        )
        if row is None:
            continue
        terms = receipt_of(row).terms
        program = known_program(transaction, terms.recipient, terms.program, terms.program_version)
        try:
            period = program.period(ask.period, zone=zone_of(program))
        except BadInput:
            continue  # no period of this program; one such question must not keep the others from being decided
        asked = program.ask(period, issuer=node.host)._replace(program=ask.program, program_version=ask.version)
        permit = decide(asked, receipt_of(row), now_s=transaction.now_s)
        if isinstance(permit, Refusal):
            keep_asked_refusal(transaction, row, program, ask.period, permit)
    return len(rows)
