"""Custody of the secrets that erasure destroys: subjects' payload keys, link secrets, member keys.

They live in a database of their own, wrapped under the key of the day, and never in a data backup. A wrapping key lives
seven days and every live secret is wrapped anew each day, so a backup older than that opens nobody who is gone since.
`secure_delete` and a truncated write-ahead log see to it that a destroyed secret is not left in the file either.

Source: CONSTRUCTIONS (keys), NIST SP 800-38D.
"""

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tallystick_ledger.encoding import from_base64url, length_prefixed, to_base64url
from tallystick_ledger.errors import PayloadErased, PayloadUnavailable
from tallystick_node.clock import Clock
from tallystick_node.database import storage_errors
from tallystick_node.errors import SettingsInvalid
from tallystick_node.keys import write_secret_file

DAY_S = 86_400
WRAPPING_KEY_LIFE_DAYS = 7
SECRET_SIZE_BYTES = 32
NONCE_SIZE_BYTES = 12
BUSY_TIMEOUT_S = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS secret (name TEXT PRIMARY KEY, day INTEGER NOT NULL, wrapped BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS destroyed (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class Custody:
    """Keeps named 32-byte secrets; safe to call from several threads.

    Every call raises `StorageUnavailable` where the storage is locked, full or read-only; nothing was done then.
    """

    def __init__(self, folder: Path, *, clock: Clock, random_bytes: Callable[[int], bytes]) -> None:
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        self._folder = folder
        self._clock = clock
        self._random_bytes = random_bytes
        self._lock = threading.Lock()
        (folder / "keys.db").touch(mode=0o600)
        self._db = sqlite3.connect(folder / "keys.db", check_same_thread=False, timeout=BUSY_TIMEOUT_S)
        self._db.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Release the database."""
        with self._lock:
            self._db.close()

    def find(self, name: str) -> bytes | None:
        """Return a secret, None where there is none (any more)."""
        with self._lock, storage_errors():
            return self._find(name)

    def keep(self, name: str, secret: bytes) -> None:
        """Keep a secret under a new name, durably."""
        with self._lock, storage_errors():
            self._keep(name, secret)

    def find_or_make(self, name: str) -> bytes:
        """Return a secret, made and kept durably first where there is none.

        Raises:
            PayloadErased: the secret of that name was destroyed; it is never made again.
        """
        with self._lock, storage_errors():
            secret = self._find(name)
            if secret is None:
                if self._is_destroyed(name):
                    raise _erased()
                secret = self._random_bytes(SECRET_SIZE_BYTES)
                self._keep(name, secret)
            return secret

    def destroy(self, name: str) -> None:
        """Make a secret unrecoverable; done when this returns."""
        with self._lock, storage_errors():
            with self._db:  # commits, or rolls back where it cannot
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute("INSERT OR IGNORE INTO destroyed VALUES (?)", (name,))
                self._db.execute("DELETE FROM secret WHERE name = ?", (name,))
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def forget(self, name: str) -> None:
        """Remove a secret that was only passing through; unlike after `destroy`, the name may be used again."""
        with self._lock, storage_errors():
            self._db.execute("DELETE FROM secret WHERE name = ?", (name,))

    def is_destroyed(self, name: str) -> bool:
        """Return whether a secret of that name was destroyed."""
        with self._lock, storage_errors():
            return self._is_destroyed(name)

    def rewrap(self) -> None:
        """Wrap every secret under today's key, then destroy wrapping keys older than seven days."""
        with self._lock, storage_errors():
            today = self._today()
            stale = self._db.execute("SELECT name FROM secret WHERE day < ?", (today,)).fetchall()
            for (name,) in stale:
                secret = self._find(name)
                if secret is not None:
                    self._keep(name, secret)
            for path in self._folder.glob("wrap-*.key"):
                if int(path.stem.removeprefix("wrap-")) <= today - WRAPPING_KEY_LIFE_DAYS:
                    _overwrite_and_remove(path)

    def _find(self, name: str) -> bytes | None:
        row = self._db.execute("SELECT day, wrapped FROM secret WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        day, wrapped = row
        try:
            cipher = AESGCM(self._wrapping_key(day, make=False))
            return cipher.decrypt(wrapped[:NONCE_SIZE_BYTES], wrapped[NONCE_SIZE_BYTES:], _bound_to(name, day))
        except InvalidTag as error:
            raise PayloadUnavailable(
                "A wrapped secret does not open.", remedy="Restore keys.db and its wrapping keys together."
            ) from error

    def _keep(self, name: str, secret: bytes) -> None:
        assert len(secret) == SECRET_SIZE_BYTES, "a secret is 32 bytes"
        day = self._today()
        nonce = self._random_bytes(NONCE_SIZE_BYTES)
        wrapped = nonce + AESGCM(self._wrapping_key(day, make=True)).encrypt(nonce, secret, _bound_to(name, day))
        self._db.execute("INSERT OR REPLACE INTO secret VALUES (?, ?, ?)", (name, day, wrapped))

    def _is_destroyed(self, name: str) -> bool:
        return self._db.execute("SELECT 1 FROM destroyed WHERE name = ?", (name,)).fetchone() is not None

    def _today(self) -> int:
        return self._clock.now_s() // DAY_S

    def _wrapping_key(self, day: int, *, make: bool) -> bytes:
        path = self._folder / f"wrap-{day}.key"
        if make and not path.exists():
            self._make_wrapping_key(path)
        try:
            return from_base64url(path.read_text(encoding="ascii"))
        except OSError as error:
            raise SettingsInvalid(
                "A wrapping key is missing.", remedy="Restore the custody folder from its own backup."
            ) from error

    def _make_wrapping_key(self, path: Path) -> None:
        """Make a wrapping key durably before anything is wrapped under it; half of one is never under its name."""
        beside = path.with_name(f".{path.name}.new")
        beside.unlink(missing_ok=True)
        write_secret_file(beside, to_base64url(self._random_bytes(SECRET_SIZE_BYTES)))
        beside.rename(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class SubjectKeys:
    """Payload keys by subject, as the vault asks for them; names are keyed hashes and tell nothing."""

    def __init__(self, custody: Custody, name_of: Callable[[str], str]) -> None:
        self._custody = custody
        self._name_of = name_of

    def key_of(self, subject: str) -> bytes:
        """Return the subject's key.

        Raises:
            PayloadErased: it was destroyed.
            PayloadUnavailable: there is none.
        """
        name = self._name_of(subject)
        key = self._custody.find(name)
        if key is None:
            if self._custody.is_destroyed(name):
                raise _erased()
            raise PayloadUnavailable("A subject has no payload key here.", remedy="Restore keys.db from its backup.")
        return key

    def key_for(self, subject: str) -> bytes:
        """Return the subject's key, made first where there is none.

        Raises:
            PayloadErased: the subject was erased.
        """
        return self._custody.find_or_make(self._name_of(subject))

    def destroy(self, subject: str) -> None:
        """Make the subject's key unrecoverable."""
        self._custody.destroy(self._name_of(subject))


def _bound_to(name: str, day: int) -> bytes:
    return length_prefixed("tallystick/wrap/v1", name, str(day))


def _erased() -> PayloadErased:
    return PayloadErased("The subject's key was destroyed.", remedy="Nothing can be done; that was asked for.")


def _overwrite_and_remove(path: Path) -> None:
    """Overwrite before removal: on most file systems that leaves no copy; custody by KMS or HSM leaves none on any."""
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
