"""The logs of a node: the one that is written, and those before it, which stay served as they ended.

A log is one year's shard, and the next year's goes on where it ended; so does a successor of one that must not be
written any more. The database says which follows which. The first lies in the folder that the settings name, each
later one below `shards/NAME/`, laid out alike: the log in `log`, beside it the keys to check it under.

Source: DESIGN section 4 (yearly shards).
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine, select

from tallystick.wire import EntryProof
from tallystick_ledger.errors import PolicyUnmet
from tallystick_node.errors import ForkSuspected, LogNotContinued, StoreUnavailable
from tallystick_node.log.cosigning import Cosigners
from tallystick_node.log.proof_service import ProofService
from tallystick_node.log.publisher import Publisher
from tallystick_node.log.store import LogStore
from tallystick_node.log.writer import OwnLog
from tallystick_node.storage.database import single_statements, storage_errors
from tallystick_node.storage.tables import HEADS

_LOGS = select(HEADS.c.log, HEADS.c.successor, HEADS.c.contradicted_by)
"""Made once, since an idle node asks some thirty times a second."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Shard:
    """One log of this node: what the writer needs, its files, what proves from them, and who cosigns its heads."""

    own: OwnLog
    publisher: Publisher
    proofs: ProofService
    cosigners: Cosigners | None = None
    store: LogStore | None = None


class Shards:
    """Every log of a node, in order."""

    def __init__(self, engine: Engine, first: str, open_shard: Callable[[str], Shard]) -> None:
        """Open the logs that the database tells of.

        Args:
            engine: of the node's database.
            first: name of the log that the node began with.
            open_shard: opens a log by its name.

        Raises:
            LogNotContinued: the database is older than what is published of one.
            StoreUnavailable: the files of one cannot be read.
        """
        self._reading = single_statements(engine)
        self._first = first
        self._open = open_shard
        self._lock = threading.RLock()
        self._opened: dict[str, Shard] = {}  # some of them to be begun
        self._shards: dict[str, Shard] = {}  # in order
        self.own_log(first)
        self._look()

    @property
    def current(self) -> Shard:
        """The log that is written."""
        return next(reversed(self._shards.values()))

    def own_log(self, name: str) -> OwnLog:
        """Return a log for the writer, opened where another process has begun it."""
        with self._lock:
            if name not in self._shards:
                self._shards[name] = self.open(name)
            return self._shards[name].own

    def open(self, name: str) -> Shard:
        """Return a log that is to be begun; it is none of the node's before that."""
        with self._lock:
            if name not in self._opened:
                self._opened[name] = self._open(name)
            return self._opened[name]

    def names(self) -> list[str]:
        """Return the names of all logs, in order."""
        return list(self._shards)

    def named(self, name: str) -> Shard | None:
        """Return a log by its name, None where there is none here."""
        return self._shards.get(name)

    def prove(self, name: str, index: int) -> EntryProof | None:
        """Return an entry of a log with its proof against the published head; None before that head covers it."""
        shard = self.named(name)
        return None if shard is None else shard.proofs.entry(index)

    def close(self) -> None:
        """Release what the logs hold: their files, and whoever is asked to cosign."""
        for shard in self._opened.values():
            if shard.cosigners is not None:
                shard.cosigners.close()
            if shard.store is not None:
                shard.store.close()

    def publish(self, *, still_mine: Callable[[], None] = lambda: None) -> bool:
        """Publish what was committed, and bring logs that have ended to their end; one that cannot keeps up no other.

        Args:
            still_mine: raises where it is another process's turn by now.

        Returns:
            Whether there was anything.

        Raises:
            LogNotContinued, ForkSuspected, PolicyUnmet, StoreUnavailable: as `Publisher.publish`, of the log that is
                written; of others it is logged.
        """
        contradicted = self._look()
        published = False
        *ended, current = list(self._shards.values())
        for shard in ended:
            if shard.own.name not in contradicted:
                try:
                    published |= shard.publisher.publish(still_mine=still_mine)
                except (LogNotContinued, ForkSuspected, PolicyUnmet, StoreUnavailable) as error:
                    log.warning("the end of the log %s is not published yet: %s", shard.own.name, error.code)
        if current.own.name not in contradicted:
            published |= current.publisher.publish(still_mine=still_mine)
        return published

    def follow(self) -> None:
        """Take up what another process has published.

        Raises:
            StoreUnavailable: the files cannot be read.
        """
        self._look()
        for shard in list(self._shards.values()):
            shard.publisher.follow()

    def contradiction(self) -> bytes | None:
        """Return the head by which the log that is written is known to be read-only, as it was signed; None if not."""
        return self._look().get(self.current.own.name)

    def _look(self) -> dict[str, bytes]:
        """Take up logs that another process has begun; return those that must not be written, each with the head that
        says so."""
        with storage_errors(), self._reading.connect() as connection:
            rows = connection.execute(_LOGS).all()
        following = {row.log: row.successor for row in rows if row.successor is not None}
        name: str | None = following.get(self._first)
        while name is not None:
            self.own_log(name)
            name = following.get(name)
        return {row.log: row.contradicted_by for row in rows if row.contradicted_by is not None}
