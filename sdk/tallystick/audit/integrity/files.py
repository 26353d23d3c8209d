"""One file of a log at a time, held against what it must be.

Source: c2sp.org/tlog-tiles.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tallystick.audit.source import Files
from tallystick_ledger.errors import BadInput
from tallystick_ledger.tlog.blob import ENTRY_SIZE_MAX_BYTES
from tallystick_ledger.tlog.merkle import HASH_SIZE_BYTES
from tallystick_ledger.tlog.tiles import (
    TILE_WIDTH,
    BundlePath,
    TilePath,
    decode_bundle,
    encode_bundle,
    split_tile,
)

TILE_SIZE_MAX_BYTES = TILE_WIDTH * HASH_SIZE_BYTES
BUNDLE_SIZE_MAX_BYTES = TILE_WIDTH * (ENTRY_SIZE_MAX_BYTES + 2)

Place = TilePath | BundlePath
Kin = tuple[int, int]
"""(level, index) of the files of one tile, whatever their widths; the level of bundles is `BUNDLES`."""

BUNDLES = -1

Report = Callable[[str, str, str], None]
"""(rule, path, problem)"""

WRONG_FILES_MAX = 4
"""Of files that are wrong, so many are kept whole a span, as evidence; the rest are named."""


@dataclass(frozen=True, slots=True)
class WrongFile:
    """A tile or bundle that is not what it must be.

    Attributes:
        place: which one.
        served: its bytes, where it is a tile; empty where it is a bundle that cannot be taken apart.
        expected: where it is a tile, the hashes that the entries lead to.
    """

    place: Place
    served: bytes
    expected: bytes


def kin_of(place: Place) -> Kin:
    """Return what a file has in common with the narrower ones left from earlier sizes."""
    return (BUNDLES if isinstance(place, BundlePath) else place.level), place.index


@dataclass(frozen=True, slots=True)
class FileCheck:
    """Reads the files of one log, and reports each that is not what it must be.

    Attributes:
        files: the log.
        listed: whether all its files are known; where not, a partial one may be gone because the log has grown.
        older: partial files left from earlier sizes.
        report: is told what is wrong.
        wrong: the first few files that are wrong.
    """

    files: Files
    listed: bool
    older: Mapping[Kin, Sequence[Place]]
    report: Report
    wrong: list[WrongFile] = field(default_factory=list[WrongFile])

    def entries(self, bundle: BundlePath) -> list[bytes] | None:
        """Return the entries of a bundle; None, which is reported, where it cannot be read."""
        raw, path, width = self._read(bundle, BUNDLE_SIZE_MAX_BYTES)
        if raw is None:
            self.report("log.missing_file", path, "The bundle is missing; its entries were not replayed.")
            return None
        try:
            entries = decode_bundle(raw, count=width)[: bundle.width]
        except BadInput as error:
            self.report("log.bundle", path, f"{error.problem} No entry from here on was replayed.")
            self._keep(WrongFile(bundle, b"", b""))
            return None
        for older in self.older.get(kin_of(bundle), ()):
            raw = self.files.read(older.path, size_max_bytes=BUNDLE_SIZE_MAX_BYTES)
            if raw != encode_bundle(entries[: older.width]):
                self.report("log.bundle", older.path, "The bundle of an earlier size holds other entries.")
        return entries

    def tile_instead(self, bundle: BundlePath) -> list[bytes] | None:
        """Return the leaf hashes that the tile gives for a bundle that cannot be read; None where it cannot either."""
        raw, path, width = self._read(TilePath(0, bundle.index, bundle.width), TILE_SIZE_MAX_BYTES)
        try:
            return split_tile(raw or b"", width=width)[: bundle.width]
        except BadInput:
            self.report("log.tile", path, "With the bundle unreadable and the tile too, nothing behind is checked.")
            return None

    def check_tile(self, place: TilePath, expected: bytes) -> None:
        """Hold a tile, and what is left of it from earlier sizes, against the hashes it must hold."""
        raw, path, _ = self._read(place, TILE_SIZE_MAX_BYTES)
        if raw is None:
            self.report("log.missing_file", path, "The tile is missing, or cannot be read.")
        elif raw != expected and not (path != place.path and raw.startswith(expected)):
            self.report("log.tile", path, _first_difference(raw, expected))
            self._keep(WrongFile(place, raw, expected))
        for older in self.older.get(kin_of(place), ()):
            raw = self.files.read(older.path, size_max_bytes=TILE_SIZE_MAX_BYTES) or b""
            wanted = expected[: older.width * HASH_SIZE_BYTES]
            if raw != wanted:
                self.report("log.tile", older.path, _first_difference(raw, wanted))
                self._keep(WrongFile(older, raw, wanted))

    def _keep(self, wrong: WrongFile) -> None:
        if len(self.wrong) < WRONG_FILES_MAX:
            self.wrong.append(wrong)

    def _read(self, place: Place, size_max_bytes: int) -> tuple[bytes | None, str, int]:
        """Return the bytes of a place, the path they are from, and its width.

        Where nothing is listed, a partial tile may be gone because the log has grown: the full one then holds it.
        """
        raw = self.files.read(place.path, size_max_bytes=size_max_bytes)
        if raw is None and not self.listed and place.width < TILE_WIDTH:
            full = _widened(place)
            raw = self.files.read(full.path, size_max_bytes=size_max_bytes)
            if raw is not None:
                return raw, full.path, TILE_WIDTH
        return raw, place.path, place.width


def _widened(place: Place) -> Place:
    if isinstance(place, BundlePath):
        return BundlePath(place.index, TILE_WIDTH)
    return TilePath(place.level, place.index, TILE_WIDTH)


def _first_difference(raw: bytes, expected: bytes) -> str:
    if len(raw) != len(expected):
        return "The tile has another length than its place asks for."
    at = next(at for at in range(len(raw)) if raw[at] != expected[at])
    return f"Hash {at // HASH_SIZE_BYTES} of the tile is not what the entries hash to."
