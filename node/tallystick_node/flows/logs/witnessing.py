"""Witness partners' logs: cosign a checkpoint only if it grew from the one that was cosigned last.

Judgement and memory are one transaction of the one writer, durable before the answer, so that neither a race nor a
restart makes this node cosign a fork.

Source: c2sp.org/tlog-witness, DESIGN P12.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.sql.expression import Executable

from tallystick_ledger.tlog.head import Checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.note import CosignatureSigner, unchecked_text
from tallystick_ledger.tlog.signers import Signer
from tallystick_ledger.tlog.witness import (
    Cosigned,
    SignedRequest,
    WitnessRefused,
    claimed_origin,
    cosign,
    cosign_subtree,
    open_request,
    parse_add_checkpoint,
    parse_sign_subtree,
)
from tallystick_node.errors import WitnessForgot, no_such_thing
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.database import unavailable
from tallystick_node.storage.tables import FOLLOWED, WITNESS_COUNTS, WITNESSED
from tallystick_node.witness.known import keys_by_host, report_refusal, witness_name
from tallystick_node.witness.tally import WitnessTally, tally_name

_COSIGNED = select(WITNESSED)

log = logging.getLogger(__name__)


class NodeWitness:
    """A node as the witness of its partners' logs."""

    def __init__(self, node: Node) -> None:
        """Cosign with the node's own witness keys, and remember in its database."""
        self._node = node
        self._name = witness_name(node.host)
        self._tally = WitnessTally(node.folder)

    async def add_checkpoint(self, raw: bytes) -> bytes:
        """Return this node's lines for a partner's checkpoint, once they are remembered durably.

        Raises:
            WitnessRefused: with the status that c2sp.org/tlog-witness gives the case.
        """
        request = parse_add_checkpoint(raw)
        origin = claimed_origin(request.note)

        def opened() -> SignedRequest:
            return open_request(request, keys=self._keys_of(origin))

        def work(transaction: Transaction) -> tuple[bytes, dict[str, int]]:
            counted = {row.key: int(row.cosigned) for row in transaction.execute(select(WITNESS_COUNTS)).all()}
            last = self._last_seen(origin, transaction.row)
            signers = self._signers(counted, now_s=transaction.now_s)
            said = cosign(signed, last=last, signers=signers, now_s=transaction.now_s)
            if said is last:
                return said.answer, {}
            _remember(transaction, said)
            return said.answer, _count(transaction, signers, counted)

        try:
            signed = await asyncio.to_thread(opened)  # anybody may ask: only what a log has signed reaches the writer
            answer, counts = (await self._node.written(work)).value
            # What is counted in the database alone was answered to nobody.
            await asyncio.to_thread(self._tally.count, counts)
            return answer
        except OSError as error:
            raise unavailable() from error
        except WitnessRefused as error:
            report_refusal(error, origin)
            raise

    async def sign_subtree(self, raw: bytes) -> bytes:
        """Return this node's line for a part of a tree that it cosigned whole.

        Raises:
            WitnessRefused: with the status that c2sp.org/tlog-witness gives the case.
        """
        request = parse_sign_subtree(raw)
        pq = self._node.keys.witness_pq()
        if pq is None:
            raise WitnessRefused(404, "This witness has no key that signs parts of a tree.")
        origin = claimed_origin(request.note)
        keys = await asyncio.to_thread(self._keys_of, origin)
        row = await asyncio.to_thread(self._node.row, _COSIGNED.where(WITNESSED.c.origin == origin))
        last = None if row is None else Checkpoint(origin, row.size, bytes(row.root))
        own = self._node.keys.live_witness_keys(self._name, now_s=self._node.now_s())
        signer = CosignatureSigner(self._name, pq)  # perhaps at an external signer, which takes its time
        return await asyncio.to_thread(cosign_subtree, request, keys=keys, own=own, last=last, signer=signer)

    def _signers(self, counted: Mapping[str, int], *, now_s: int) -> list[Signer]:
        """Return what cosigns: the keys under which nothing was forgotten.

        Raises:
            WitnessForgot: there is none.
        """
        found = {tally_name(each.verifier_key.public_key): each for each in self._all_signers(now_s)}
        whole = self._tally.may_sign(found, counted)
        if not whole:
            log.critical("what was cosigned with this node's witness keys is forgotten; nothing is cosigned with them")
            raise WitnessForgot(
                "This node has forgotten what it cosigned, so it cosigns nothing.",
                remedy="The operator gives it new keys: tally-node keys rotate FOLDER witness, then witness-pq.",
            )
        return [each for name, each in found.items() if name in whole]

    def _all_signers(self, now_s: int) -> list[Signer]:
        return self._node.keys.witness_signers(self._name, now_s=now_s)

    def _last_seen(self, origin: str, row_of: Callable[[Executable], Any | None]) -> Cosigned | None:
        """Return the largest head of a log that this node knows: cosigned last, or seen when it followed the log.

        A database that was put back from a backup has forgotten what was cosigned since, and learns of it by following.
        """
        row = row_of(_COSIGNED.where(WITNESSED.c.origin == origin))
        last = None if row is None else Cosigned.recall(row.note, at_s=row.cosigned_at_s, keys=self._own())
        followed = row_of(select(FOLLOWED.c.note).where(FOLLOWED.c.origin == origin))
        if followed is None:
            return last
        seen = parse_checkpoint_body(unchecked_text(followed.note))
        if last is not None and seen.size <= last.checkpoint.size:
            return last
        return Cosigned(seen, 0 if last is None else last.at_s, followed.note, b"")

    def _keys_of(self, origin: str) -> dict[str, list[VerifierKey]]:
        return keys_by_host(origin, self._node.partners.live, now_s=self._node.now_s())

    def _own(self) -> list[VerifierKey]:
        return self._node.keys.witness_keys(self._name)

    async def last_cosigned(self, origin_digest: str) -> bytes:
        """Return the checkpoint of a log that this node cosigned last.

        Raises:
            NotFound: it never cosigned one of that log.
        """
        found = select(WITNESSED.c.note).where(WITNESSED.c.origin_digest == origin_digest)
        row = await asyncio.to_thread(self._node.row, found)
        if row is None:
            raise no_such_thing()
        return bytes(row.note)

    async def last_seen(self, origin_digest: str) -> bytes:
        """Return the largest head of a log that this node knows: cosigned last, or seen when it followed the log.

        Raises:
            NotFound: it knows none.
        """
        return await asyncio.to_thread(self._largest_of, origin_digest)

    def _largest_of(self, origin_digest: str) -> bytes:
        followed = self._node.rows(select(FOLLOWED.c.origin))  # few: how many logs of a partner are followed is bounded
        cosigned = self._node.rows(select(WITNESSED.c.origin).where(WITNESSED.c.origin_digest == origin_digest))
        for origin in {row.origin for row in (*followed, *cosigned)}:
            if hashlib.sha256(origin.encode()).hexdigest() == origin_digest:
                seen = self._last_seen(origin, self._node.row)
                if seen is not None:
                    return seen.note
        raise no_such_thing()


def _count(transaction: Transaction, signers: Sequence[Signer], counted: Mapping[str, int]) -> dict[str, int]:
    """Count one cosignature more of each key; return the counts."""
    names = [tally_name(each.verifier_key.public_key) for each in signers]
    counts = {name: counted.get(name, 0) + 1 for name in names}
    for name, count in counts.items():
        if name in counted:
            transaction.execute(update(WITNESS_COUNTS).where(WITNESS_COUNTS.c.key == name).values(cosigned=count))
        else:
            transaction.execute(insert(WITNESS_COUNTS).values(key=name, cosigned=count))
    return counts


def _remember(transaction: Transaction, said: Cosigned) -> None:
    origin = said.checkpoint.origin
    transaction.execute(delete(WITNESSED).where(WITNESSED.c.origin == origin))
    transaction.execute(
        insert(WITNESSED).values(
            origin=origin,
            origin_digest=hashlib.sha256(origin.encode()).hexdigest(),
            size=said.checkpoint.size,
            root=said.checkpoint.root,
            note=said.note,
            cosigned_at_s=said.at_s,
        )
    )
