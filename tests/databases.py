"""Where the nodes of the tests keep their rows: SQLite files, or databases of a real PostgreSQL.

`TALLYSTICK_TEST_DATABASE=postgresql` puts every node of the suite on PostgreSQL; tests that are about PostgreSQL ask
for one by themselves. The server is the one that `TALLYSTICK_TEST_POSTGRES` names (a URL whose user may create
databases), else one of our own from Debian's binaries, else there is none, and the tests that need one are skipped.
"""

import atexit
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from tallystick_node.config import Databases
from tallystick_node.migrations import Schema, migrate
from tallystick_node.storage.staging import beside

KIND_VARIABLE = "TALLYSTICK_TEST_DATABASE"
SERVER_VARIABLE = "TALLYSTICK_TEST_POSTGRES"
ON_POSTGRES = os.environ.get(KIND_VARIABLE, "sqlite") == "postgresql"
STARTED_WITHIN_S = 30

NO_SERVER = f"needs PostgreSQL: set {SERVER_VARIABLE}, or install Debian's postgresql"


class Server:
    """A PostgreSQL that makes fresh databases by copying one that is migrated already."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._run = f"tally_{secrets.token_hex(4)}"
        self._made: list[str] = []

    def fresh(self, schema: Schema | None) -> str:
        """Return the address of a fresh database, its tables made where a schema is named."""
        name = f"{self._run}_{len(self._made)}"
        template = None if schema is None else self._template(schema)
        self._create(name, template)
        return self.at(name)

    def copy(self, url: str) -> str:
        """Return the address of a copy of a database that nobody uses now."""
        name = f"{self._run}_{len(self._made)}"
        self._create(name, urlsplit(url).path[1:])
        return self.at(name)

    def replace(self, url: str, *, by: str) -> None:
        """Put a copy of another database in the place of one that nobody uses now."""
        name = urlsplit(url).path[1:]
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
        self._create(name, urlsplit(by).path[1:])

    def empty(self, url: str) -> None:
        """Put an empty database in the place of one that nobody uses now."""
        name = urlsplit(url).path[1:]
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
        self._create(name, None)

    def at(self, database: str) -> str:
        """Return the address of a database of this server."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    def run(self, statement: str) -> None:
        """Run one statement as the server's owner."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def drop_all(self) -> None:
        """Remove what was made here, also while somebody holds it."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for name in self._made:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @cache  # noqa: B019  # lives as long as the run
    def _template(self, schema: Schema) -> str:
        name = f"{self._run}_{schema}"
        self._create(name, None)
        migrate(self.at(name), schema)
        return name

    def _create(self, name: str, template: str | None) -> None:
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(made.format(sql.Identifier(name), sql.Identifier(template or "template0")))
        self._made.append(name)


@cache
def server() -> Server | None:
    """Return the server that tests use, started where that is ours to do; None where there is none."""
    named = os.environ.get(SERVER_VARIABLE)
    if named:
        found = Server(named)
        atexit.register(found.drop_all)
        return found
    return start_server()


def required_server() -> Server:
    """Return the server; skip the test that asks where there is none."""
    found = server()
    if found is None:
        pytest.skip(NO_SERVER)
    return found


def settings_for_databases(*, on_postgres: bool = ON_POSTGRES) -> dict[str, str]:
    """Return where a new node is to keep its rows and keys, as `create_node` takes it."""
    if not on_postgres:
        return {}
    here = required_server()
    return {"database": here.fresh(Schema.NODE), "custody_database": here.fresh(Schema.CUSTODY)}


def lay_files(databases: Databases) -> None:
    """Put migrated databases where a new node keeps its rows and keys in files: copies, as `Server.fresh` makes."""
    for place, schema in ((databases.node, Schema.NODE), (databases.custody, Schema.CUSTODY)):
        if isinstance(place, Path):
            place.parent.mkdir(mode=0o700, exist_ok=True)
            place.touch(mode=0o600)
            place.write_bytes(_migrated_file(schema))


@cache
def _migrated_file(schema: Schema) -> bytes:
    with tempfile.TemporaryDirectory(prefix="tally-template-") as folder:
        file = Path(folder) / "fresh.db"
        migrate(file, schema)
        assert not any(each.exists() for each in beside(file)[1:]), "all of it is in the one file"
        return file.read_bytes()


_AS_LONG_AS_WE_RUN = '"$@" & read -r _; kill -QUIT $!; wait'
"""The server ends, at once, with its standard input: so also with a test run that is killed."""


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(*, password: str = "") -> Server | None:
    """Start a server for this run alone, None where its binaries are not there.

    It does not survive a power failure, which is not what these tests try.

    Args:
        password: of its owner; nobody needs one where it is empty.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        return None
    binaries, folder = found[-1], Path(tempfile.mkdtemp(prefix="tally-postgres-"))
    (folder / "password").write_text(password or "unused")
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
        shutil.chown(folder / "password", user)
    known = f"--pwfile={folder}/password", "-A", "scram-sha-256" if password else "trust"
    subprocess.run(
        [binaries / "initdb", "-D", folder / "data", *known, "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"],
        check=True,
        stdout=subprocess.DEVNULL,
        user=user,
        cwd=folder,
    )
    port = free_port()
    place = f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}"
    quick = "fsync=off", "full_page_writes=off", "autovacuum=off", "max_connections=300", "shared_buffers=64MB"
    options = [word for option in (*place, *quick) for word in ("-c", option)]
    with (folder / "log").open("wb") as errors:
        process = subprocess.Popen(
            ["sh", "-c", _AS_LONG_AS_WE_RUN, "sh", binaries / "postgres", "-D", folder / "data", *options],
            stdin=subprocess.PIPE,
            stdout=errors,
            stderr=errors,
            user=user,
            cwd=folder,
        )
    atexit.register(_stop, process, folder, os.getpid())
    account = f"postgres:{password}" if password else "postgres"
    url = f"postgresql://{account}@127.0.0.1:{port}/postgres"
    until = time.monotonic() + STARTED_WITHIN_S
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, "PostgreSQL does not start"
            time.sleep(0.02)
        else:
            return Server(url)


def _stop(process: subprocess.Popen[bytes], folder: Path, owner: int) -> None:
    if os.getpid() != owner:  # a forked child of the tests has nothing to stop
        return
    assert process.stdin is not None
    process.stdin.close()
    process.wait(STARTED_WITHIN_S)
    shutil.rmtree(folder)
