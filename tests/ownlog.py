"""A node's writer and publisher over a database, without the node: a log of its own for a test."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from signers import NOW_S, ed25519_key, ml_dsa_key
from sqlalchemy import Engine, select

from tallystick_ledger.tlog.signers import CosignatureSigner, NoteSigner
from tallystick_node.clock import SetClock
from tallystick_node.keys.signing import FixedSigners
from tallystick_node.log.publisher import Publisher
from tallystick_node.log.store import LogStore
from tallystick_node.log.transaction import Transaction, Written
from tallystick_node.log.writer import OwnLog, Writer
from tallystick_node.migrations import open_database
from tallystick_node.storage.database import Place, close
from tallystick_node.storage.tables import BLOBS

ORIGIN = "gym.example/log/2027"
LOG = NoteSigner(ORIGIN, ed25519_key("log"))
LOG_PQ = CosignatureSigner(ORIGIN, ml_dsa_key("log"))
CLOCK = SetClock(NOW_S)


def finished(first: int, count: int, *, size_bytes: int = 40) -> list[bytes]:
    """Return entries that tell their place; nothing here reads them."""
    return [f"entry {index} ".encode().ljust(size_bytes, b".") for index in range(first, first + count)]


class Log:
    """A log that is written, and can be published into any store."""

    def __init__(self, place: Place, *, keeps_published: bool = True) -> None:
        self.engine: Engine = open_database(place)
        self.own = OwnLog("2027", ORIGIN, FixedSigners(LOG))
        self.writer = Writer(
            self.engine, log=self.own, clock=CLOCK, random_bytes=secrets.token_bytes, keeps_published=keeps_published
        )

    def publisher(self, store: LogStore, *, is_restarted: bool = False) -> Publisher:
        """Return a publisher: of this process, or of one that was started after a power failure."""
        handover = None if is_restarted else self.own.handover
        return Publisher(
            self.engine,
            store,
            log=self.own.name,
            origin=ORIGIN,
            signers=FixedSigners(LOG, LOG_PQ),
            clock=CLOCK,
            handover=handover,
        )

    def append(self, entries: Sequence[bytes]) -> Written[range]:
        """Append entries in one commit."""

        def work(transaction: Transaction) -> range:
            return transaction.append_finished(entries)

        return self.writer.write(work)

    def blobs(self) -> list[tuple[int, int]]:
        """Return first index and count of every blob that is in the database."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(BLOBS.c.first, BLOBS.c["count"]).order_by(BLOBS.c.log, BLOBS.c.first))
            return [(row[0], row[1]) for row in rows]

    def close(self) -> None:
        """Stop writing."""
        self.writer.close()
        self.engine.dispose()


@cache
def _empty_database() -> bytes:
    """Return the file of an empty database: to copy it is faster than to migrate one for each test."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "node.db"
        close(open_database(path))
        return path.read_bytes()


@contextmanager
def own_log(folder: Path, *, keeps_published: bool = True) -> Iterator[Log]:
    """Give an empty log in a folder."""
    (folder / "node.db").write_bytes(_empty_database())
    log = Log(folder / "node.db", keeps_published=keeps_published)
    try:
        yield log
    finally:
        log.close()
