"""What a write may do, and what comes of it: its entries, and their proofs once they are written.

Source: DESIGN section 6 (writing).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Insert
from sqlalchemy.sql.expression import Executable

from tallystick.wire import EntryProof
from tallystick_ledger.append import Plan
from tallystick_ledger.encoding import new_id
from tallystick_ledger.entry import BLIND_SIZE_BYTES, Entry, make_entry
from tallystick_ledger.errors import EntryMalformed
from tallystick_ledger.tlog.blob import ENTRY_SIZE_MAX_BYTES
from tallystick_ledger.tlog.proof import InclusionProof
from tallystick_node.storage.database import is_postgres
from tallystick_node.storage.driver import Driver

COPIED_FROM = 8
"""How many rows that belong together are put into a PostgreSQL by its own way of taking many."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Appended:
    """An entry that will be in the log once the transaction commits, and where."""

    entry: Entry
    index: int


class Transaction:
    """What a write may do: read and change rows, and append entries.

    Attributes:
        log: name of the log that the entries go to.
        now_s: the time of the write, and of its entries; never before that of the entry before.
        subject: our customer that the reply to this write tells of, "" for none; None until whoever writes has said
            so. A reply that is kept is erased with that one, and none is kept of which this was not said.
    """

    def __init__(
        self, connection: Connection, *, log: str, first_index: int, now_s: int, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._connection = connection
        self._collected: dict[tuple[Executable, tuple[str, ...]], list[dict[str, Any]]] = {}
        self.log = log
        self.now_s = now_s
        self.subject: str | None = None
        self.random_bytes = random_bytes
        self.entries: list[bytes] = []
        self.first_index = first_index

    @property
    def connection(self) -> Connection:
        """The connection, with everything run that was collected."""
        self.run_collected()
        return self._connection

    def append(self, kind: str, body: dict[str, Any], *, entry_id: str | None = None) -> Appended:
        """Append an entry.

        Raises:
            EntryMalformed: the entry exceeds its bounds.
        """
        entry = make_entry(
            kind,
            body,
            entry_id=entry_id or self.new_id("ent"),
            blind=self.random_bytes(BLIND_SIZE_BYTES),
            at_s=self.now_s,
        )
        self.entries.append(entry.raw)
        return Appended(entry, self.first_index + len(self.entries) - 1)

    def append_finished(self, entries: Sequence[bytes]) -> range:
        """Append entries whose bytes are finished; return their indexes.

        Args:
            entries: as `make_entry` gives them; nothing but their size is looked at again.

        Raises:
            EntryMalformed: one exceeds its bound.
        """
        if max(map(len, entries), default=0) > ENTRY_SIZE_MAX_BYTES:
            raise EntryMalformed("An entry is larger than 65,535 bytes.", remedy="Make entries with make_entry.")
        first = self.first_index + len(self.entries)
        self.entries += entries
        return range(first, first + len(entries))

    @property
    def next_index(self) -> int:
        """The index that the next entry gets: how many entries the log has, those of this write with them."""
        return self.first_index + len(self.entries)

    def new_id(self, prefix: str) -> str:
        """Return a fresh random identifier."""
        return new_id(prefix, self.random_bytes(16))

    def collect(self, statement: Executable, **values: object) -> None:
        """Run a statement beside others like it, all of them at once: before the next that is run, or at the end.

        What is collected meanwhile must be free to run in another order, but for the same statement: one run for many
        rows takes a small part of what it takes for each.

        Args:
            statement: one object for all that belong together, such as a constant of its module; an `insert` names its
                table and nothing else, since many rows may go there without it.
            values: of its parameters, or of its columns.
        """
        self._collected.setdefault((statement, tuple(values)), []).append(values)

    def run_collected(self) -> None:
        """Run what was collected."""
        collected, self._collected = self._collected, {}
        for (statement, names), rows in collected.items():
            if isinstance(statement, Insert) and len(rows) >= COPIED_FROM and is_postgres(self._connection.engine):
                Driver(self._connection).copy_in(statement.table.name, names, rows)
            else:
                self._connection.execute(statement, rows)

    def drop_collected(self) -> None:
        """Leave undone what was collected: the write that it belongs to has failed."""
        self._collected = {}

    def execute(self, statement: Executable) -> Any:
        """Run one statement."""
        return self.connection.execute(statement)

    def row(self, statement: Executable) -> Any | None:
        """Return the first row of a statement, None where there is none."""
        return self.connection.execute(statement).first()


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit appended, under the head that was signed for it.

    Attributes:
        plan: hashes of what is new; it proves each entry on demand.
        checkpoint: the signed head, a note; empty where nothing was appended.
    """

    plan: Plan
    checkpoint: bytes

    def prove(self, indexes: range) -> tuple[EntryProof, ...]:
        """Return entries of this commit, each with its proof under the head."""
        first = self.plan.before.size
        return tuple(
            EntryProof(
                index=index,
                entry=self.plan.entries[index - first].decode(),
                proof=InclusionProof(index, tuple(hashes), self.checkpoint, None).encode().decode(),
            )
            for index, hashes in zip(indexes, self.plan.prove(indexes), strict=True)
        )


@dataclass(frozen=True)
class Written(Generic[T]):
    """What a write gave, and where its entries are.

    Attributes:
        value: what its function returned.
        indexes: of the entries it made: they lie side by side.
        commit: which they came in with, perhaps beside those of others.
    """

    value: T
    indexes: range
    commit: Commit

    @cached_property
    def proofs(self) -> tuple[EntryProof, ...]:
        """The entries, each with its proof; made when they are first asked for."""
        return self.commit.prove(self.indexes)
