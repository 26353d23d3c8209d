"""One process for each data folder: two that write one log would fork it.

The lock is the operating system's, on a file in the folder: it goes with the process, however that ends, so that
nothing is left to clean up after a crash. It says nothing of a copy of the folder elsewhere; that is what asking others
before the first head is for. Processes whose rows are in one PostgreSQL share the folder: its locks keep their writes
apart, as a lock of files could not.

Source: flock(2).
"""

import fcntl
import os
from pathlib import Path

from tallystick_node.errors import FolderInUse, SettingsInvalid

LOCK_FILE = "node.lock"


class FolderLock:
    """Holds a data folder until it is released, or the process ends."""

    def __init__(self, folder: Path, *, shared: bool = False) -> None:
        """Take the folder, or a share in it.

        Args:
            folder: the node's data folder.
            shared: whether other processes that say so too may have it at the same time.

        Raises:
            FolderInUse: another process has it.
            SettingsInvalid: it cannot be written.
        """
        try:
            self._file = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsInvalid(
                "The node's data folder cannot be written.", remedy="Give it to the user that runs the node."
            ) from error
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise FolderInUse(
                f"Another process runs the node in this folder{f' (process {holder})' if holder.isdigit() else ''}.",
                remedy="Stop it first; a second node needs a folder and keys of its own.",
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the folder back; doing so twice is nothing."""
        if self._file >= 0:
            os.close(self._file)  # the lock goes with it
            self._file = -1
