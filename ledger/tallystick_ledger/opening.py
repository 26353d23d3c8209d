"""How a log begins: its opening, which names the log it continues and carries what that one's entries lead to.

A log is one year's shard. Its first entries are the parts of its opening, numbered; no other entry is one. A log that
continues no other has one part, which names the log alone. One that does carries, record by record, what a replay of
the new log must know of the old: balances, transfers that are reserved, and (each floor for itself) what else is open.

A successor is opened in place of a log that must not be written any more, since others hold a head of it that this
node's state does not continue. It says so: `abandoned` is that head.

Pure. Source: DESIGN section 4 (yearly shards).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any, cast

from tallystick_ledger.encoding import canonical_json, from_base64url, to_base64url
from tallystick_ledger.errors import BadInput, EntryMalformed
from tallystick_ledger.times import DAY_S
from tallystick_ledger.tlog.head import ORIGIN_SIZE_MAX_BYTES, Checkpoint
from tallystick_ledger.tlog.merkle import HASH_SIZE_BYTES

PART_SIZE_MAX_BYTES = 60_000
"""What the records of one part may take: an entry has 65,535 bytes, and its envelope and heads need some of them."""

PARTS_MAX = 1_000_000

REMEMBERED_S = 1_500 * DAY_S
"""How long after it was written a value that counts once is carried from opening to opening.

A receipt is valid for 1,096 days at most, and while it is, what was answered under it can be corrected; a claim lives
366: what is older cannot come again in order. A node refuses it at any age, and so does an audit that reads the older
logs as well.
"""

_CONTINUING = {"log", "predecessor", "abandoned", "part", "parts", "carried"}

_FIRST_VERSION: dict[str, Any] = {"predecessor": "", "receipts": [], "balances": []}
"""What the openings of version 0.1 say beside the log; they continue nothing."""


@dataclass(frozen=True, slots=True)
class Carried:
    """One record that an opening carries over.

    Attributes:
        kind: what the body is: `balance`, `transfer`, `paid`, or a kind of another floor.
        body: as the floor that owns the kind defines it.
    """

    kind: str
    body: Mapping[str, Any]

    def encode(self) -> bytes:
        """Return the record's canonical JSON.

        Raises:
            BadInput: the body has none.
        """
        return canonical_json({"kind": self.kind, "body": dict(self.body)})


@dataclass(frozen=True, slots=True)
class Opening:
    """The body of an `opening` entry: one part of a log's opening.

    Attributes:
        log: origin of the log that it opens.
        predecessor: the last head of the log that it continues, None where it continues none.
        abandoned: a head of the predecessor that others hold and that its own entries do not lead to; None where the
            predecessor ended in order.
        part: zero-based number of this part, which is its index in the log.
        parts: how many parts the opening has.
        carried: the records of this part.
    """

    log: str
    predecessor: Checkpoint | None = None
    abandoned: Checkpoint | None = None
    part: int = 0
    parts: int = 1
    carried: tuple[Carried, ...] = ()

    def body(self) -> dict[str, object]:
        """Return the entry's body."""
        if self.predecessor is None:
            return {"log": self.log}
        return {
            "log": self.log,
            "predecessor": _head_body(self.predecessor),
            "abandoned": None if self.abandoned is None else _head_body(self.abandoned),
            "part": self.part,
            "parts": self.parts,
            "carried": [{"kind": each.kind, "body": dict(each.body)} for each in self.carried],
        }


def parse_opening(body: Mapping[str, Any]) -> Opening:
    """Return the part of an opening that an entry's body holds.

    Raises:
        EntryMalformed: a member is missing, unknown, of another type, or out of its bounds.
    """
    log = _text(body.get("log"))
    if dict(body) in ({"log": log}, {"log": log, **_FIRST_VERSION}):
        return Opening(log)
    if set(body) != _CONTINUING:
        raise _malformed("An opening has other members than it must have.")
    part, parts, carried = body["part"], body["parts"], body["carried"]
    # A bool is an int to Python, so the type itself is compared.
    if type(part) is not int or type(parts) is not int or not 0 <= part < parts <= PARTS_MAX:
        raise _malformed("The parts of an opening are not numbered as they must be.")
    if not isinstance(carried, list):
        raise _malformed("What an opening carries is not a list.")
    records: list[Any] = body["carried"]
    return Opening(
        log,
        predecessor=_head(body["predecessor"]),
        abandoned=None if body["abandoned"] is None else _head(body["abandoned"]),
        part=part,
        parts=parts,
        carried=tuple(_record(each) for each in records),
    )


@dataclass(slots=True)
class OpeningDraft:
    """An opening in the making: records are added in order, and fill one part after the other.

    Which part a record stands in is known as soon as it is added, so that a later record can name that place.
    """

    log: str
    predecessor: Checkpoint
    abandoned: Checkpoint | None = None
    _parts: list[list[Carried]] = field(default_factory=lambda: [[]])
    _last_size_bytes: int = 0

    def add(self, record: Carried) -> int:
        """Add a record; return the index of the part it stands in, which is that entry's index in the log.

        Raises:
            EntryMalformed: the record alone is too large, or there are more than `PARTS_MAX` parts.
        """
        size_bytes = len(record.encode()) + 1  # and a comma
        if size_bytes > PART_SIZE_MAX_BYTES:
            raise _malformed("A record that an opening carries does not fit into a part.")
        if self._last_size_bytes + size_bytes > PART_SIZE_MAX_BYTES:
            if len(self._parts) == PARTS_MAX:
                raise _malformed("An opening has too many parts.")
            self._parts.append([])
            self._last_size_bytes = 0
        self._parts[-1].append(record)
        self._last_size_bytes += size_bytes
        return len(self._parts) - 1

    def parts(self) -> list[Opening]:
        """Return the parts, in order."""
        return [
            Opening(self.log, self.predecessor, self.abandoned, at, len(self._parts), tuple(records))
            for at, records in enumerate(self._parts)
        ]


class Records:
    """Records to be held against others: of each its kind and digest alone, since there are some for each customer.

    Attributes:
        count: how many there are, those that repeat another among them.
    """

    def __init__(self, records: Iterable[Carried]) -> None:
        """Take the digests of records, in their order."""
        self._kinds, self.count = dict[bytes, str](), 0
        for each in records:
            self._kinds[hashlib.sha256(each.encode()).digest()] = intern(each.kind)
            self.count += 1

    def missing_in(self, others: "Records") -> Iterator[str]:
        """Yield the kind of each that is not among others, in order.

        Called both ways round, it tells whether an opening carries just what it must.
        """
        return (kind for digest, kind in self._kinds.items() if digest not in others._kinds)


def _head_body(head: Checkpoint) -> dict[str, object]:
    return {"log": head.origin, "size": head.size, "root": to_base64url(head.root)}


def _head(value: Any) -> Checkpoint:
    if not isinstance(value, dict) or value.keys() != {"log", "size", "root"}:
        raise _malformed("A head that an opening names has other members than it must have.")
    named = cast("dict[str, Any]", value)
    size = named["size"]
    try:
        root = from_base64url(_text(named["root"]))
        if type(size) is not int or len(root) != HASH_SIZE_BYTES:
            raise _malformed("The size or root of a head that an opening names is not of its form.")
        return Checkpoint(_text(named["log"]), size, root)
    except BadInput as error:
        raise _malformed(error.problem) from error


def _record(value: Any) -> Carried:
    if not isinstance(value, dict) or value.keys() != {"kind", "body"} or not isinstance(value["body"], dict):
        raise _malformed("A record that an opening carries is not of its form.")
    record = cast("dict[str, Any]", value)
    return Carried(_text(record["kind"]), record["body"])


def _text(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= ORIGIN_SIZE_MAX_BYTES:
        raise _malformed("A member of an opening is not text of a fitting length.")
    return value


def _malformed(problem: str) -> EntryMalformed:
    return EntryMalformed(problem, remedy="Build openings with tallystick_ledger.opening.")
