"""The memory of a witness that stands alone: which logs it knows, and what it cosigned last of each.

A small SQLite database with `synchronous=FULL`. Judging a request and remembering the answer are one transaction that
holds the write lock from its first line, so that neither a race, nor a second process on the same folder, nor a power
failure makes the witness cosign a fork: what is not on disk was not answered.

Never restore this file from a backup: it would be rolled back, and a fork could be cosigned from there. A witness whose
memory is lost begins again in a new folder, with new keys: the file is made once, with those, and never again.

Source: c2sp.org/tlog-witness ("must persist ... before responding"), DESIGN P12.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

from tallystick.descriptor import Descriptor, open_descriptor, plain_fingerprint, require_not_older
from tallystick_ledger.tlog.head import Checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.keys import COSIGNATURE_ED25519, VerifierKey
from tallystick_ledger.tlog.note import unchecked_text
from tallystick_ledger.tlog.witness import Cosigned
from tallystick_node.errors import PartnerUnknown, SettingsInvalid
from tallystick_node.storage.database import storage_errors
from tallystick_node.storage.durable import flush
from tallystick_node.witness.known import keys_by_host

BUSY_TIMEOUT_S = 2.0
"""How long one waits for another process on the same folder."""

LOGS_MAX = 10_000
"""Logs and companies that one witness knows."""

_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL")
_SCHEMA = """
CREATE TABLE log (vkey TEXT PRIMARY KEY, origin TEXT NOT NULL) STRICT;
CREATE TABLE company (host TEXT PRIMARY KEY, descriptor TEXT NOT NULL, fingerprint TEXT NOT NULL) STRICT;
CREATE TABLE cosigned (
  origin TEXT PRIMARY KEY, origin_digest TEXT UNIQUE NOT NULL, note BLOB NOT NULL, at_s INTEGER NOT NULL
) STRICT;
"""


def make_memory(path: Path) -> None:
    """Make the empty memory of a new witness, once: where it is lost it is not made again.

    Raises:
        FileExistsError: there is one.
        StorageUnavailable: it cannot be written.
    """
    path.touch(mode=0o600, exist_ok=False)
    with storage_errors(), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.executescript(_SCHEMA)
    flush(path.parent)


class Memory:
    """What a witness that stands alone knows and remembers; safe to use from several threads."""

    def __init__(self, path: Path, *, own: Sequence[VerifierKey]) -> None:
        """Open the database at `path`.

        Args:
            path: of the file.
            own: the witness's own keys.

        Raises:
            SettingsInvalid: it is not there, or is empty.
            StorageUnavailable: it cannot be opened or written.
        """
        if not path.exists():
            raise _forgotten()
        self._own = tuple(own)
        self._lock = threading.Lock()
        with storage_errors():
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            for pragma in _PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}")
            if self._connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'cosigned'").fetchone() is None:
                self._connection.close()
                raise _forgotten()

    def close(self) -> None:
        """Release the database."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def know_keys(self, keys: Sequence[VerifierKey]) -> None:
        """Know the logs that these keys are of: a log's name is its origin.

        Raises:
            SettingsInvalid: a key is not one that logs sign with, or there are too many.
        """
        if any(key.kind == COSIGNATURE_ED25519 for key in keys):
            raise SettingsInvalid("A key makes cosignatures only.", remedy="Give the log's own keys, such as log.vkey.")
        with self._transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO log VALUES (?, ?)", [(key.text, key.name) for key in keys])
            _require_room(connection)

    def know_company(self, token: str, *, expected_fingerprint: str) -> Descriptor:
        """Know every log of the company with this descriptor, and return it; a newer one replaces what was known.

        Under another fingerprint it is replaced by what the operator says, under the same one only by a descriptor that
        is not older: an old one would bring back keys that were revoked since.

        Raises:
            DescriptorOlder: a newer one of that identity is known.
            SignatureRejected: the descriptor is signed by another identity.
            BadInput: it is none.
        """
        described = open_descriptor(token, expected_fingerprint=expected_fingerprint)
        with self._transaction() as connection:
            compared = plain_fingerprint(expected_fingerprint)
            query = "SELECT descriptor, fingerprint FROM company WHERE host = ?"
            known = connection.execute(query, (described.host,)).fetchone()
            if known is not None and plain_fingerprint(known[1]) == compared:
                require_not_older(described, open_descriptor(known[0], expected_fingerprint=compared))
            row = (described.host, token, compared)
            connection.execute("INSERT OR REPLACE INTO company VALUES (?, ?, ?)", row)
            _require_room(connection)
        return described

    def known(self) -> list[str]:
        """Return what it knows, by name: the origins of logs, and the hosts of companies."""
        with self._reading() as connection:
            query = "SELECT origin FROM log UNION SELECT host FROM company ORDER BY 1"
            return [str(row[0]) for row in connection.execute(query)]

    def keys_of(self, origin: str, *, now_s: int) -> dict[str, list[VerifierKey]]:
        """Return the keys of the log `origin`, by its origin; nothing where it is not known."""
        with self._reading() as connection:
            rows = connection.execute("SELECT vkey FROM log WHERE origin = ?", (origin,)).fetchall()
        if rows:
            return {origin: [VerifierKey.parse(row[0]) for row in rows]}
        return keys_by_host(origin, self._company, now_s=now_s)

    def cosign(self, origin: str, judge: Callable[[Cosigned | None], Cosigned]) -> Cosigned:
        """Return what `judge` makes of what was cosigned last of a log, once that is remembered durably.

        Args:
            origin: of the log.
            judge: takes what is remembered and returns what to remember, the same where there is nothing new, or
                raises; nothing is remembered then.

        Raises:
            StorageUnavailable: it cannot be remembered, so it must not be answered.
        """
        with self._transaction() as connection:
            row = connection.execute("SELECT note, at_s FROM cosigned WHERE origin = ?", (origin,)).fetchone()
            last = None if row is None else Cosigned.recall(row[0], at_s=row[1], keys=self._own)
            said = judge(last)
            if said is not last:
                digest = hashlib.sha256(origin.encode()).hexdigest()
                row = (origin, digest, said.note, said.at_s)
                connection.execute("INSERT OR REPLACE INTO cosigned VALUES (?, ?, ?, ?)", row)
        return said

    def last_checkpoint(self, origin: str) -> Checkpoint | None:
        """Return what was cosigned last of a log, None where nothing was."""
        note = self.last_note(hashlib.sha256(origin.encode()).hexdigest())
        return None if note is None else parse_checkpoint_body(unchecked_text(note))

    def last_note(self, origin_digest: str) -> bytes | None:
        """Return the checkpoint that was cosigned last of a log, None where none was."""
        with self._reading() as connection:
            query = "SELECT note FROM cosigned WHERE origin_digest = ?"
            row = connection.execute(query, (origin_digest,)).fetchone()
        return None if row is None else bytes(row[0])

    def _company(self, host: str) -> Descriptor:
        with self._reading() as connection:
            query = "SELECT descriptor, fingerprint FROM company WHERE host = ?"
            row = connection.execute(query, (host,)).fetchone()
        if row is None:
            raise PartnerUnknown("No company of that name was added to this witness.", remedy="The operator adds it.")
        return open_descriptor(row[0], expected_fingerprint=row[1])

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        with self._lock, storage_errors():
            yield self._connection

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        """Hold the write lock; commit at the end, and undo everything on any error."""
        with self._lock, storage_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def _forgotten() -> SettingsInvalid:
    return SettingsInvalid(
        "The witness's memory is gone: it may have cosigned what it does not know any more.",
        remedy="Make a new witness, with a new name and new keys: tally-node witness init",
    )


def _require_room(connection: sqlite3.Connection) -> None:
    (count,) = connection.execute("SELECT (SELECT count(*) FROM log) + (SELECT count(*) FROM company)").fetchone()
    if count > LOGS_MAX:
        raise SettingsInvalid("A witness knows too many logs.", remedy="Run another witness.")
