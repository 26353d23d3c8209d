"""Turns: what only one process of a node does at a time, such as publishing, or delivering to one partner.

Processes share a node by sharing its PostgreSQL. A turn is a lock of that database, held in a session of its own while
the work is done: a process that dies loses its session and with it its turns, and another one goes on at once; one that
freezes loses them after a minute. Nobody waits for a turn: who does not get it leaves the work to who has it. On SQLite
a node is one process, which has every turn.

A turn is a courtesy between processes. What it orders is safe without it: a write by its lock, a message by its
idempotency key at the partner, a head by what it continues. Whoever does what cannot be taken back asks first whether
the turn is still there.

Source: PostgreSQL manual 13.3.5 (advisory locks), 20.11.1 (idle_session_timeout).
"""

import hashlib
import threading
import time
from contextlib import suppress
from types import TracebackType

from sqlalchemy import Connection, Engine, text

from tallystick_node.errors import StorageUnavailable
from tallystick_node.storage.database import is_postgres, single_statements, storage_errors, unavailable

FROZEN_FOR_MAX_S = 60
WAIT_MAX_S = 30
WAIT_STEP_S = 0.05


class Turn:
    """A turn that this process has until it gives it back; give it back by leaving `with`, or by hand."""

    def __init__(self, turns: "Turns", number: int, session: Connection | None) -> None:
        self._turns = turns
        self._number = number
        self._session = session

    def __enter__(self) -> "Turn":
        """Return the turn."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self.give_back()

    def give_back(self) -> None:
        """Let another process have it; where the session is gone, that has happened already."""
        self._turns.give_back(self._number, self._session)

    def require(self) -> None:
        """Return if the turn is still this process's.

        Raises:
            StorageUnavailable: the session that held it is gone.
        """
        self._turns.require(self._session)


class Turns:
    """The turns of one process of a node; safe to call from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = single_statements(engine) if is_postgres(engine) else None
        self._lock = threading.Lock()
        self._session: Connection | None = None
        self._taken: set[int] = set()

    @property
    def are_our_own(self) -> bool:
        """Whether no other process takes any, so that nobody has to be asked: to take one then waits for nothing."""
        return self._engine is None

    def take(self, work: str) -> Turn | None:
        """Return the turn for some work, None where another process has it, or another task of this one.

        Raises:
            StorageUnavailable: the database cannot be asked.
        """
        number = _number(work)
        with self._lock, storage_errors():
            if number in self._taken:
                return None
            if self._engine is not None and not self._is_given(number):
                return None
            self._taken.add(number)
            return Turn(self, number, self._session)

    def wait_for(self, work: str) -> Turn:
        """Return the turn for some work, once whoever has it gives it back.

        Raises:
            StorageUnavailable: nobody gives it back in time, or the database cannot be asked.
        """
        until_s = time.monotonic() + WAIT_MAX_S
        while (turn := self.take(work)) is None:
            if time.monotonic() > until_s:
                raise StorageUnavailable(
                    "Another process of this node has been at the same work for too long.",
                    remedy="Look at the other processes of this node, then start this one again.",
                )
            time.sleep(WAIT_STEP_S)
        return turn

    def require(self, session: Connection | None) -> None:
        """Return if a session is still the one that holds this process's turns, and still there.

        Raises:
            StorageUnavailable: it is not.
        """
        with self._lock, storage_errors():
            if self._engine is None:
                return
            if session is None or session is not self._session:
                raise unavailable()
            self._ask(session, "SELECT 1")

    def give_back(self, number: int, session: Connection | None) -> None:
        """Let another process have a turn."""
        with self._lock:
            if session is not self._session:
                return  # it went with its session, and may be another task's by now
            self._taken.discard(number)
            if session is not None:
                try:
                    with storage_errors():
                        self._ask(session, f"SELECT pg_advisory_unlock({number})")
                except StorageUnavailable:
                    return  # it went with its session just now

    def close(self) -> None:
        """Give every turn back, and end the session."""
        with self._lock:
            if self._session is not None:
                with suppress(StorageUnavailable), storage_errors():
                    self._ask(self._session, "SELECT pg_advisory_unlock_all()")
            self._end_session()

    def _is_given(self, number: int) -> bool:
        holds_others = bool(self._taken)
        try:
            return self._try(number)
        except Exception:
            if holds_others:
                raise  # they are lost, and whoever has them is to find out
        return self._try(number)  # the session held nothing, and was idle for too long

    def _try(self, number: int) -> bool:
        if self._engine is not None and self._session is None:
            # Never returned to the pool: a lock in it would be somebody else's.
            self._session = self._engine.connect()
            self._session.detach()
            self._ask(self._session, f"SET idle_session_timeout = '{FROZEN_FOR_MAX_S}s'")
        assert self._session is not None, "asked only where there is a server"
        return bool(self._ask(self._session, f"SELECT pg_try_advisory_lock({number})"))

    def _ask(self, session: Connection, question: str) -> object:
        """Ask the session; one that fails is ended, and all turns with it."""
        try:
            answer = session.execute(text(question))
            return answer.scalar() if answer.returns_rows else None
        except BaseException:
            self._end_session()
            raise

    def _end_session(self) -> None:
        session, self._session = self._session, None
        self._taken.clear()
        if session is not None:
            session.close()


def _number(work: str) -> int:
    """Return the number of the lock for some work: 63 bits of a digest, so that no two kinds of work share one."""
    return int.from_bytes(hashlib.sha256(f"tallystick/turn/{work}".encode()).digest()[:8], "big") >> 1
