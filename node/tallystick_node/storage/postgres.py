"""Connections to PostgreSQL that wait for nothing without a bound, and whose commits are on disk.

The server is told its bounds when a connection is made; a server that has stopped answering cannot keep them, so the
client has a bound of its own behind them, and then gives the connection up.

Source: PostgreSQL manual 20.11 (client connection defaults), 34.1.2 (connection parameters), psycopg 3 manual.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from tallystick_node.errors import SettingsInvalid

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 30
LOCK_TIMEOUT_S = 5
SILENT_MAX_S = 15
"""How long a connection whose other end is gone, without a word, is kept; by both ends."""

_SERVER_SETTINGS = {
    "synchronous_commit": "on",  # an acknowledged write is on disk, whatever the server's default is
    "lock_timeout": f"{LOCK_TIMEOUT_S}s",
    "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
    "idle_in_transaction_session_timeout": f"{STATEMENT_TIMEOUT_S}s",  # a process that froze lets go of its locks
    "tcp_keepalives_idle": f"{SILENT_MAX_S // 3}s",
    "tcp_keepalives_interval": f"{SILENT_MAX_S // 3}s",
    "tcp_keepalives_count": "2",
    "timezone": "UTC",
    "client_encoding": "UTF8",
}

_SOCKET_SETTINGS = {
    "keepalives": 1,
    "keepalives_idle": SILENT_MAX_S // 3,
    "keepalives_interval": SILENT_MAX_S // 3,
    "keepalives_count": 2,
    "tcp_user_timeout": SILENT_MAX_S * 1_000,
}

T = TypeVar("T")


class BoundedConnection(psycopg.Connection[tuple[object, ...]]):
    """A connection that is closed when one exchange with the server takes longer than `wait_max_s`."""

    wait_max_s: float | None = STATEMENT_TIMEOUT_S + SILENT_MAX_S

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Return what one exchange with the server gives.

        Raises:
            psycopg.OperationalError: the server does not answer in time; the connection is closed then.
        """
        try:
            return super().wait(gen, interval, self.wait_max_s if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:  # it still waits for its answer
                self.pgconn.finish()
            raise


def connector(url: str, *, patient: bool = False) -> Callable[[], BoundedConnection]:
    """Return what makes connections to the database at `url`.

    Args:
        url: `postgresql://...`, in the form of libpq; a password may also come from PGPASSWORD or PGPASSFILE.
        patient: statements may take as long as they need; locks are waited for as briefly as ever.

    Raises:
        SettingsInvalid: not an address of that form; the error does not quote it.
    """
    named = parameters(url)
    settings = {**_SERVER_SETTINGS, **({"statement_timeout": "0"} if patient else {})}
    spoken = " ".join(f"-c {name}={value}" for name, value in settings.items())
    options = f"{named.pop('options', '') or ''} {spoken}".strip()
    limits = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "tally-node", **_SOCKET_SETTINGS}
    asked: dict[str, Any] = {**limits, **named, "options": options}

    def make() -> BoundedConnection:
        made = BoundedConnection.connect(**asked)
        if patient:
            made.wait_max_s = None
        return made

    return make


def parameters(url: str) -> dict[str, str]:
    """Return the connection parameters that an address of libpq's form holds, by name.

    Raises:
        SettingsInvalid: not an address of that form; the error does not quote it.
    """
    try:
        return {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError:
        # Not chained: the driver's own words quote the address, which may hold a password.
        raise SettingsInvalid(
            "The address of a PostgreSQL database is not one.",
            remedy="Write postgresql://USER@HOST:PORT/NAME, and the password into PGPASSFILE or the environment.",
        ) from None
