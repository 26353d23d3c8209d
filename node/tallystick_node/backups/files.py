"""The file of a data backup: whose it is and under which day's key, in clear; everything else sealed.

It appears whole under its name, or not at all, and never in the place of another. What a broken attempt leaves beside
it is sealed too, and nothing can be done with it.

Source: docs/formats.md, "Data backups"; DESIGN P9.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tallystick_consent.fields import Host
from tallystick_ledger.encoding import canonical_json, length_prefixed, to_base64url
from tallystick_node.backups.rows import LINE_SIZE_MAX_BYTES, malformed
from tallystick_node.backups.sealed import SealedWriter, open_sealed
from tallystick_node.errors import BackupRefused
from tallystick_node.keys.day_keys import KEY_LIFE_DAYS, DayKeys, is_dead
from tallystick_node.storage.durable import flush

LABEL_SIZE_MAX_BYTES = 1_024


class Label(BaseModel):
    """The first line of the file, in clear, and bound to what follows.

    Attributes:
        backup: the form of the file.
        host: whose rows they are.
        day: under the key of which day they are sealed, days since 1970-01-01.
        key: names that key, so that another is told from a file that was changed.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    backup: Annotated[str, Field(pattern=r"^tallystick/v1$")] = "tallystick/v1"
    host: Host
    day: Annotated[int, Field(ge=0, le=2**40)]
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{11}$")]

    def line(self) -> bytes:
        """Return it as it stands in the file."""
        return canonical_json(self.model_dump()) + b"\n"


def write_backup(
    path: Path,
    lines: Iterable[bytes],
    *,
    host: str,
    keys: DayKeys,
    today: int,
    random_bytes: Callable[[int], bytes],
) -> int:
    """Seal lines into a new file; return its size, bytes.

    Args:
        path: the file.
        lines: what it is to hold.
        host: whose it is.
        keys: custody's, for backups.
        today: days since 1970-01-01.
        random_bytes: where the stream's salt comes from.

    Raises:
        BackupRefused: there is such a file (`backup_exists`), or it cannot be written (`backup_unwritable`).
    """
    if path.exists():
        raise _exists()
    # A name of its own, so that two at once do not take each other's file for their own.
    beside = path.with_name(f".{path.name}.{random_bytes(8).hex()}.new")
    try:
        # If the power fails from here on, a part of it is left under this other name, sealed.
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            key = keys.find_or_make(today)
            label = Label(host=host, day=today, key=key_name(key)).line()
            out.write(label)
            sealed = SealedWriter(out, key=key, associated=label, random_bytes=random_bytes)
            for line in lines:
                sealed.write(line)
            sealed.finish()
            out.flush()
            os.fsync(out.fileno())
            size = out.tell()
        path.hardlink_to(beside)  # unlike a rename, it never takes the place of another
        beside.unlink()
        flush(path.parent)
    except FileExistsError as error:
        raise _exists() from error
    except OSError as error:
        raise BackupRefused(
            "backup_unwritable", "The backup cannot be written there.", remedy="Name a file on a disk that has room."
        ) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    return size


def read_label(file: BinaryIO) -> Label:
    """Return what a backup says of itself, from where it begins.

    Raises:
        BackupRefused: it is none.
    """
    line = file.readline(LABEL_SIZE_MAX_BYTES + 1)
    try:
        label = Label.model_validate_json(line)
    except ValidationError:
        raise _no_backup() from None
    if label.line() != line:
        raise _no_backup()
    return label


def lines_in(file: BinaryIO, label: Label, *, keys: DayKeys, today: int) -> Iterator[bytes]:
    """Yield the lines that a backup holds, each without its end; all are there only if this ends quietly.

    Raises:
        BackupRefused: its key is dead (`backup_key_dead`), not in this custody (`backup_key_missing`) or another there
            (`backup_key_wrong`); or as `open_sealed` says.
    """
    if is_dead(label.day, today=today):
        raise BackupRefused(
            "backup_key_dead",
            f"The backup is {KEY_LIFE_DAYS} days old: its key is destroyed, so that who was erased stays erased.",
            remedy="Use a younger one; there is no way to open this one.",
        )
    key = keys.find(label.day)
    if key is None:
        raise BackupRefused(
            "backup_key_missing",
            "The key of that day is not in this custody.",
            remedy="Restore the custody folder from its own backup first, one made after this backup.",
        )
    if key_name(key) != label.key:
        raise BackupRefused(
            "backup_key_wrong",
            "The custody here has another key for that day.",
            remedy="Restore the custody folder of the node that made the backup.",
        )
    return _lines(open_sealed(file, key=key, associated=label.line()))


def key_name(key: bytes) -> str:
    """Return what a key of a day is called in clear: it tells nothing of a random key."""
    return to_base64url(hashlib.sha256(length_prefixed("tallystick/backup-key/v1") + key).digest()[:8])


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    waiting = bytearray()
    for piece in pieces:
        *whole, rest = piece.split(b"\n")
        for each in whole:
            yield bytes(waiting) + each
            waiting.clear()
        waiting += rest
        if len(waiting) > LINE_SIZE_MAX_BYTES:
            raise malformed()
    if waiting:
        raise malformed()


def _exists() -> BackupRefused:
    return BackupRefused("backup_exists", "There is such a file already.", remedy="Name another; none is overwritten.")


def _no_backup() -> BackupRefused:
    return BackupRefused(
        "backup_malformed", "The file is no backup of a node.", remedy="Check that it is the right one."
    )
