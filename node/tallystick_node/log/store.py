"""Where a log's files lie: a small protocol, and a folder that fulfils it.

Files that no published head names yet may be written in place, in any order, and be torn by a power failure; `flush`
makes them all durable at once. The checkpoint alone is replaced: whole or not at all, and durable when that returns.

Source: DESIGN section 6 (writing), P2; syncfs(2), whose errors are reported since Linux 5.8.
"""

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, cast

from tallystick_node.storage.durable import flush


class LogStore(Protocol):
    """Keeps the files of one log under paths such as `tile/0/000`, and `checkpoint`.

    Every method raises `OSError` where the store cannot be reached, or refuses.
    """

    def read(self, path: str) -> bytes:
        """Return a file's content.

        Raises:
            LookupError: there is none.
        """
        ...

    def write(self, path: str, content: bytes) -> None:
        """Write a file, over one that is there. Until `flush` returns, a power failure may leave any part of it."""
        ...

    def flush(self) -> None:
        """Return once everything that was written is durable."""
        ...

    def replace(self, path: str, content: bytes) -> None:
        """Write a file whole or not at all, durably; whoever reads meanwhile gets the old content or the new."""
        ...

    def delete(self, path: str) -> None:
        """Delete a file, if it is there."""
        ...

    def names(self, folder: str) -> list[str]:
        """Return the names of the files that lie directly in a folder; none where there is no such folder."""
        ...

    def close(self) -> None:
        """Release what the store holds; what was not flushed may be lost."""
        ...


class FolderStore:
    """A log's files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._root = str(folder)
        self._made: set[str] = set()
        self._unflushed: set[str] = set()  # files and folders, where each is to be flushed by itself

    def read(self, path: str) -> bytes:
        """Return a file's content.

        Raises:
            LookupError: there is none.
            OSError: it cannot be read.
        """
        try:
            return (self.folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise LookupError(path) from error

    def write(self, path: str, content: bytes) -> None:
        """Write a file in place."""
        file = f"{self._root}/{path}"
        self._make_folder(os.path.dirname(file))  # noqa: PTH120  # the hot path of publication
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            written = os.write(opened, content)
            while written < len(content):  # a signal, or a disk that is nearly full
                written += os.write(opened, content[written:])
        finally:
            os.close(opened)
        if _SYNCFS is None:
            self._unflushed.add(file)

    def flush(self) -> None:
        """Return once everything that was written is durable: by one call where the system has it."""
        if _SYNCFS is not None:
            if self.folder.is_dir():
                _flush_file_system(self._root)
            return
        for path in self._unflushed | {os.path.dirname(path) for path in self._unflushed}:  # noqa: PTH120
            flush(path)
        self._unflushed.clear()

    def replace(self, path: str, content: bytes) -> None:
        """Write a file whole or not at all, durably."""
        file = self.folder / path
        self._make_folder(str(file.parent))
        beside = file.with_name(f".{file.name}.new")
        with beside.open("wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        beside.rename(file)
        flush(file.parent)

    def delete(self, path: str) -> None:
        """Delete a file, and the folder of partial tiles that it leaves empty."""
        file = self.folder / path
        file.unlink(missing_ok=True)
        if file.parent.suffix == ".p":
            self._made.discard(str(file.parent))
            with suppress(OSError):  # others are left in it
                file.parent.rmdir()

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder."""
        try:
            return sorted(each.name for each in (self.folder / folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def close(self) -> None:
        """Hold nothing."""

    def _make_folder(self, folder: str) -> None:
        """Make a folder where it is missing; its own name becomes durable with what is flushed next."""
        if folder in self._made:
            return
        if not os.path.isdir(folder):  # noqa: PTH112
            self._make_folder(os.path.dirname(folder))  # noqa: PTH120
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103
            if _SYNCFS is None:
                self._unflushed.add(folder)
        self._made.add(folder)


def _flush_file_system(path: str) -> None:
    assert _SYNCFS is not None
    opened = os.open(path, os.O_RDONLY)
    try:
        if _SYNCFS(opened) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(opened)


def _find_syncfs() -> Callable[[int], int] | None:
    """Return Linux's `syncfs`, None where the system has none: then every file is flushed by itself."""
    try:
        found = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError, TypeError):
        return None
    found.argtypes = [ctypes.c_int]
    found.restype = ctypes.c_int
    return cast("Callable[[int], int]", found)


_SYNCFS = _find_syncfs()
