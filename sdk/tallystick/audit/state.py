"""A saved audit: how far a log was checked, and what a later audit must know to go on from there.

A file of JSON lines, each an object with one member: first `head`, then a `finding` or a `count` for what was found so
far, then the replay's records by their paths (none where entries were not replayed), last `end` with the SHA-256 of all
lines before it. docs/auditing.md has the members. It is written beside its place, flushed and renamed, so that a crash
leaves the one from before. It holds no more of anybody than the log's entries do, and is kept as they are.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tallystick.audit.integrity import Point
from tallystick.audit.overflow import Overflow
from tallystick.audit.replay import LogReplay
from tallystick.audit.replay.records import records_of, take_record
from tallystick.audit.source import AuditNotRun
from tallystick_ledger.encoding import from_base64, to_base64
from tallystick_ledger.errors import BadInput
from tallystick_ledger.replay import Finding
from tallystick_ledger.tlog.head import ORIGIN_SIZE_MAX_BYTES
from tallystick_ledger.tlog.merkle import HASH_SIZE_BYTES, SIZE_MAX
from tallystick_ledger.tlog.note import NOTE_SIZE_MAX_BYTES

VERSION = 2
"""Raised where a replay remembers more, or other things, than one of before: what it did not remember, nobody knows."""

LINE_SIZE_MAX_BYTES = 2 * 1024 * 1024
"""Room for a head with the largest note, each byte of it escaped twice."""

STATE_SIZE_MAX_BYTES = 16 * 1024**3
"""A state of some tens of millions of transfers."""

RELIEVED_EVERY_LINES = 4_096

SAVE_EVERY_S = 30.0
SAVE_SHARE = 10
"""Saving takes at most one part in so many of an audit's time."""


@dataclass(slots=True)
class SavedAudit:
    """How far a log was checked.

    Attributes:
        origin: the log's.
        point: entries that were checked, and the root they lead to.
        head: the signed note of that size; empty where the audit was ended before it reached a head.
        seen_s: when that head was first cosigned, seconds since 1970-01-01 UTC; None where nothing tells.
        findings: what was found in the log's files and entries up to there, no more of one rule than a report lists.
        counts: how often each of those rules was broken.
        replay: the state that the entries lead to; None where they were not replayed.
    """

    origin: str
    point: Point
    head: bytes = b""
    seen_s: int | None = None
    findings: list[Finding] = field(default_factory=list[Finding])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    replay: LogReplay | None = None


class _Head(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    v: Annotated[int, Field(ge=VERSION, le=VERSION)]
    origin: Annotated[str, Field(min_length=1, max_length=ORIGIN_SIZE_MAX_BYTES)]
    size: Annotated[int, Field(ge=0, le=SIZE_MAX)]
    root: Annotated[str, Field(min_length=44, max_length=44)]
    note: Annotated[str, Field(max_length=NOTE_SIZE_MAX_BYTES)]
    seen: Annotated[int, Field(ge=0)] | None
    replayed: bool


class _Found(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    rule: Annotated[str, Field(max_length=100)]
    where: Annotated[str, Field(max_length=100_000)]
    problem: Annotated[str, Field(max_length=100_000)]


class _Count(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    rule: Annotated[str, Field(max_length=100)]
    count: Annotated[int, Field(ge=0)]


class _End(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def write_state(path: Path, saved: SavedAudit) -> None:
    """Write a saved audit in place of the one that may be there.

    Raises:
        AuditNotRun: the file cannot be written.
    """
    beside = path.with_name(f"{path.name}.new")
    digest = hashlib.sha256()
    try:
        # It holds what the entries of the log hold, so nobody else on the machine reads it.
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for line in _lines(saved):
                digest.update(line)
                file.write(line)
            file.write(_line("end", json.dumps({"sha256": digest.hexdigest()}).encode()))
            file.flush()
            os.fsync(file.fileno())  # if the power fails before the rename, the state from before still stands
        beside.replace(path)
    except OSError as error:
        raise AuditNotRun(
            f"The state of the audit cannot be saved ({type(error).__name__}).", remedy="Check the path, and the disk."
        ) from error


def read_state(path: Path, *, overflow: Overflow | None = None) -> SavedAudit:
    """Return a saved audit.

    Args:
        path: of the file.
        overflow: takes what memory has no room for; the audit that goes on from here is to be asked with it.

    Raises:
        AuditNotRun: it cannot be read, or is none that this version wrote, whole and unchanged.
    """
    try:
        if path.stat().st_size > STATE_SIZE_MAX_BYTES:
            raise _unusable("It is too large.")
        return _read(path, overflow)
    except OSError as error:
        raise AuditNotRun(
            f"A saved audit cannot be read ({type(error).__name__}).", remedy="Check the path, or audit from the start."
        ) from error
    except (ValidationError, BadInput) as error:
        raise _unusable("A line of it is not of its form.") from error


class Saver:
    """Saves an audit from time to time, so that one that is interrupted goes on from there."""

    def __init__(
        self, path: Path, *, every_s: float = SAVE_EVERY_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Save to `path`, at most every `every_s` seconds of `clock`."""
        self._path = path
        self._every_s = every_s
        self._clock = clock
        self._next_s = clock() + every_s

    @property
    def is_due(self) -> bool:
        """Whether it is time to save."""
        return self._clock() >= self._next_s

    def save(self, saved: SavedAudit) -> None:
        """Save now.

        Raises:
            AuditNotRun: the file cannot be written.
        """
        began_s = self._clock()
        write_state(self._path, saved)
        ended_s = self._clock()
        self._next_s = ended_s + max(self._every_s, SAVE_SHARE * (ended_s - began_s))


def _lines(saved: SavedAudit) -> Iterator[bytes]:
    head = _Head(
        v=VERSION,
        origin=saved.origin,
        size=saved.point.size,
        root=to_base64(saved.point.root),
        note=saved.head.decode(),
        seen=saved.seen_s,
        replayed=saved.replay is not None,
    )
    yield _line("head", head.model_dump_json().encode())
    for each in saved.findings:
        yield _line(
            "finding", _Found(rule=each.rule, where=each.where, problem=each.problem).model_dump_json().encode()
        )
    for rule, count in saved.counts.items():
        yield _line("count", _Count(rule=rule, count=count).model_dump_json().encode())
    if saved.replay is not None:
        for path, raw in records_of(saved.replay):
            yield _line(path, raw)


def _line(name: str, raw: bytes) -> bytes:
    return b'{"%s":%s}\n' % (name.encode(), raw)


def _read(path: Path, overflow: Overflow | None) -> SavedAudit:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        lines = iter(lambda: file.readline(LINE_SIZE_MAX_BYTES), b"")
        raw = next(lines, b"")
        digest.update(raw)
        name, value = _split(raw)
        if name != "head":
            raise _unusable("It does not begin with a head.")
        head = _Head.model_validate_json(value)
        saved = SavedAudit(
            head.origin,
            Point(head.size, _root(head.root)),
            head.note.encode(),
            head.seen,
            replay=LogReplay.of(head.origin) if head.replayed else None,
        )
        for number, raw in enumerate(lines):
            if overflow is not None and saved.replay is not None and number % RELIEVED_EVERY_LINES == 0:
                overflow.relieve(saved.replay)
            name, value = _split(raw)
            if name == "end":
                if _End.model_validate_json(value).sha256 != digest.hexdigest() or next(lines, b""):
                    raise _unusable("It is not as it was written.")
                return _whole(saved)
            digest.update(raw)
            _take(saved, name, value)
    raise _unusable("It has no end.")


def _take(saved: SavedAudit, name: str, value: bytes) -> None:
    if name == "finding":
        found = _Found.model_validate_json(value)
        saved.findings.append(Finding(found.rule, found.where, found.problem))
    elif name == "count":
        count = _Count.model_validate_json(value)
        saved.counts[count.rule] = count.count
    elif saved.replay is None:
        raise _unusable("It replays what it says it did not.")
    else:
        take_record(saved.replay, name, value)


def _whole(saved: SavedAudit) -> SavedAudit:
    replay = saved.replay
    if replay is not None and (replay.ledger.size, replay.origin) != (saved.point.size, saved.origin):
        raise _unusable("It replays another part of the log than it says.")
    return saved


def _split(raw: bytes) -> tuple[str, bytes]:
    """Return name and JSON of a line's one member."""
    name, colon, value = raw.partition(b'":')
    if not (name.startswith(b'{"') and colon and value.endswith(b"}\n")):
        raise _unusable("A line of it is not of its form.")
    try:
        return name[2:].decode(), value[:-2]
    except UnicodeDecodeError as error:
        raise _unusable("A line of it is not of its form.") from error


def _root(text: str) -> bytes:
    root = from_base64(text)
    if len(root) != HASH_SIZE_BYTES:
        raise _unusable("Its root is not 32 bytes.")
    return root


def _unusable(problem: str) -> AuditNotRun:
    return AuditNotRun(
        f"A saved audit cannot be used: {problem[0].lower()}{problem[1:]}",
        remedy="Audit from the start, without --since.",
    )
