"""Is the log what its signed head says? Signatures, every bundle, every tile of every level, the root, no file more.

Entries are read bundle by bundle; of the tree, one tile a level is held. What is wrong is a finding and never an error,
so that a hostile log is audited to its end like any other.

Source: c2sp.org/tlog-tiles, c2sp.org/tlog-checkpoint; RFC 6962 section 2.1; LEDGER-FORMATS section 10.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tallystick.audit.findings import Findings
from tallystick.audit.keys import Keys, KnownKey
from tallystick.audit.source import CHECKPOINT, Source
from tallystick_ledger.errors import BadInput, NoteMalformed, PolicyUnmet, SignatureRejected
from tallystick_ledger.tlog.checkpoint import Checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.merkle import HASH_SIZE_BYTES, Frontier, leaf_hashes, root_at
from tallystick_ledger.tlog.note import NOTE_SIZE_MAX_BYTES, SignatureLine, open_note, parse_lines
from tallystick_ledger.tlog.reader import TileReader
from tallystick_ledger.tlog.tiles import (
    ENTRY_SIZE_MAX_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    BundlePath,
    TilePath,
    decode_bundle,
    encode_bundle,
    parse_path,
    split_tile,
)

TILE_SIZE_MAX_BYTES = TILE_WIDTH * HASH_SIZE_BYTES
BUNDLE_SIZE_MAX_BYTES = TILE_WIDTH * (ENTRY_SIZE_MAX_BYTES + 2)

Take = Callable[[Sequence[bytes]], None]
Progress = Callable[[int, int], None]
"""(entries done, entries in all)"""


@dataclass(frozen=True, slots=True)
class Signed:
    """A key whose line in the checkpoint is right, and when it signed; None where its kind carries no time."""

    known: KnownKey
    timestamp_s: int | None


@dataclass(frozen=True, slots=True)
class Head:
    """A log's checkpoint, who signed it, and how many lines are of keys that nobody listed."""

    checkpoint: Checkpoint
    signed: tuple[Signed, ...]
    unlisted_count: int


def check_head(source: Source, found: Findings) -> Head | None:
    """Return the log's head; None, which is a finding, where there is none that can be read."""
    raw = source.read(CHECKPOINT, size_max_bytes=NOTE_SIZE_MAX_BYTES)
    if raw is None:
        found.add("log.missing_file", CHECKPOINT, "There is no checkpoint, or it cannot be read.")
        return None
    keys = source.keys
    try:
        body, lines = _split(raw)
        checkpoint = parse_checkpoint_body(body)
    except NoteMalformed as error:
        found.add("log.checkpoint", CHECKPOINT, error.problem)
        return None
    if keys.origins and checkpoint.origin not in keys.origins:
        found.add("log.checkpoint", CHECKPOINT, "The checkpoint is of another log than its keys.")
    signed = _check_signatures(keys, checkpoint.origin, body, lines, found)
    _check_quorum(keys, checkpoint.origin, raw, found)
    listed = {(each.key.name, each.key.key_id) for each in (*keys.required, *keys.allowed)}
    unlisted = [line for line in lines if (line.name, line.key_id) not in listed]
    for line in unlisted if keys.closed else ():
        found.add("log.unlisted_line", CHECKPOINT, f"A line of {line.name}+{line.key_id.hex()} is of no listed key.")
    return Head(checkpoint, signed, len(unlisted))


def _split(raw: bytes) -> tuple[bytes, tuple[SignatureLine, ...]]:
    """Return a note's text and lines, none of them checked: each is looked at alone, to say which one is wrong."""
    with suppress(SignatureRejected):  # nobody is trusted here; what is wanted is that a malformed note is refused
        open_note(raw, ())
    text, _, block = raw.rpartition(b"\n\n")
    return text + b"\n", parse_lines(block)


def _check_signatures(
    keys: Keys, origin: str, body: bytes, lines: Sequence[SignatureLine], found: Findings
) -> tuple[Signed, ...]:
    required = keys.must_sign(origin)
    if not required:
        found.add("log.signature", CHECKPOINT, "No key of this log is known, so nothing shows who signed it.")
    signed: list[Signed] = []
    for known in (*required, *(each for each in keys.allowed if each not in required)):
        key = known.key
        name = f"{key.name}+{key.key_id.hex()}"
        payloads = [line.payload for line in lines if (line.name, line.key_id) == (key.name, key.key_id)]
        if len(payloads) > 1:
            found.add("log.signature", CHECKPOINT, f"There are two lines of {name}.")
        elif payloads:
            try:
                signed.append(Signed(known, key.check(body, payloads[0])))
            except (SignatureRejected, NoteMalformed):
                found.add("log.signature", CHECKPOINT, f"The signature of {name} is wrong.")
        elif known in required:
            found.add("log.signature", CHECKPOINT, f"The line of {name} ({known.source}) is missing.")
    return tuple(signed)


def _check_quorum(keys: Keys, origin: str, raw: bytes, found: Findings) -> None:
    if keys.policy is None:
        return
    with suppress(SignatureRejected):  # found already, key by key
        try:
            keys.policy.check(raw, origin)
        except PolicyUnmet as error:
            found.add("log.quorum", CHECKPOINT, error.problem)


class TreeCheck:
    """Recomputes a tree from its entries and holds every file of the log against it."""

    def __init__(self, source: Source, size: int, found: Findings) -> None:
        """Check the log of `size` entries at `source`."""
        self._source = source
        self._size = size
        self._found = found
        self._pending: list[list[bytes]] = []  # above level 0: the hashes of the tile being filled, a level each
        self._filled: list[int] = []  # and how many tiles of that level are full
        self._edge: dict[str, bytes] = {}  # the right edge, from which the root is made
        self._older = self._sort_listing()

    def run(self, take: Take, progress: Progress) -> bytes | None:
        """Return the root that the entries lead to; None, which is a finding, where not all could be read.

        Args:
            take: is given the entries in order, bundle by bundle, up to the first bundle that cannot be read.
            progress: is told how far this is.
        """
        readable = True
        for index in range(-(-self._size // TILE_WIDTH)):
            bundle = BundlePath(index, min(TILE_WIDTH, self._size - index * TILE_WIDTH))
            entries = self._read_bundle(bundle)
            if entries is None:
                leaves = self._tile_instead(bundle)
                if leaves is None:
                    return None
                readable = False
            else:
                leaves = leaf_hashes(entries)
            self._check_tile(TilePath(0, index, bundle.width), b"".join(leaves))
            if bundle.width == TILE_WIDTH:
                self._carry(1, Frontier.empty().extend(leaves).root())
            if entries is not None and readable:
                take(entries)
            progress(min(self._size, (index + 1) * TILE_WIDTH), self._size)
        for level, hashes in enumerate(self._pending, 1):
            if hashes:
                self._check_tile(TilePath(level, self._filled[level - 1], len(hashes)), b"".join(hashes))
        return root_at(self._size, TileReader(self._edge.__getitem__, self._size))

    def _carry(self, level: int, node: bytes) -> None:
        """Add the root of a full tile to the level above, and fill that tile's parents in turn."""
        if len(self._pending) < level:
            self._pending.append([])
            self._filled.append(0)
        hashes = self._pending[level - 1]
        hashes.append(node)
        if len(hashes) == TILE_WIDTH:
            self._check_tile(TilePath(level, self._filled[level - 1], TILE_WIDTH), b"".join(hashes))
            self._filled[level - 1] += 1
            self._carry(level + 1, Frontier.empty().extend(hashes).root())
            hashes.clear()

    def _read_bundle(self, place: BundlePath) -> list[bytes] | None:
        raw, path, width = self._read(place, BUNDLE_SIZE_MAX_BYTES)
        if raw is None:
            self._found.add("log.missing_file", path, "The bundle is missing; its entries were not replayed.")
            return None
        try:
            entries = decode_bundle(raw, count=width)[: place.width]
        except BadInput as error:
            self._found.add("log.bundle", path, f"{error.problem} No entry from here on was replayed.")
            return None
        for older in self._older.get(("entries", place.index), ()):
            raw = self._source.read(older.path, size_max_bytes=BUNDLE_SIZE_MAX_BYTES)
            if raw != encode_bundle(entries[: older.width]):
                self._found.add("log.bundle", older.path, "The bundle of an earlier size holds other entries.")
        return entries

    def _tile_instead(self, bundle: BundlePath) -> list[bytes] | None:
        """Return the leaf hashes that the tile gives for a bundle that cannot be read."""
        raw, path, width = self._read(TilePath(0, bundle.index, bundle.width), TILE_SIZE_MAX_BYTES)
        try:
            return split_tile(raw or b"", width=width)[: bundle.width]
        except BadInput:
            self._found.add("log.tile", path, "With the bundle unreadable and the tile too, nothing behind is checked.")
            return None

    def _check_tile(self, place: TilePath, expected: bytes) -> None:
        if place.width < TILE_WIDTH:
            self._edge[place.path] = expected
        raw, path, _ = self._read(place, TILE_SIZE_MAX_BYTES)
        if raw is None:
            self._found.add("log.missing_file", path, "The tile is missing, or cannot be read.")
        elif raw != expected and not (path != place.path and raw.startswith(expected)):
            self._found.add("log.tile", path, _first_difference(raw, expected))
        for older in self._older.get((str(place.level), place.index), ()):
            raw = self._source.read(older.path, size_max_bytes=TILE_SIZE_MAX_BYTES) or b""
            wanted = expected[: older.width * HASH_SIZE_BYTES]
            if raw != wanted:
                self._found.add("log.tile", older.path, _first_difference(raw, wanted))

    def _read(self, place: TilePath | BundlePath, size_max_bytes: int) -> tuple[bytes | None, str, int]:
        """Return the bytes of a place, the path they are from, and its width.

        Where nothing is listed, a partial tile may be gone because the log has grown: the full one then holds it.
        """
        raw = self._source.read(place.path, size_max_bytes=size_max_bytes)
        if raw is None and self._source.listing is None and place.width < TILE_WIDTH:
            full = _widened(place)
            raw = self._source.read(full.path, size_max_bytes=size_max_bytes)
            if raw is not None:
                return raw, full.path, TILE_WIDTH
        return raw, place.path, place.width

    def _sort_listing(self) -> dict[tuple[str, int], list[TilePath | BundlePath]]:
        """Return the partial tiles left from earlier sizes, by level and index; all that should not be is a finding."""
        older: dict[tuple[str, int], list[TilePath | BundlePath]] = {}
        listing = self._source.listing
        if listing is None:
            return older
        for path in listing.others:
            self._found.add("log.unexpected_file", path or ".", "A link, a device, or a folder that cannot be opened.")
        for path in sorted(listing.files - {CHECKPOINT}):
            try:
                place = parse_path(path)
            except BadInput:
                self._found.add("log.unexpected_file", path, "A log has no file of this name.")
                continue
            level = 0 if isinstance(place, BundlePath) else place.level
            width = min(TILE_WIDTH, (self._size >> TILE_HEIGHT * level) - place.index * TILE_WIDTH)
            if place.width > width:
                self._found.add("log.unexpected_file", path, "The file lies beyond the size that is signed.")
            elif place.width < width:
                name = "entries" if isinstance(place, BundlePath) else str(place.level)
                older.setdefault((name, place.index), []).append(place)
        return older


def _widened(place: TilePath | BundlePath) -> TilePath | BundlePath:
    if isinstance(place, BundlePath):
        return BundlePath(place.index, TILE_WIDTH)
    return TilePath(place.level, place.index, TILE_WIDTH)


def _first_difference(raw: bytes, expected: bytes) -> str:
    if len(raw) != len(expected):
        return "The tile has another length than its place asks for."
    at = next(at for at in range(len(raw)) if raw[at] != expected[at])
    return f"Hash {at // HASH_SIZE_BYTES} of the tile is not what the entries hash to."
