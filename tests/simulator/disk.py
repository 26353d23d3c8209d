"""A disk for one log: what is flushed stays; what is not, a power failure may keep, lose or tear.

Implements the product's `LogStore`. The power can be told to fail before, or in the middle of, the n-th operation.
"""

import errno
from random import Random


class PowerFailure(BaseException):
    """The power fails at this instant: nothing that runs may catch it."""


class Disk:
    """The files of one log.

    Attributes:
        fuse: how many operations are left before the power fails; None for as many as there are.
        is_full: whether nothing new can be written.
    """

    def __init__(self, chance: Random) -> None:
        self.fuse: int | None = None
        self.is_full = False
        self._chance = chance
        self._durable: dict[str, bytes] = {}
        self._cached: dict[str, bytes | None] = {}  # written or deleted, and not flushed

    def durable(self) -> dict[str, bytes]:
        """Return what would be there after a power failure that loses all it may."""
        return dict(self._durable)

    def restore(self, files: dict[str, bytes]) -> None:
        """Replace everything by what a backup holds."""
        self._durable, self._cached = dict(files), {}

    def fail(self) -> None:
        """Let the power fail: each thing that was not flushed is there, or not, or in part."""
        for path, content in self._cached.items():
            fate = self._chance.random()
            if content is None:
                if fate < 0.5:
                    self._durable.pop(path, None)
            elif fate < 0.4:
                self._durable[path] = content
            elif fate < 0.7:
                self._durable[path] = content[: self._chance.randrange(len(content) + 1)]
            elif fate < 0.8:  # the length was written, and the blocks were not
                self._durable[path] = bytes(len(content))
        self._cached = {}
        self.fuse, self.is_full = None, False

    def read(self, path: str) -> bytes:
        """Return a file's content."""
        content = self._cached[path] if path in self._cached else self._durable.get(path)
        if content is None:
            raise LookupError(path)
        return content

    def write(self, path: str, content: bytes) -> None:
        """Write a file in place."""
        if self._burns():
            self._cached[path] = content[: len(content) // 2]
            raise PowerFailure
        if self.is_full:
            self._cached[path] = content[: self._chance.randrange(len(content) + 1)]
            raise OSError(errno.ENOSPC, "no space left on the simulated disk")
        self._cached[path] = content

    def flush(self) -> None:
        """Make everything durable."""
        if self._burns():
            raise PowerFailure
        for path, content in self._cached.items():
            if content is None:
                self._durable.pop(path, None)
            else:
                self._durable[path] = content
        self._cached = {}

    def replace(self, path: str, content: bytes) -> None:
        """Write a file whole or not at all, durably; nothing else becomes durable by it."""
        if self._burns():
            raise PowerFailure
        if self.is_full:
            raise OSError(errno.ENOSPC, "no space left on the simulated disk")
        self._durable[path] = content
        self._cached.pop(path, None)
        if self._burns():
            raise PowerFailure

    def delete(self, path: str) -> None:
        """Delete a file."""
        if self._burns():
            raise PowerFailure
        self._cached[path] = None

    def names(self, folder: str) -> list[str]:
        """Return the names of what lies directly in a folder."""
        prefix = f"{folder}/" if folder else ""
        paths = {path for path in self._durable if self._cached.get(path, b"") is not None}
        paths |= {path for path, content in self._cached.items() if content is not None}
        return sorted({path[len(prefix) :].split("/")[0] for path in paths if path.startswith(prefix)})

    def _burns(self) -> bool:
        if self.fuse is None:
            return False
        self.fuse -= 1
        return self.fuse < 0
