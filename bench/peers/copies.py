"""Plain PostgreSQL: one row an entry by binary COPY, and nothing that a ledger adds.

Source: PostgreSQL manual (COPY, binary format), psycopg 3 manual.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

try:
    import psycopg  # an extra of ours, and the driver of both sides
except ImportError:
    psycopg = None  # type: ignore[assignment]


@contextmanager
def open_rows(url: str) -> "Generator[psycopg.Connection]":
    """Give a connection to a database that holds one empty table."""
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS entry")
        connection.execute("CREATE TABLE entry (number bigint PRIMARY KEY, raw bytea NOT NULL)")
        connection.commit()
        yield connection


def copy_rows(connection: "psycopg.Connection", raws: Sequence[bytes], *, count: int, batch: int) -> None:
    """Copy entries in, `batch` of them a commit, begun anew where `count` is larger."""
    for start in range(0, count, batch):
        with connection.cursor() as cursor, cursor.copy("COPY entry (number, raw) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "bytea"])
            for number in range(start, min(count, start + batch)):
                copy.write_row((number, raws[number % len(raws)]))
        connection.commit()
