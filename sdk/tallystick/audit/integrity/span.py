"""A run of bundles, checked alone: their entries are hashed and held against the tiles of level 0.

The unit of work of an audit. It is a value, and so is what comes of it, so that both may cross to another process or
another machine; nothing in it depends on where it is done, so that every audit of a log finds the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tallystick.audit.integrity.files import FileCheck, Place, WrongFile, kin_of
from tallystick.audit.source import Files
from tallystick_ledger.forms import Spelled
from tallystick_ledger.replay import Finding
from tallystick_ledger.tlog.hashing import leaf_hashes, node_hashes
from tallystick_ledger.tlog.tiles import TILE_HEIGHT, TILE_WIDTH, BundlePath, TilePath

TOLD_MAX_BYTES = 8 * 1024 * 1024
"""A span ends after the bundle with which it carries this much to the replay; another one takes up the rest."""

Told = bytes | int | Spelled
"""An entry on its way to the replay: as it stands, or as `Settle` left it."""

Settle = Callable[[Sequence[bytes]], list[Told]]
"""Entries -> what the replay needs of each."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bundles to check.

    Attributes:
        first: index of the first bundle.
        end: one past the last.
        size: entries of the log.
        listed: whether all files of the log are known.
        older: partial files left from earlier sizes, of these bundles and their tiles.
        settle: makes of entries what the replay needs of them; None where there is no replay.
        replayed: entries of the log that were replayed before.
    """

    first: int
    end: int
    size: int
    listed: bool
    older: tuple[Place, ...] = ()
    settle: Settle | None = None
    replayed: int = 0


@dataclass(slots=True)
class Checked:
    """What came of a span.

    Attributes:
        end: one past the last bundle that was checked; below the span's where it carried enough.
        findings: what is wrong, in order; `where` is a path.
        wrong: the first few files that are wrong.
        tops: for each full bundle the hash over its entries.
        edge: the leaf hashes of the last bundle, where that is not full.
        told: what the replay needs, up to the first bundle that cannot be read.
        readable: whether there was none such.
        cut: whether neither a bundle nor its tile can be read: nothing behind can be checked.
    """

    end: int
    findings: list[Finding] = field(default_factory=list[Finding])
    wrong: list[WrongFile] = field(default_factory=list[WrongFile])
    tops: list[bytes] = field(default_factory=list[bytes])
    edge: tuple[bytes, ...] = ()
    told: list[Told] = field(default_factory=list[Told])
    readable: bool = True
    cut: bool = False


def tile_tops(tiles: bytes) -> list[bytes]:
    """Return the hash over each full tile of hashes that lie side by side.

    All at once: a level of many tiles is hashed in far fewer calls than that of each tile alone.
    """
    level = tiles
    for _ in range(TILE_HEIGHT - 1):
        level = b"".join(node_hashes(level))
    return node_hashes(level)


def _size_bytes(told: Told) -> int:
    if isinstance(told, int):
        return 0
    return len(told) if isinstance(told, bytes) else len(told[0])


def check_span(files: Files, span: Span) -> Checked:
    """Return what comes of checking the bundles of `span`, and their tiles.

    Raises:
        AuditNotRun: the files cannot be read.
    """
    done = Checked(span.first)
    older: dict[tuple[int, int], list[Place]] = {}
    for place in span.older:
        older.setdefault(kin_of(place), []).append(place)

    def report(rule: str, path: str, problem: str) -> None:
        done.findings.append(Finding(rule, path, problem))

    check = FileCheck(files, span.listed, older, report, done.wrong)
    full: list[bytes] = []
    told_bytes = 0
    for index in range(span.first, span.end):
        bundle = BundlePath(index, min(TILE_WIDTH, span.size - index * TILE_WIDTH))
        entries = check.entries(bundle)
        if entries is None:
            done.readable = False
        leaves = check.tile_instead(bundle) if entries is None else leaf_hashes(entries)
        if leaves is None:
            done.cut = True
            break
        tile = b"".join(leaves)
        check.check_tile(TilePath(0, index, bundle.width), tile)
        if bundle.width == TILE_WIDTH:
            full.append(tile)
        else:
            done.edge = tuple(leaves)
        done.end = index + 1
        if span.settle is not None and entries is not None and done.readable:
            new = span.settle(entries[max(0, span.replayed - index * TILE_WIDTH) :])
            done.told += new
            told_bytes += sum(map(_size_bytes, new))
            if told_bytes >= TOLD_MAX_BYTES:
                break
    done.tops = tile_tops(b"".join(full))
    return done
