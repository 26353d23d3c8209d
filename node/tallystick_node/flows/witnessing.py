"""Witness partners' logs: cosign a checkpoint only if it grew from the one that was cosigned last.

Judgement and memory are one transaction of the one writer, durable before the answer, so that neither a race nor a
restart makes this node cosign a fork.

Source: c2sp.org/tlog-witness, DESIGN P12.
"""

import hashlib
import logging
import re

from sqlalchemy import delete, insert, select

from tallystick_ledger.errors import BadInput
from tallystick_ledger.tlog.checkpoint import Checkpoint
from tallystick_ledger.tlog.head import parse_checkpoint_body
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.note import CosignatureSigner, add_lines, sign_line, unchecked_text
from tallystick_ledger.tlog.witness import AddCheckpoint, WitnessRefused, judge, parse_add_checkpoint
from tallystick_node.errors import PartnerUnknown
from tallystick_node.node import Node, no_such_thing
from tallystick_node.tables import WITNESSED
from tallystick_node.writer import Transaction

_LOG_ORIGIN = re.compile(r"([a-z0-9.:-]{1,250})/log/[0-9]{4}(-[0-9]{1,3})?")

log = logging.getLogger(__name__)


def witness_name(host: str) -> str:
    """Return the name under which a node cosigns."""
    return f"{host}/witness"


async def add_checkpoint(node: Node, raw: bytes) -> bytes:
    """Return this node's cosignature line for a partner's checkpoint.

    Raises:
        WitnessRefused: with the status that c2sp.org/tlog-witness gives the case.
    """
    request = parse_add_checkpoint(raw)
    keys = _keys_for(node, request)

    def work(transaction: Transaction) -> bytes:
        origin, seen = next(iter(keys), ""), dict[str, Checkpoint]()
        row = transaction.row(select(WITNESSED).where(WITNESSED.c.origin == origin))
        if row is not None:
            seen[origin] = Checkpoint(origin, row.size, row.root)
        checkpoint = judge(request, keys=keys, seen=seen)
        signer = CosignatureSigner(witness_name(node.host), node.keys.ed25519("witness"))
        line = sign_line(checkpoint.body(), signer, now_s=transaction.now_s)
        transaction.execute(delete(WITNESSED).where(WITNESSED.c.origin == origin))
        transaction.execute(
            insert(WITNESSED).values(
                origin=origin,
                origin_digest=hashlib.sha256(origin.encode()).hexdigest(),
                size=checkpoint.size,
                root=checkpoint.root,
                note=add_lines(request.note, [line]),
                cosigned_at_s=transaction.now_s,
            )
        )
        return line.text

    try:
        return (await node.written(work)).value
    except WitnessRefused as error:
        if error.status == 422:
            log.error("a partner's log does not grow from what this node cosigned: %s", error.problem)
        raise


def last_cosigned(node: Node, origin_digest: str) -> bytes:
    """Return the checkpoint of a log that this node cosigned last.

    Raises:
        NotFound: it never cosigned one of that log.
    """
    row = node.row(select(WITNESSED.c.note).where(WITNESSED.c.origin_digest == origin_digest))
    if row is None:
        raise no_such_thing()
    return bytes(row.note)


def _keys_for(node: Node, request: AddCheckpoint) -> dict[str, list[VerifierKey]]:
    """Return the keys of the log that a request says it is of, where it is a partner's."""
    try:
        origin = parse_checkpoint_body(unchecked_text(request.note)).origin
        named = _LOG_ORIGIN.fullmatch(origin)
        return {origin: node.partner(named[1]).log_keys(origin)} if named else {}
    except (BadInput, PartnerUnknown):
        return {}
