"""The outbox: deliver what is queued for each partner, in order, once, and try again while it is down.

Each partner has a queue of its own, so that one that is slow or dead delays nobody else. Answers form no queue: what
stops them, or erases, goes before all of them, and one that the partner cannot take yet is set back alone. A message is
marked as being
sent before it is, and its follow-up is logged in the transaction that marks it delivered; after a crash it is sent
again under the same idempotency key, which the partner applies once.

Source: DESIGN flow 4, P5, P10, P13; CONSTRUCTIONS (between nodes).
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import httpx
from sqlalchemy import Select, bindparam, exists, or_, select, update

from tallystick import wire
from tallystick.errors import KeyRefused, NodeProblem, NodeUnreachable, RateLimited, ReplyForged
from tallystick_consent.receipts.states import OPEN, ReceiptState
from tallystick_ledger.errors import TallyError
from tallystick_node.flows.claims.ending import last_disclosure
from tallystick_node.flows.claims.issuing import claim_accepted, claim_message, claim_rejected
from tallystick_node.flows.outgoing import PATHS
from tallystick_node.flows.receipts.issuer import acknowledged_given
from tallystick_node.flows.receipts.steps import acknowledged
from tallystick_node.flows.subjects import erasure_asking
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import CLAIMS, ERASURES, MESSAGES, RECEIPTS
from tallystick_node.storage.tables.base import written

BACKOFF_FIRST_S = 5
BACKOFF_MAX_S = 3_600
BACKOFF_DOUBLINGS_MAX = 12

WRONG_ANSWERS_MAX = 8
"""After so many attempts, an answer that cannot be used no longer holds up what waits behind it."""

LOOK_AHEAD_MAX = 50

FINAL_STATUSES = frozenset({400, 404, 409, 410, 422})
"""A partner that answers with one of these will not answer otherwise to the same message."""

SIGNATURE_INVALID = "signature_invalid"
"""How a partner refuses a claim of which it does not know the key, or not yet."""

GIVEN_AGAIN = ("receipt.given", "receipt.renewed")
STOPPED = ("receipt.withdrawn", "receipt.paused", "receipt.revoked", "receipt.invalidated")
"""What the other end signs for."""

log = logging.getLogger(__name__)

_MAY_LEAVE = (
    MESSAGES.c.receipt.is_(None)
    | (
        # One being sent already is not held: what became of it has to be found out.
        MESSAGES.c.state == "sending"
    )
    | exists().where(RECEIPTS.c.id == MESSAGES.c.receipt, RECEIPTS.c.live_leaf.is_not(None))
)
"""No answer leaves under a receipt that is not live."""

_IS_SENDING, _IS_QUEUED = MESSAGES.c.state == "sending", MESSAGES.c.state == written("queued")
_IS_ANSWER = MESSAGES.c.kind == written("claim.issued")
_IS_DUE = (MESSAGES.c.partner == bindparam("partner")) & (MESSAGES.c.not_before_s <= bindparam("now_s"))
_ANY_DUE = select(
    or_(
        *(
            exists().where(_IS_DUE, *which)
            for which in ((_IS_SENDING,), (_IS_QUEUED, ~_IS_ANSWER), (_IS_QUEUED, _IS_ANSWER))
        )
    )
)
"""Whether there is anything to look at more closely: an idle node asks ten times a second, of each of its partners."""


_earlier = MESSAGES.alias()
_erased = select(ERASURES.c.link).where(ERASURES.c.id == MESSAGES.c.about).correlate(MESSAGES)
_of_its_receipts = select(RECEIPTS.c.id).where(RECEIPTS.c.link.in_(_erased)).correlate(MESSAGES)
_IN_ORDER = ~(
    exists()
    .where(
        _earlier.c.partner == MESSAGES.c.partner,
        _earlier.c.number < MESSAGES.c.number,
        _earlier.c.state == written("queued"),
        _earlier.c.kind != written("claim.issued"),
        (_earlier.c.about == MESSAGES.c.about)
        | ((MESSAGES.c.kind == "erasure.asked") & _earlier.c.about.in_(_of_its_receipts)),
    )
    .correlate(MESSAGES)
)
"""What is set back alone holds up what comes later about the same receipt, or its erasure, and nothing else."""


class Outbox:
    """Delivers a node's messages."""

    def __init__(self, node: Node, http: httpx.AsyncClient, *, doubt: Callable[[str], None]) -> None:
        """Deliver as `node`; `doubt` is told of a partner that signs under keys not known here, or knows not ours."""
        self._node = node
        self._http = http
        self._doubt = doubt

    async def deliver_next(self, partner: str) -> bool:
        """Try the first message that waits for a partner; return whether one was tried and settled.

        A message whose time has not come stops the queue behind it only if it was tried before, and the partner could
        not be spoken with: order holds, and a claim that waits for its release slot holds nobody up.
        """
        found = await asyncio.to_thread(self._next, partner)
        if found is None:
            return False
        message, body = found
        if message.state == "sending":
            # It is our turn, so nobody is sending it: it was left so by a process that is gone, or when its answer
            # could not be written down.
            await self._node.written(lambda transaction: recover_sending(transaction, partner=partner))
            return True
        taken = await self._node.written(lambda transaction: _take(transaction, message, body))
        if not taken.value:
            return True
        return await self._send(message, wire.PEER_CALLS[PATHS[message.kind]].model_validate_json(body))

    def _next(self, partner: str) -> tuple[Any, str] | None:
        """Return the first message that can be sent, and its body: of all but answers in order, then of answers.

        A claim that no published head covers yet is passed over: none must wait for a witness. So is one whose receipt
        is paused, or renewed and not acknowledged: it leaves when that is. So is one that ran out meanwhile:
        housekeeping issues it anew. One that may have arrived is sent on: its recipient has taken it, or says no.
        """
        now_s = self._node.now_s()
        (any_due,) = self._node.rows(_ANY_DUE, {"partner": partner, "now_s": now_s})[0]
        if not any_due:
            return None
        due = (
            select(MESSAGES)
            .where(MESSAGES.c.partner == partner, MESSAGES.c.not_before_s <= now_s)
            # Claims that waited for their slot leave in its order, and not in the one they were issued in.
            .order_by(MESSAGES.c.not_before_s, MESSAGES.c.number)
        )
        # What was being sent when somebody stopped comes first: what became of it has to be found out.
        for which in (_IS_SENDING, _IS_QUEUED & ~_IS_ANSWER & _IN_ORDER):
            row = self._node.row(due.where(which).limit(1))
            if row is not None:
                return (row, str(row.body)) if row.next_attempt_s <= now_s else None
        for row in self._node.rows(due.where(_IS_QUEUED, _IS_ANSWER, _MAY_LEAVE).limit(LOOK_AHEAD_MAX)):
            if row.next_attempt_s > now_s:
                return None
            if not row.maybe_arrived and self._has_run_out(row.about, now_s):
                continue
            if row.body is not None:
                return row, str(row.body)
            made = claim_message(self._node, row.about)
            if made is not None:
                return row, made.model_dump_json()
        return None

    def _has_run_out(self, claim: str, now_s: int) -> bool:
        return self._node.row(_run_out(claim, now_s)) is not None

    async def _send(self, message: Any, body: wire.Request) -> bool:
        reply: type[wire.Asked] | type[wire.PeerAcknowledged]
        reply = wire.Asked if message.kind == "claim.ask" else wire.PeerAcknowledged
        try:
            peer = await asyncio.to_thread(self._node.peer, message.partner, self._http)
            answer = await peer.post(message.path, body, idempotency_key=message.id, reply=reply)
            token = answer.token if isinstance(answer, wire.PeerAcknowledged) else ""
            await self._node.written(lambda transaction: self._delivered(transaction, message, token))
        except (NodeUnreachable, ReplyForged) as error:
            return await self._wait(message, error)
        except NodeProblem as error:
            if not _is_final(error):
                return await self._wait(message, error)
            code = error.code
            settled = await self._node.written(lambda transaction: _refused(self._node, transaction, message, code))
            if not settled.value:
                return await self._wait(message, error)
            log.warning("message %s refused by %s: %s", message.kind, message.partner, code)
        except TallyError as error:
            # The answer was the partner's, but not one that this message can have: the same as no answer, for a while.
            if message.attempts + 1 < WRONG_ANSWERS_MAX:
                return await self._wait(message, error)
            log.error("message %s to %s is given up: %s", message.kind, message.partner, error.code)
            await self._node.written(lambda transaction: _settle(transaction, message, "rejected"))
        return True

    async def _wait(self, message: Any, error: TallyError) -> bool:
        # A partner that is away comes back; one whose name leads to a private address needs somebody to look.
        level = logging.WARNING if error.code == "address_refused" else logging.INFO
        log.log(level, "message %s to %s waits: %s", message.kind, message.partner, error.code)
        if isinstance(error, ReplyForged) or _is_for_want_of_a_key(error):
            self._doubt(message.partner)
        maybe_arrived, alone = not _never_left(error), _is_about_this_alone(message, error)
        asked_s = min(error.retry_after_s or 0, BACKOFF_MAX_S) if isinstance(error, RateLimited) else 0
        await self._node.written(
            lambda transaction: self._later(
                transaction, message, maybe_arrived=maybe_arrived, alone=alone, asked_s=asked_s
            )
        )
        return False

    def _delivered(self, transaction: Transaction, message: Any, token: str) -> None:
        if _is_settled(transaction, message):
            return
        if message.kind in GIVEN_AGAIN + STOPPED:
            row = transaction.row(select(RECEIPTS).where(RECEIPTS.c.id == message.about))
            assert row is not None, "a receipt is never removed before its messages"
            if message.kind in STOPPED or row.signed is not None:  # what was given is gone once its subject is erased
                take = acknowledged_given if message.kind in GIVEN_AGAIN else acknowledged
                sent = wire.PeerSigned.model_validate_json(message.body).token
                take(self._node, transaction, row, state=message.kind.removeprefix("receipt."), sent=sent, token=token)
        elif message.kind == "claim.issued" or (message.kind == "claim.revoked" and token):
            claim_accepted(self._node, transaction, message.about, token)
        elif message.kind == "erasure.asked":
            erasure_asking.attested(self._node, transaction, message.about, token)
        _settle(transaction, message, "delivered")

    def _later(self, transaction: Transaction, message: Any, *, maybe_arrived: bool, alone: bool, asked_s: int) -> None:
        """Queue a message again, behind a growing pause; one whose receipt has ended is not tried any more.

        Args:
            alone: nothing behind it waits with it.
            asked_s: how long the partner asks us to wait.
        """
        if _is_settled(transaction, message):
            return
        maybe_arrived = maybe_arrived or message.maybe_arrived
        if _has_ended(transaction, message) or _is_taken_back(transaction, message):
            _withhold(transaction, message, maybe_arrived=maybe_arrived)
            return
        attempts = message.attempts + 1
        limit_s = min(BACKOFF_FIRST_S * 2 ** min(attempts - 1, BACKOFF_DOUBLINGS_MAX), BACKOFF_MAX_S)
        # Half of it fixed, half of it chance, so that partners that fell together do not rise together.
        jitter = int.from_bytes(self._node.random_bytes(4), "big") / 2**32
        again_s = transaction.now_s + max(1, asked_s, int(limit_s / 2 * (1 + jitter)))
        transaction.execute(
            update(MESSAGES)
            .where(MESSAGES.c.number == message.number)
            .values(
                state="queued",
                attempts=attempts,
                next_attempt_s=again_s,
                not_before_s=again_s if alone else message.not_before_s,
                maybe_arrived=maybe_arrived,
            )
        )


def recover_sending(transaction: Transaction, *, partner: str | None = None) -> None:
    """Queue again what was being sent when the node, or its storage, stopped; withhold it if its receipt has ended.

    Args:
        transaction: the one to do it in.
        partner: host name of the only partner to look at; all of them after a start.
    """
    left = select(MESSAGES).where(MESSAGES.c.state == "sending")
    for row in transaction.execute(left if partner is None else left.where(MESSAGES.c.partner == partner)).all():
        if _has_ended(transaction, row) or _is_taken_back(transaction, row):
            _withhold(transaction, row, maybe_arrived=True)
        else:
            again = {"state": "queued", "maybe_arrived": True}
            transaction.execute(update(MESSAGES).where(MESSAGES.c.number == row.number).values(**again))


def _withhold(transaction: Transaction, message: Any, *, maybe_arrived: bool) -> None:
    """Try a message no further. That it was withheld is logged only where that is known to be so: one that may have
    arrived stands in the entry that ended its receipt."""
    if not maybe_arrived:
        claim_rejected(transaction, message.about)
    _settle(transaction, message, "withheld")


def _never_left(error: TallyError) -> bool:
    """Return whether a failure shows that nothing reached the partner: no connection was made, or it refused."""
    never_met = isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return never_met or isinstance(error, RateLimited) or _is_for_want_of_a_key(error)


def _is_for_want_of_a_key(error: TallyError) -> bool:
    """Return whether a partner says that it does not know the key under which a request, or a claim in it, is
    signed."""
    return isinstance(error, KeyRefused) or (isinstance(error, NodeProblem) and error.code == SIGNATURE_INVALID)


def _is_about_this_alone(message: Any, error: TallyError) -> bool:
    """Return whether a partner that can be spoken with cannot use one message now, which says nothing of what else
    waits there: whether an answer stands is not to be had, for example, or it does not know the key under which
    something was signed. Who calls it knows, or its answer would not be signed."""
    if isinstance(error, KeyRefused):
        return True
    return message.kind == "claim.issued" and not isinstance(error, NodeUnreachable | ReplyForged | RateLimited)


def _is_final(error: NodeProblem) -> bool:
    """Return whether a partner's refusal is about what was sent, and not about who sent it, when, or how much."""
    return error.status in FINAL_STATUSES and error.code != "replay_detected"


def _take(transaction: Transaction, message: Any, body: str) -> bool:
    """Mark a message as being sent, its body fixed; it may have been withheld, or its receipt paused, since then."""
    taken = transaction.execute(
        update(MESSAGES)
        .where(MESSAGES.c.number == message.number, MESSAGES.c.state == "queued", _MAY_LEAVE)
        .values(state="sending", body=body)
    )
    return bool(taken.rowcount == 1)


def _is_settled(transaction: Transaction, message: Any) -> bool:
    """Return whether another process has settled a message since: one that took our turn for lost, and sent it too."""
    row = transaction.row(select(MESSAGES.c.state).where(MESSAGES.c.number == message.number))
    return row is None or row.state not in ("queued", "sending")


def _refused(node: Node, transaction: Transaction, message: Any, code: str) -> bool:
    """Settle a message that its partner refuses; return whether it is: an answer that is refused for its signature
    alone, while its key counts, waits until the partner has that key."""
    if _is_settled(transaction, message):
        return True
    if _may_be_issued_anew(transaction, message):
        if _is_under_a_key_given_up(node, transaction, message.about):
            # Nobody takes it any more, whatever it says itself: its time is over now.
            over = update(CLAIMS).where(CLAIMS.c.digest == message.about, CLAIMS.c.expires_at_s > transaction.now_s)
            transaction.execute(over.values(expires_at_s=transaction.now_s))
        if transaction.row(_run_out(message.about, transaction.now_s)) is not None:
            # It never arrived, and waits as one that never left: housekeeping issues it anew.
            unsent = {"state": "queued", "maybe_arrived": False}
            transaction.execute(update(MESSAGES).where(MESSAGES.c.number == message.number).values(**unsent))
            return True
        if code == SIGNATURE_INVALID:
            return False
    if message.kind == "claim.issued":
        claim_rejected(transaction, message.about)
    elif message.kind == "erasure.asked":
        erasure_asking.refused(transaction, message.about)
    _settle(transaction, message, "rejected")
    return True


def _may_be_issued_anew(transaction: Transaction, message: Any) -> bool:
    """Return whether nothing stops an answer but that the claim that tells it is not good any more."""
    is_answer = message.kind == "claim.issued"
    return is_answer and not _has_ended(transaction, message) and not _is_taken_back(transaction, message)


def _is_under_a_key_given_up(node: Node, transaction: Transaction, claim: str) -> bool:
    """Return whether the key that signed a claim was revoked, or its time is over: what is proven only now is not
    shown to be older."""
    signed_by = last_disclosure(transaction, claim).key
    return any(key.id == signed_by and not key.can_sign(transaction.now_s) for key in node.keys.ring.keys)


def _run_out(claim: str, now_s: int) -> Select[Any]:
    mine = (CLAIMS.c.digest == claim, CLAIMS.c.role == "issuer", CLAIMS.c.expires_at_s <= now_s)
    return select(CLAIMS.c.digest).where(*mine)


def _settle(transaction: Transaction, message: Any, state: str) -> None:
    transaction.execute(update(MESSAGES).where(MESSAGES.c.number == message.number).values(state=state))


def _is_taken_back(transaction: Transaction, message: Any) -> bool:
    """Return whether the claim in a message was revoked while it was being sent, or taken back by a version that
    permits less: its message has no body any more."""
    if message.kind != "claim.issued":
        return False
    mine = select(CLAIMS.c.state, MESSAGES.c.body).join(MESSAGES, MESSAGES.c.about == CLAIMS.c.digest)
    row = transaction.row(mine.where(MESSAGES.c.number == message.number))
    return row is not None and (row.state == "revoked" or row.body is None)


def _has_ended(transaction: Transaction, message: Any) -> bool:
    """Return whether the receipt that a message leaves under has ended, and its ending does not let the message go."""
    mine = select(RECEIPTS.c.state).join(MESSAGES, MESSAGES.c.receipt == RECEIPTS.c.id)
    row = transaction.row(mine.where(MESSAGES.c.number == message.number))
    return row is not None and ReceiptState(row.state) not in OPEN
