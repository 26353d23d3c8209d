"""Custody of the secrets that erasure destroys: subjects' payload keys, link secrets, member keys.

They live in a database of their own, wrapped under the key of the day, and never in a data backup. A wrapping key lives
seven days and every live secret is wrapped anew each day, so a backup older than that opens nobody who is gone since.
On SQLite, `secure_delete` and a truncated write-ahead log see to it that a destroyed secret is not left in the file
either; the files of a PostgreSQL may hold its wrapped bytes a while longer, and nothing opens them once that day's
wrapping key is gone, which lies in the node's folder and never in a database.

Source: CONSTRUCTIONS (keys), NIST SP 800-38D.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from tallystick_ledger.encoding import length_prefixed
from tallystick_ledger.errors import PayloadErased, PayloadUnavailable
from tallystick_ledger.times import DAY_S
from tallystick_node.clock import Clock
from tallystick_node.errors import SettingsInvalid
from tallystick_node.keys.custody_tables import DESTROYED, SECRETS, TOMBSTONES
from tallystick_node.keys.day_keys import DayKeys
from tallystick_node.migrations import Schema, open_database
from tallystick_node.storage.database import Place, close, is_postgres, single_statements, storage_errors, writing

WRAPPING, BACKING_UP = "wrap", "backup"
"""What keys of a day are for: wrapping secrets, and sealing the data backups of that day."""

SECRET_SIZE_BYTES = 32
NONCE_SIZE_BYTES = 12
KEYS_FILE = "keys.db"
REWRAPPED_AT_ONCE = 200

# Built once: a secret is looked up for every event, and building a statement takes longer than running it.
_FIND = select(SECRETS.c.day, SECRETS.c.wrapped).where(SECRETS.c.name == bindparam("name"))
_FIND_MANY = select(SECRETS.c.name, SECRETS.c.day, SECRETS.c.wrapped).where(
    SECRETS.c.name.in_(bindparam("names", expanding=True))
)
_FIND_DESTROYED = select(DESTROYED.c.name).where(DESTROYED.c.name == bindparam("name"))


@dataclass(frozen=True, slots=True)
class Tomb:
    """What is buried under one tombstone.

    Attributes:
        name: of a subject's key or a link's secret.
        secrets_too: names of secrets that are destroyed with it.
        outlives: the name of a secret that is kept a while longer; "" for none.
        until_s: until when, seconds since 1970-01-01 UTC.
    """

    name: str
    secrets_too: tuple[str, ...] = ()
    outlives: str = ""
    until_s: int = 0


class Custody:
    """Keeps named 32-byte secrets; safe to call from several threads, and from several processes of one node.

    Every call raises `StorageUnavailable` where the storage is away, locked, full or read-only; nothing was done then.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        database: Place | None = None,
    ) -> None:
        """Keep secrets wrapped under the keys in `folder`.

        Args:
            folder: made where it is missing; processes that share the database share it too.
            clock: whose days wrapping keys are named after.
            random_bytes: where secrets come from.
            database: where the wrapped secrets are; `keys.db` in the folder where it is absent.
        """
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        self._clock = clock
        self._random_bytes = random_bytes
        self._wrapping = DayKeys(folder, WRAPPING, random_bytes=random_bytes)
        self._backing_up = DayKeys(folder, BACKING_UP, random_bytes=random_bytes)
        # A single connection to SQLite: what was deleted is overwritten once nobody reads the log that it was in.
        self.engine = open_database(database or folder / KEYS_FILE, Schema.CUSTODY, alone=True)
        self._reading = single_statements(self.engine)
        self._writing = writing(self.engine)

    def close(self) -> None:
        """Release the database."""
        close(self.engine)

    def find(self, name: str) -> bytes | None:
        """Return a secret, None where there is none (any more)."""
        with storage_errors(), self._reading.connect() as connection:
            return self._find(connection, name)

    def find_many(self, names: Collection[str]) -> dict[str, bytes]:
        """Return the secrets that there are of these names, a few thousand at most, each under its name."""
        with storage_errors(), self._reading.connect() as connection:
            return self._find_many(connection, names)

    def keep(self, name: str, secret: bytes) -> None:
        """Keep a secret under a new name, durably."""
        self.keep_many({name: secret})

    def keep_many(self, made: Mapping[str, bytes]) -> None:
        """Keep secrets, a few thousand at most, each under its new name, durably."""
        with storage_errors(), self._writing.begin() as connection:
            connection.execute(delete(SECRETS).where(SECRETS.c.name.in_(made)))
            self._keep(connection, made)

    def find_or_make(self, name: str) -> bytes:
        """Return a secret, made and kept durably first where there is none.

        Raises:
            PayloadErased: the secret of that name was destroyed; it is never made again.
        """
        secret = self.find(name)
        return self._make(name) if secret is None else secret

    def destroy(self, name: str) -> None:
        """Make a secret unrecoverable; done when this returns."""
        with storage_errors():
            with self._writing.begin() as connection:
                if not _is_destroyed(connection, name):
                    connection.execute(insert(DESTROYED).values(name=name))
                connection.execute(delete(SECRETS).where(SECRETS.c.name == name))
            self._truncate()

    def bury(self, tomb: Tomb, *, after: int = 0) -> int:
        """Set up a tombstone, the secret of its name destroyed with it; done when this returns.

        Whoever buries the same name again, after a crash for example, destroys what came back meanwhile.

        Args:
            after: a number that another tombstone had, which an older copy of this database may not know.

        Returns:
            The tombstone's number: 1 for the first.
        """
        with storage_errors():
            with self._writing.begin() as connection:
                number = connection.scalar(select(TOMBSTONES.c.number).where(TOMBSTONES.c.name == tomb.name))
                if number is None:
                    number = 1 + max(after, connection.scalar(select(func.max(TOMBSTONES.c.number))) or 0)
                    _set_up(connection, number, tomb)
                _destroy(connection, tomb)
            self._truncate()
        return int(number)

    def bury_anew(self, buried: Mapping[int, Tomb]) -> None:
        """Set up tombstones that stood here before, each under its number where that is free: an older copy of this
        database was put back, and what was destroyed since is destroyed again. What outlives one is kept for no longer
        than it would have been. Done when this returns."""
        with storage_errors():
            with self._writing.begin() as connection:
                taken = set(connection.scalars(select(TOMBSTONES.c.number)))
                for known, tomb in buried.items():
                    number = 1 + max(taken, default=0) if known in taken else known
                    taken.add(number)
                    _set_up(connection, number, tomb)
                    _destroy(connection, tomb)
            self._truncate()

    def tombstones(self) -> dict[int, str]:
        """Return every tombstone: its number, and the name on it."""
        with storage_errors(), self._reading.connect() as connection:
            rows = connection.execute(select(TOMBSTONES.c.number, TOMBSTONES.c.name)).all()
        return {row.number: row.name for row in rows}

    def forget_outlived(self) -> None:
        """Remove the secrets that outlived their subjects, once their time has come."""
        due = (TOMBSTONES.c.outlives != "", TOMBSTONES.c.until_s <= self._clock.now_s())
        with storage_errors():
            with self._writing.begin() as connection:
                rows = connection.execute(select(TOMBSTONES.c.number, TOMBSTONES.c.outlives).where(*due)).all()
                for row in rows:
                    connection.execute(delete(SECRETS).where(SECRETS.c.name == row.outlives))
                    connection.execute(update(TOMBSTONES).where(TOMBSTONES.c.number == row.number).values(outlives=""))
            if rows:
                self._truncate()

    def forget(self, name: str) -> None:
        """Remove a secret that was only passing through; unlike after `destroy`, the name may be used again."""
        with storage_errors(), self._writing.begin() as connection:
            connection.execute(delete(SECRETS).where(SECRETS.c.name == name))

    def is_destroyed(self, name: str) -> bool:
        """Return whether a secret of that name was destroyed."""
        with storage_errors(), self._reading.connect() as connection:
            return _is_destroyed(connection, name)

    def rewrap(self) -> None:
        """Wrap every secret under today's key, then destroy the keys that have lived their seven days."""
        today = self._today()
        with storage_errors():
            last = ""
            while stale := self._stale(today, after=last):
                with self._writing.begin() as connection:
                    self._rewrap(connection, stale)
                last = stale[-1]
            for keys in (self._wrapping, self._backing_up):
                keys.destroy_dead(today)

    def _truncate(self) -> None:
        """Leave nothing of what was deleted in the write-ahead log."""
        if not is_postgres(self.engine):
            with self._reading.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def _make(self, name: str) -> bytes:
        """Make a secret, unless somebody else did meanwhile: nobody else writes until this is done."""
        with storage_errors(), self._writing.begin() as connection:
            secret = self._find(connection, name)
            if secret is None:
                if _is_destroyed(connection, name):
                    raise erased()
                secret = self._random_bytes(SECRET_SIZE_BYTES)
                self._keep(connection, {name: secret})
            return secret

    def _stale(self, today: int, *, after: str) -> Sequence[str]:
        """Return the next names of secrets that are wrapped under an older key."""
        names = select(SECRETS.c.name).where(SECRETS.c.name > after, SECRETS.c.day < today)
        with self._reading.connect() as connection:
            return connection.scalars(names.order_by(SECRETS.c.name).limit(REWRAPPED_AT_ONCE)).all()

    def _rewrap(self, connection: Connection, names: Sequence[str]) -> None:
        """Wrap secrets anew, but for those that were destroyed meanwhile: nobody else writes until this is done."""
        found = self._find_many(connection, names)
        if found:
            connection.execute(delete(SECRETS).where(SECRETS.c.name.in_(found)))
            self._keep(connection, found)

    def _find(self, connection: Connection, name: str) -> bytes | None:
        row = connection.execute(_FIND, {"name": name}).first()
        if row is None:
            return None
        return _unwrapped(AESGCM(self._wrapping_key(row.day)), name, row.day, row.wrapped)

    def _find_many(self, connection: Connection, names: Collection[str]) -> dict[str, bytes]:
        rows = connection.execute(_FIND_MANY, {"names": list(names)}).all()
        ciphers = {day: AESGCM(self._wrapping_key(day)) for day in {row.day for row in rows}}
        return {row.name: _unwrapped(ciphers[row.day], row.name, row.day, row.wrapped) for row in rows}

    def _keep(self, connection: Connection, made: Mapping[str, bytes]) -> None:
        day = self._today()
        cipher = AESGCM(self._wrapping.find_or_make(day))
        rows: list[dict[str, object]] = []
        for name, secret in made.items():
            assert len(secret) == SECRET_SIZE_BYTES, "a secret is 32 bytes"
            nonce = self._random_bytes(NONCE_SIZE_BYTES)
            rows.append(
                {"name": name, "day": day, "wrapped": nonce + cipher.encrypt(nonce, secret, _bound_to(name, day))}
            )
        connection.execute(insert(SECRETS), rows)

    def _today(self) -> int:
        return self._clock.now_s() // DAY_S

    def _wrapping_key(self, day: int) -> bytes:
        key = self._wrapping.find(day)
        if key is None:
            raise SettingsInvalid(
                "A wrapping key is missing.", remedy="Restore the custody folder from its own backup."
            )
        return key


def _is_destroyed(connection: Connection, name: str) -> bool:
    return connection.execute(_FIND_DESTROYED, {"name": name}).first() is not None


def _set_up(connection: Connection, number: int, tomb: Tomb) -> None:
    made = {"number": number, "name": tomb.name, "outlives": tomb.outlives, "until_s": tomb.until_s}
    connection.execute(insert(TOMBSTONES).values(**made))


def _destroy(connection: Connection, tomb: Tomb) -> None:
    for name in (tomb.name, *tomb.secrets_too):
        if not _is_destroyed(connection, name):
            connection.execute(insert(DESTROYED).values(name=name))
        connection.execute(delete(SECRETS).where(SECRETS.c.name == name))


def _unwrapped(cipher: AESGCM, name: str, day: int, wrapped: bytes) -> bytes:
    try:
        return cipher.decrypt(wrapped[:NONCE_SIZE_BYTES], wrapped[NONCE_SIZE_BYTES:], _bound_to(name, day))
    except InvalidTag as error:
        raise PayloadUnavailable(
            "A wrapped secret does not open.", remedy="Restore keys.db and its wrapping keys together."
        ) from error


def _bound_to(name: str, day: int) -> bytes:
    return length_prefixed("tallystick/wrap/v1", name, str(day))


def erased() -> PayloadErased:
    """Return the error for what was made unreadable on purpose."""
    return PayloadErased("The subject's key was destroyed.", remedy="Nothing can be done; that was asked for.")
