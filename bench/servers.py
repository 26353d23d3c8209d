"""A PostgreSQL for benchmarks: the one that is named, else one of our own from the system's binaries, on the same disk.

Its durability is as a server comes: `fsync` and `synchronous_commit` are on.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bench import logs

SERVER_VARIABLE = "TALLYSTICK_TEST_POSTGRES"
BINARIES = Path("/usr/lib/postgresql")
STARTED_WITHIN_S = 30


@contextmanager
def postgres() -> Generator[str | None]:
    """Give the address of a server whose user may create databases; None where there is none."""
    binaries = sorted(BINARIES.glob("*/bin"), key=lambda path: int(path.parent.name))
    if os.environ.get(SERVER_VARIABLE):
        yield os.environ[SERVER_VARIABLE]
    elif not binaries:
        yield None
    else:
        with logs.folder() as folder:
            yield from _started(binaries[-1], folder)


def fresh(server: str) -> str:
    """Make a database on a server; return its address."""
    import psycopg  # only where there is a server to speak to

    name = f"bench_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.rpartition("/")[0] + f"/{name}"


def drop(server: str, url: str) -> None:
    """Remove a database that `fresh` made."""
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")


def _started(binaries: Path, folder: Path) -> Generator[str]:
    import psycopg

    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    subprocess.run(
        [binaries / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C"],
        check=True,
        stdout=subprocess.DEVNULL,
        user=user,
        cwd=folder,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = (f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}")
    process = subprocess.Popen(
        [binaries / "postgres", "-D", data, *(word for option in options for word in ("-c", option))],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=user,
        cwd=folder,
    )
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    try:
        until_s = time.monotonic() + STARTED_WITHIN_S
        while True:
            try:
                psycopg.connect(url, connect_timeout=2).close()
                break
            except psycopg.OperationalError:
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(STARTED_WITHIN_S)
