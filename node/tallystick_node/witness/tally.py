"""How often each witness key of a node has cosigned, counted beside the database: one that was put back shows by it.

What a node has cosigned stands in its database, and a database that is put back from a backup has forgotten some of it:
under the same key it could be made to cosign a fork. So a small file in the data folder, which no backup is to hold,
counts along. A key signs only while the database has counted at least as far as the file; where the file says more, or
is gone, the operator gives the node new witness keys, and begins their count by that.

Written after the database's commit and before the answer: if the power fails in between, the database is one ahead,
which is no harm, since nobody was answered.

Source: DESIGN P12; c2sp.org/tlog-witness (what is cosigned must not be forgotten).
"""

import fcntl
import hashlib
import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path

from tallystick_node.storage.durable import flush

TALLY_FILE = "witness.tally"


def tally_name(public: bytes) -> str:
    """Return by what the file and the database name a key: 32 hex digits of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:32]


class WitnessTally:
    """The file of one data folder; safe to use from several processes."""

    def __init__(self, folder: Path) -> None:
        """Count in `folder`, where the first count makes the file."""
        self._path = folder / TALLY_FILE

    def may_sign(self, names: Iterable[str], counted: Mapping[str, int]) -> set[str]:
        """Return which of these keys have forgotten nothing.

        Args:
            names: of the keys that have not ended.
            counted: how often each key has cosigned, as the database has it.

        Raises:
            OSError: the file cannot be read.
        """
        kept = self._read()
        if not counted and not any(kept.values()):  # nothing was ever: a new node, or one that this version has opened
            return set(names)
        return {name for name in names if name in kept and counted.get(name, 0) >= kept[name]}

    def count(self, counts: Mapping[str, int]) -> None:
        """Keep how often keys have cosigned by now, durably; a count never goes back.

        Raises:
            OSError: it cannot be written.
        """
        with self._alone():
            kept = self._read()
            grown = {**kept, **{name: max(count, kept.get(name, 0)) for name, count in counts.items()}}
            if grown == kept:
                return
            beside = self._path.with_suffix(".new")
            with beside.open("w", encoding="ascii") as file:
                file.writelines(f"{name} {count}\n" for name, count in grown.items())
                file.flush()
                os.fsync(file.fileno())
            beside.rename(self._path)
            flush(self._path.parent)

    def _read(self) -> dict[str, int]:
        """Return what the file says, nothing where there is none; a line that is none counts for no key."""
        try:
            lines = self._path.read_text(encoding="ascii", errors="replace").splitlines()
        except FileNotFoundError:
            return {}
        pairs = (line.split(" ") for line in lines)
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}

    @contextmanager
    def _alone(self) -> Generator[None]:
        opened = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX)
            yield
        finally:
            os.close(opened)
