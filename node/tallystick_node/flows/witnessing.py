"""Witness partners' logs: cosign a checkpoint only if it grew from the one that was cosigned last.

Judgement and memory are one transaction of the one writer, durable before the answer, so that neither a race nor a
restart makes this node cosign a fork.

Source: c2sp.org/tlog-witness, DESIGN P12.
"""

import asyncio
import hashlib

from sqlalchemy import delete, insert, select

from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.note import CosignatureSigner
from tallystick_ledger.tlog.witness import (
    Cosigned,
    WitnessRefused,
    claimed_origin,
    cosign,
    cosign_subtree,
    parse_add_checkpoint,
    parse_sign_subtree,
)
from tallystick_node.node import Node, no_such_thing
from tallystick_node.tables import WITNESSED
from tallystick_node.witness.known import keys_by_host, report_refusal, witness_name
from tallystick_node.writer import Transaction


class NodeWitness:
    """A node as the witness of its partners' logs."""

    def __init__(self, node: Node) -> None:
        """Cosign with the node's own witness keys, and remember in its database."""
        self._node = node
        self._name = witness_name(node.host)

    async def add_checkpoint(self, raw: bytes) -> bytes:
        """Return this node's lines for a partner's checkpoint, once they are remembered durably.

        Raises:
            WitnessRefused: with the status that c2sp.org/tlog-witness gives the case.
        """
        request = parse_add_checkpoint(raw)
        origin = claimed_origin(request.note)
        keys = await asyncio.to_thread(keys_by_host, origin, self._node.partner)

        def work(transaction: Transaction) -> bytes:
            row = transaction.row(select(WITNESSED).where(WITNESSED.c.origin == origin))
            last = None if row is None else Cosigned.recall(row.note, at_s=row.cosigned_at_s, keys=self._own())
            signers = self._node.keys.witness_signers(self._name, now_s=transaction.now_s)
            said = cosign(request, keys=keys, last=last, signers=signers, now_s=transaction.now_s)
            if said is not last:
                _remember(transaction, said)
            return said.answer

        try:
            return (await self._node.written(work)).value
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
        keys = await asyncio.to_thread(keys_by_host, origin, self._node.partner)
        row = await asyncio.to_thread(self._node.row, select(WITNESSED).where(WITNESSED.c.origin == origin))
        last = None if row is None else Checkpoint(origin, row.size, bytes(row.root))
        own = self._node.keys.live_witness_keys(self._name, now_s=self._node.now_s())
        return cosign_subtree(request, keys=keys, own=own, last=last, signer=CosignatureSigner(self._name, pq))

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
