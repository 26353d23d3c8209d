"""Where a file of SQLite is made before it gets its name, and what clears away one that never got it.

Source: sqlite.org/tempfiles.html (what lies beside a database).
"""

from pathlib import Path

from tallystick_node.storage.database import Place
from tallystick_node.storage.durable import overwrite_and_remove


def beside(path: Path) -> tuple[Path, ...]:
    """Return what there may be of a database in files: itself, and what SQLite keeps beside it."""
    return tuple(path.with_name(path.name + end) for end in ("", "-wal", "-shm", "-journal"))


def staging(path: Path) -> Path:
    """Return where a database is made that is to be `path`."""
    return path.with_name(f"{path.name}.unfinished")


def sweep_staging(place: Place) -> None:
    """Leave nothing of a database that was being made when its process ended.

    Raises:
        OSError: it cannot be removed.
    """
    for left in beside(staging(place)) if isinstance(place, Path) else ():
        if left.exists():
            overwrite_and_remove(left)
