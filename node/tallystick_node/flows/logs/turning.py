"""Turn to the next log: the year's, or a successor to one that must not be written any more.

One transaction ends the log, writes the opening of the next, and lets every row name the new places. If the power fails
before it is durable the old log is written on, and turned again; if after, the next start finds the new one.

Source: DESIGN section 4 (yearly shards), P1.
"""

from datetime import UTC, datetime

from tallystick_ledger.opening import Carried, Opening, OpeningDraft
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_node.flows.logs.carrying import carry_over
from tallystick_node.flows.logs.key_log import logged_keys
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node

SUCCESSORS_MAX = 99
"""How many successors a year's log may have."""


def open_log(node: Node, transaction: Transaction) -> None:
    """Make the first log's opening, where it has none: it continues no other."""
    if transaction.first_index == 0 and not transaction.entries:
        transaction.append("opening", Opening(node.shards.current.own.origin).body())


def year_to_begin(node: Node) -> str | None:
    """Return the name of the year's log, where the clock has passed the year of the one that is written; else None."""
    year = datetime.fromtimestamp(node.now_s(), UTC).year
    return str(year) if year > int(node.shards.current.own.name[:4]) else None


def turn_to(node: Node, name: str, *, abandoned: Checkpoint | None = None) -> int:
    """End the log that is written, and begin the one of that name; return how many parts its opening has.

    Blocks until it is durable.

    Args:
        node: whose log it is.
        name: what follows `HOST/log/` in the new log's origin.
        abandoned: a head of the old log that others hold and that it does not lead to.

    Raises:
        EntryMalformed: there is more than an opening can carry.
        StorageUnavailable: nothing was changed.
    """
    ending, beginning = node.shards.current, node.shards.open(name)

    def work(transaction: Transaction) -> int:
        # Whoever else writes this log waits for this transaction, so that this is its last head.
        last = ending.publisher.committed_in(transaction.connection)
        draft = OpeningDraft(beginning.own.origin, last, abandoned)
        for change in logged_keys(node, transaction):
            draft.add(Carried("key", change.body()))
        parts = carry_over(transaction, draft, host=node.host)
        for part in parts:
            transaction.append("opening", part.body())
        return len(parts)

    written = node.writer.go_on_in(beginning.own, work).result()
    node.shards.own_log(name)  # from here on it is one of the node's
    return written.value
