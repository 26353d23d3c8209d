"""No file more: what lies in a log's folder, and has no place in a log of the signed size.

A log has two files for every 256 entries, so a folder's names are compared with those it must have all at once, and
only what is left over is looked at one by one.
"""

from collections.abc import Iterable, Iterator

from tallystick.audit.findings import Findings
from tallystick.audit.integrity.files import Kin, Place, kin_of
from tallystick.audit.source import CHECKPOINT, Folder
from tallystick_ledger.errors import BadInput
from tallystick_ledger.tlog.tiles import TILE_HEIGHT, TILE_WIDTH, BundlePath, parse_path

_NAMES = tuple(f"{at:03}" for at in range(1000))


def check_listing(folders: Iterable[Folder], size: int, found: Findings) -> dict[Kin, list[Place]]:
    """Return the partial files left from earlier sizes; everything that has no place at all is a finding.

    Args:
        folders: everything below the log's folder.
        size: entries of the signed head.
        found: is told of links, devices, files of other names, and tiles beyond the size.
    """
    older: dict[Kin, list[Place]] = {}
    for folder in folders:
        for name in folder.others:
            found.add(
                "log.unexpected_file",
                folder.prefix + name or ".",
                "A link, a device, or a folder that cannot be opened.",
            )
        for path in _left_over(folder, size):
            try:
                place = parse_path(path)
            except BadInput:
                found.add("log.unexpected_file", path, "A log has no file of this name.")
                continue
            width = min(TILE_WIDTH, _hashes(place, size) - place.index * TILE_WIDTH)
            if place.width > width:
                found.add("log.unexpected_file", path, "The file lies beyond the size that is signed.")
            elif place.width < width:
                older.setdefault(kin_of(place), []).append(place)
    return older


def _left_over(folder: Folder, size: int) -> Iterator[str]:
    """Yield the paths of files that are not the full tiles or bundles of their folder, nor the checkpoint."""
    full = 0
    try:
        first = parse_path(f"{folder.prefix}000")
        full = max(0, _hashes(first, size) // TILE_WIDTH - first.index)
    except BadInput:
        pass  # no folder of full tiles
    expected = set(_NAMES[:full])
    for name in folder.files:
        if name not in expected and folder.prefix + name != CHECKPOINT:
            yield folder.prefix + name


def _hashes(place: Place, size: int) -> int:
    """Return how many hashes, or entries, the level of a file has in a log of `size` entries."""
    return size >> TILE_HEIGHT * (0 if isinstance(place, BundlePath) else place.level)
