"""Queue what a partner is to be told: in the transaction that makes it true, and delivered once.

The outbox reads the queue; what each kind of message does when it is answered is told there.
"""

from sqlalchemy import ColumnElement, insert, select, update

from tallystick.wire import Request
from tallystick_ledger.encoding import canonical_json
from tallystick_node.log.transaction import Transaction
from tallystick_node.storage.tables import MESSAGES

PATHS = {
    "link.confirmed": "/peer/v1/links/confirmed",
    "program.published": "/peer/v1/programs",
    "agreement.signed": "/peer/v1/agreements",
    "receipt.requested": "/peer/v1/receipts/requested",
    "receipt.given": "/peer/v1/receipts/given",
    "receipt.refused": "/peer/v1/receipts/refused",
    "receipt.withdrawn": "/peer/v1/receipts/withdrawn",
    "receipt.version_refused": "/peer/v1/receipts/version-refused",
    "receipt.deferred": "/peer/v1/receipts/deferred",
    "receipt.renewed": "/peer/v1/receipts/renewed",
    "receipt.paused": "/peer/v1/receipts/stopped",
    "receipt.revoked": "/peer/v1/receipts/stopped",
    "receipt.invalidated": "/peer/v1/receipts/stopped",
    "erasure.asked": "/peer/v1/erasures",
    "claim.ask": "/peer/v1/asks",
    "claim.issued": "/peer/v1/claims",
    "claim.revoked": "/peer/v1/claims/revoked",
}
"""Where each kind of message is delivered; what is taken there is in `tallystick.wire.PEER_CALLS`."""

_QUEUE = insert(MESSAGES)


def queue_message(
    transaction: Transaction,
    kind: str,
    *,
    partner: str,
    about: str,
    body: Request | None,
    receipt: str | None = None,
    not_before_s: int = 0,
) -> None:
    """Queue a message.

    Args:
        transaction: the one in which what it says becomes true.
        kind: a key of `PATHS`.
        partner: host name.
        about: the id or digest it is about, for its follow-up.
        body: what to send; None where the outbox makes it when it is first sent (a claim's proof needs a published
            head).
        receipt: the receipt under which an answer leaves: withheld with it.
        not_before_s: its release slot, seconds since 1970-01-01 UTC.
    """
    due_s = max(not_before_s, transaction.now_s)
    transaction.collect(
        _QUEUE,
        id=transaction.new_id("msg"),
        partner=partner,
        path=PATHS[kind],
        body=None if body is None else canonical_json(body.model_dump(mode="json")).decode(),
        kind=kind,
        about=about,
        receipt=receipt,
        state="queued",
        not_before_s=due_s,
        attempts=0,
        next_attempt_s=due_s,
        maybe_arrived=False,
    )


def on_its_way(transaction: Transaction, receipt: str) -> list[str]:
    """Return the answers under a receipt that are being sent at this moment, or were and got no reply."""
    maybe = (MESSAGES.c.state == "sending") | MESSAGES.c.maybe_arrived
    mine = (MESSAGES.c.receipt == receipt, MESSAGES.c.kind == "claim.issued")
    waiting = MESSAGES.c.state.in_(("queued", "sending"))
    return [row.about for row in transaction.execute(select(MESSAGES.c.about).where(*mine, waiting, maybe)).all()]


def let_leave(transaction: Transaction, receipt: str) -> None:
    """Let what is queued under a receipt leave at its time, although the receipt ends: its ending lists it."""
    mine = (MESSAGES.c.receipt == receipt, MESSAGES.c.kind == "claim.issued")
    waiting = MESSAGES.c.state.in_(("queued", "sending"))
    transaction.execute(update(MESSAGES).where(*mine, waiting).values(receipt=None))


def withhold_queued(transaction: Transaction, receipt: str) -> tuple[list[str], list[str]]:
    """Withhold every answer under a receipt that has not left; as `withhold` says."""
    return withhold(transaction, MESSAGES.c.receipt == receipt)


def withhold(transaction: Transaction, which: ColumnElement[bool]) -> tuple[list[str], list[str]]:
    """Withhold answers that have not left; return what was withheld, and what is on its way, each by its digest.

    An answer that is being sent at this moment, or was and got no reply, may have arrived: it is named, and tried no
    further.

    Args:
        which: of the messages that carry answers.
    """
    mine = (MESSAGES.c.kind == "claim.issued", which)
    waiting = select(MESSAGES.c.about, MESSAGES.c.state, MESSAGES.c.maybe_arrived).where(
        *mine, MESSAGES.c.state.in_(("queued", "sending"))
    )
    rows = transaction.execute(waiting).all()
    transaction.execute(update(MESSAGES).where(*mine, MESSAGES.c.state == "queued").values(state="withheld"))
    # What was sent or would have been holds the claim itself: it ends with what it was sent under, as the claim does.
    transaction.execute(update(MESSAGES).where(*mine, MESSAGES.c.state != "sending").values(body=None))
    may_have = [row.about for row in rows if row.state == "sending" or row.maybe_arrived]
    return [row.about for row in rows if row.about not in may_have], may_have
