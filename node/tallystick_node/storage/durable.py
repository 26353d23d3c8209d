"""What makes a name or a file on this disk last over a power failure, and what leaves nothing of one behind.

Source: fsync(2): a file's name is only as safe as the folder that it stands in.
"""

import os
from pathlib import Path

OVERWRITTEN_AT_ONCE_BYTES = 1024 * 1024


def overwrite_and_remove(path: Path) -> None:
    """Overwrite a file before it is removed: on most file systems that leaves no copy of what stood in it.

    Raises:
        OSError: it is not there, or cannot be written.
    """
    with path.open("r+b") as file:
        left = path.stat().st_size
        while left > 0:
            left -= file.write(os.urandom(min(left, OVERWRITTEN_AT_ONCE_BYTES)))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


def flush(path: str | os.PathLike[str]) -> None:
    """Return once a file, or the names in a folder, are on disk.

    Raises:
        OSError: it is not there, or cannot be flushed.
    """
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
