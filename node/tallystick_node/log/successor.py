"""Begin a successor to a log that must not be written any more, and go on from what this node has.

The operator decides that: what others have seen of the old log and this node does not have stays lost to it. The new
log's opening says so, for every auditor to see: the last head that this node's rows stand for, and the head that others
hold instead.

Source: DESIGN P1; `docs/operating.md`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tallystick_ledger.errors import NoteMalformed, SignatureRejected
from tallystick_ledger.tlog.checkpoint import open_checkpoint
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_node.clock import Clock
from tallystick_node.errors import SettingsInvalid
from tallystick_node.flows.logs.turning import SUCCESSORS_MAX, turn_to
from tallystick_node.keys.files import AskPassphrase
from tallystick_node.node import Node
from tallystick_node.setup import open_node


@dataclass(frozen=True, slots=True)
class Succession:
    """What was done: from the last head of one log to the name of the next, and what others hold instead."""

    last: Checkpoint
    abandoned: Checkpoint | None
    origin: str
    parts: int


def begin_successor(folder: Path, *, clock: Clock, passphrase: AskPassphrase | None = None) -> Succession:
    """End the read-only log of the node in `folder`, and begin its successor; the node must not be running.

    Raises:
        SettingsInvalid: no node there, its log is not read-only, or a year's log has had too many successors.
        LogUnasked: a witness or a partner does not say what it knows of a successor; nothing was changed.
        FolderInUse: the node is running.
        StorageUnavailable: nothing was changed.
    """
    node = open_node(folder, clock=clock, passphrase=passphrase)
    try:
        node.standing.ask()
        note = node.shards.contradiction()
        if note is None:
            raise SettingsInvalid(
                "Nobody says that this log must not go on.", remedy="Serve the node; a successor is for one that must."
            )
        ending = node.shards.current
        last, abandoned = ending.publisher.committed(), _head_in(note, node)
        name = _free_name(node, clock)
        parts = turn_to(node, name, abandoned=abandoned)
        return Succession(last, abandoned, node.shards.current.own.origin, parts)
    finally:
        node.close()


def _head_in(note: bytes, node: Node) -> Checkpoint | None:
    """Return the head that a note is of, where it is one of the log that ends."""
    publisher = node.shards.current.publisher
    try:
        return open_checkpoint(note, origin=publisher.origin, keys=publisher.log_keys)[0]
    except (NoteMalformed, SignatureRejected):
        return None


def _free_name(node: Node, clock: Clock) -> str:
    """Return the first name of this year's log that neither this node nor anybody else knows.

    Raises:
        SettingsInvalid: there is none.
        LogUnasked: somebody who may know one cannot be asked.
    """
    year = max(datetime.fromtimestamp(clock.now_s(), UTC).year, int(node.shards.current.own.name[:4]))
    for number in range(1, SUCCESSORS_MAX + 1):
        name = str(year) if number == 1 else f"{year}-{number}"
        if name in node.shards.names():
            continue
        origin = f"{node.host}/log/{name}"
        signers = node.keys.log_signers(origin, now_s=clock.now_s())
        if not node.standing.is_known(origin, node.shards.current, signers):
            return name
    raise SettingsInvalid("This year's log has had too many successors.", remedy="Find out why before going on.")
