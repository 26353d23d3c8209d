"""What the replays of an audit remember and memory has no room for: a temporary database takes it.

An audit has to know of every receipt, claim and transfer what became of it, and mostly looks at the few that its newest
entries are about. So of each member of a replay that grows, the items used last stay in memory, and all others lie in a
database of SQLite's that has no name: it is on the disk of temporary files once it is large, and gone with the process.
Small audits never open it. It holds no more of anybody than the log's entries do.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Collection, ItemsView, Iterable, Iterator, MutableMapping, MutableSet, ValuesView
from itertools import islice
from random import SystemRandom
from typing import Any, Generic, Self, TypeVar

from tallystick.audit.replay.records import Member, exactly, members_of
from tallystick.audit.source import AuditNotRun

HELD_MAX_MB = 50
"""What all logs of an audit may hold in memory."""

REST_SIZE_MB = 150
"""What an audit takes besides: code, files in the making, tables, a crew (2026-11-22, CPython 3.11, 64 bit)."""

HELD_TO_WRITTEN = 3
ITEM_SIZE_BYTES = 100
"""How many times what it takes as JSON an item takes in memory, and how much more: its place in a dict."""

NEWEST = 256
"""By lot from so many that came last the item is drawn by which all are measured: whoever writes a log could make the
very last one small."""

KEPT_MIN = 1_000
"""Of a member with fewer items none are put away, unless they are large: that would win nothing."""

SEEN_SIZE_BYTES = 256 * 1024
"""Of a table's sketch of its keys: most that are asked for are new, and need no look at the table."""

CACHE_SIZE_KIB = 512
"""Of a table."""

PAGE_ROWS = 1_000
"""Rows that are read at once when all of a member is gone through."""

SETTLED_MAX = 1_000
"""Items of a settled member that are held because they were looked at last."""

K = TypeVar("K")
V = TypeVar("V")


class Overflow:
    """Where the replays of one audit put what they have not used for a while."""

    def __init__(self, *, held_max_bytes: int = HELD_MAX_MB * 1_000_000, kept_min: int = KEPT_MIN) -> None:
        """Begin with nothing; no database is opened before something is put into it.

        Args:
            held_max_bytes: about what all logs may hold in memory; the last one has a quarter of that at least.
            kept_min: of a member with fewer items none are put away.
        """
        self._held_max_bytes, self._kept_min = held_max_bytes, kept_min
        self._rested_bytes = 0
        self._tables: list[_Table] = []

    @classmethod
    def within(cls, memory_mb: int) -> Self:
        """Return one for an audit that is to take about so much memory, in 10^6 bytes."""
        return cls(held_max_bytes=max(0, memory_mb - REST_SIZE_MB) * 1_000_000)

    def __enter__(self) -> Self:
        """Return this."""
        return self

    def __exit__(self, *_: object) -> None:
        """Drop what was put here."""
        for table in self._tables:
            table.close()

    def relieve(self, state: object) -> None:
        """Put away the older half of what a replay holds, where that is too much.

        Between two entries only: whoever has an item in hand and changes it must have put it back.
        """
        sizes_bytes = [(member, _held_bytes(member, state)) for member in _growing(state)]
        if sum(size_bytes for _, size_bytes in sizes_bytes) <= self._free_bytes:
            return
        for member, size_bytes in sizes_bytes:
            count = _held(member.held_in(state))
            if count >= self._kept_min or size_bytes > self._free_bytes // len(sizes_bytes):
                self._away(state, member).put_away(count // 2)

    def settle(self, state: object) -> None:
        """Take in a replay that came to its end: nothing of it is changed any more, only looked at.

        It stays in memory if there is room, and what of it lies in a database already goes there whole.
        """
        members = _growing(state)
        stays = [member for member in members if not isinstance(member.held_in(state), _Away)]
        size_bytes = sum(_held_bytes(member, state) for member in stays)
        is_small = size_bytes <= self._free_bytes
        self._rested_bytes += size_bytes if is_small else 0
        for member in members:
            held = member.held_in(state)
            if isinstance(held, _Away) or (not is_small and len(held) >= self._kept_min):
                self._away(state, member).settle()

    @property
    def _free_bytes(self) -> int:
        return max(self._held_max_bytes - self._rested_bytes, self._held_max_bytes // 4)

    def _away(self, state: object, member: Member) -> "_Away":
        """Return a member of a replay, which from now on may lie here."""
        held = member.held_in(state)
        if isinstance(held, _Away):
            return held
        table = _Table()
        self._tables.append(table)  # from here on it is closed, whatever comes
        table.begin()
        kept = SetAway[Any](table, member, held) if member.is_set else MappingAway[Any, Any](table, member, held)
        setattr(member.of(state), member.name, kept)
        return kept


def _growing(state: object) -> list[Member]:
    return [member for member in members_of(state).values() if member.grows]


def _held(held: Any) -> int:
    """Return how many items of a member are in memory."""
    return len(held.newest) if isinstance(held, _Away) else len(held)


def _held_bytes(member: Member, state: object) -> int:
    """Return about how much memory a member's items take, by what one of the newest would take as JSON."""
    held = member.held_in(state)
    newest: Any = held.newest if isinstance(held, _Away) else held
    if not newest:
        return 0
    drawn = _CHANCE.choice(list(islice(iter(newest) if member.is_set else reversed(newest), NEWEST)))
    written = member.adapter.dump_json((drawn,) if member.is_set else (drawn, newest[drawn]))
    return len(newest) * (HELD_TO_WRITTEN * len(written) + ITEM_SIZE_BYTES)


_CHANCE = SystemRandom()


class _Room:
    """Says of a database that fails that an audit finds no room."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise AuditNotRun(
                f"What the audit remembers finds no room on the disk of temporary files ({type(error).__name__}).",
                remedy="Make room there, or let SQLITE_TMPDIR name a folder with more.",
            ) from error


_room = _Room()


class _Table:
    """Rows in the order in which their keys first came, in a temporary database of their own."""

    def __init__(self) -> None:
        self._seen = bytearray(SEEN_SIZE_BYTES)
        with _room:
            # An audit is read, run and ended by one thread at a time; it need not be the same one.
            self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)

    def begin(self) -> None:
        with _room:
            for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_SIZE_KIB}"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.execute(
                "CREATE TABLE item (place INTEGER PRIMARY KEY, key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)"
            )

    def close(self) -> None:
        self._db.close()

    def get(self, key: bytes) -> bytes | None:
        at = hash(key) % (8 * SEEN_SIZE_BYTES)
        if not self._seen[at >> 3] >> (at & 7) & 1:
            return None
        with _room:
            row = self._db.execute("SELECT value FROM item WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def put(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        with _room:
            self._db.execute("BEGIN")
            self._db.executemany(
                "INSERT INTO item (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                map(self._sketched, rows),
            )
            self._db.execute("COMMIT")

    def _sketched(self, row: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
        at = hash(row[0]) % (8 * SEEN_SIZE_BYTES)
        self._seen[at >> 3] |= 1 << (at & 7)
        return row

    def drop(self, key: bytes) -> bool:
        with _room:
            return self._db.execute("DELETE FROM item WHERE key = ?", (key,)).rowcount > 0

    def count(self) -> int:
        with _room:
            count: int = self._db.execute("SELECT count(*) FROM item").fetchone()[0]
        return count

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all rows; what is put meanwhile may be among them, or not."""
        after = -1
        while True:
            with _room:
                page = self._db.execute(
                    "SELECT place, key, value FROM item WHERE place > ? ORDER BY place LIMIT ?", (after, PAGE_ROWS)
                ).fetchall()
            if not page:
                return
            yield from ((key, value) for _, key, value in page)
            after = page[-1][0]


class _Away(ABC):
    """A member of which some items lie in a table."""

    @property
    @abstractmethod
    def newest(self) -> Collection[Any]:
        """The items that are in memory."""

    @abstractmethod
    def put_away(self, keep: int) -> None:
        """Leave no more than the `keep` newest items in memory."""

    def settle(self) -> None:
        """Put all away: from now on nothing is changed, and what is looked at is held for a while alone."""
        self.put_away(0)


class MappingAway(_Away, MutableMapping[K, V]):
    """A mapping of which some items lie in a table; in the order in which their keys first came, as a dict's."""

    def __init__(self, table: _Table, member: Member, items: MutableMapping[K, V]) -> None:
        """Begin with these items in memory."""
        of_key, of_value = member.parts
        self._table, self._key, self._value = table, _Form[K](of_key), _Form[V](of_value)
        settings: Any = getattr(of_value, "__dataclass_params__", None)
        self._changes = settings is not None and not settings.frozen  # so what is looked at may be changed in place
        self._settled = False
        self._items = dict(items)
        self._lying: set[K] = set()  # of the items in memory, those that lie in the table as they are

    @property
    def newest(self) -> dict[K, V]:
        """The items that are in memory."""
        return self._items

    def put_away(self, keep: int) -> None:
        """Leave no more than the `keep` newest items in memory."""
        away = list(islice(self._items, max(0, len(self._items) - keep)))
        self._write(away)
        for key in away:
            del self._items[key]
        self._lying.difference_update(away)

    def settle(self) -> None:
        """Put all away: from now on nothing is changed, and what is looked at is held for a while alone."""
        self.put_away(0)
        self._settled, self._changes = True, False

    def __getitem__(self, key: K) -> V:
        try:
            return self._items[key]
        except KeyError:
            raw = self._table.get(self._key.write(key))
            if raw is None:
                raise
        if self._settled and len(self._items) >= SETTLED_MAX:
            self._items.clear()
            self._lying.clear()
        value = self._items[key] = self._value.read(raw)
        if not self._changes:
            self._lying.add(key)
        return value

    def __contains__(self, key: object) -> bool:
        known: Any = key
        return known in self._items or self._table.get(self._key.write(known)) is not None

    def __setitem__(self, key: K, value: V) -> None:
        self._items[key] = value
        self._lying.discard(key)

    def __delitem__(self, key: K) -> None:
        self._lying.discard(key)
        was_held = key in self._items
        self._items.pop(key, None)
        if not self._table.drop(self._key.write(key)) and not was_held:
            raise KeyError(key)

    def __iter__(self) -> Iterator[K]:
        return (key for key, _ in self.pairs())

    def __len__(self) -> int:
        self._write(self._items)
        return self._table.count()

    def items(self) -> ItemsView[K, V]:
        """Return each key with its value, in order."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """Return the values, in order of their keys."""
        return _Values(self)

    def pairs(self) -> Iterator[tuple[K, V]]:
        """Yield each key and its value, for looking only; what is put meanwhile may be among them, or not."""
        self._write(self._items)
        for raw_key, raw in self._table.rows():
            key = self._key.read(raw_key)
            yield key, (self._items[key] if key in self._items else self._value.read(raw))

    def _write(self, keys: Iterable[K]) -> None:
        """Put these items into the table, those apart that lie there as they are."""
        new = (key for key in keys if key not in self._lying)
        self._table.put((self._key.write(key), self._value.write(self._items[key])) for key in new)
        if not self._changes:
            self._lying.update(keys)


class _Items(ItemsView[K, V]):
    _mapping: MappingAway[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._mapping.pairs()


class _Values(ValuesView[V]):
    _mapping: MappingAway[Any, V]

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._mapping.pairs())


class SetAway(_Away, MutableSet[K]):
    """A set of which some elements lie in a table."""

    def __init__(self, table: _Table, member: Member, elements: MutableSet[K]) -> None:
        """Begin with these elements in memory."""
        self._table, self._form, self._elements = table, _Form[K](*member.parts), set(elements)

    @property
    def newest(self) -> set[K]:
        """The elements that are in memory."""
        return self._elements

    def put_away(self, keep: int) -> None:
        """Leave no more than `keep` elements in memory."""
        away = set(islice(self._elements, max(0, len(self._elements) - keep)))
        self._table.put((self._form.write(each), b"") for each in away)
        self._elements -= away

    def add(self, value: K) -> None:
        """Take an element."""
        self._elements.add(value)

    def discard(self, value: K) -> None:
        """Leave an element out, if it is one."""
        self._elements.discard(value)
        self._table.drop(self._form.write(value))

    def __contains__(self, value: object) -> bool:
        known: Any = value
        return known in self._elements or self._table.get(self._form.write(known)) is not None

    def __iter__(self) -> Iterator[K]:
        self.put_away(0)
        return (self._form.read(raw) for raw, _ in self._table.rows())

    def __len__(self) -> int:
        self.put_away(0)
        return self._table.count()


class _Form(Generic[K]):
    """How a value of a type is written to a table: text as it is, anything else as JSON."""

    def __init__(self, of: Any) -> None:
        self._adapter = None if of is str else exactly(of)

    def write(self, value: K) -> bytes:
        if self._adapter is None:
            return str(value).encode(errors="surrogatepass")  # whoever writes a log chooses its texts
        return self._adapter.dump_json((value,))

    def read(self, raw: bytes) -> K:
        value: Any
        if self._adapter is None:
            value = raw.decode(errors="surrogatepass")
        else:
            (value,) = self._adapter.validate_json(raw)
        known: K = value
        return known
