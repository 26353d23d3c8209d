"""What makes a name or a file on this disk last over a power failure.

Source: fsync(2): a file's name is only as safe as the folder that it stands in.
"""

import os


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
