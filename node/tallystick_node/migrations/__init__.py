"""Migrations: how a database becomes one that this version works with.

Revisions are numbered, run by alembic, and never changed once they are released; 0001 is what the first version made,
before there were any, and a database of that version is recognised by its tables. There is no way back: a log only
grows, and whoever wants an older version restores a backup.

All that is missing is done in one transaction, which begins alone like any other write: several replicas that start at
once upgrade once, and one that fails leaves the database as it was. The triggers that keep the log append-only are
taken off before and put on again after, as they stand in `triggers`, so a revision that changes them is an empty one.

Source: alembic manual (connection sharing, batch migrations for SQLite).
"""

import threading
from collections.abc import Callable
from enum import StrEnum
from importlib import resources
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, MetaData, inspect, text
from sqlmodel import SQLModel

from tallystick_node.errors import SettingsInvalid
from tallystick_node.keys.custody_tables import CUSTODY
from tallystick_node.migrations.triggers import drop_triggers, make_triggers
from tallystick_node.storage import tables as tables  # the models register themselves
from tallystick_node.storage.database import Place, close, connect, storage_errors, writing

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "alembic_version"
NUMBER_SIZE = 4


class Schema(StrEnum):
    """Which of a node's two databases; the folder of its revisions has the same name."""

    NODE = "node"
    CUSTODY = "custody"

    @property
    def metadata(self) -> MetaData:
        """The tables as the models have them."""
        return SQLModel.metadata if self is Schema.NODE else CUSTODY

    @property
    def landmark(self) -> str:
        """A table that every version of this database has had."""
        return "head" if self is Schema.NODE else "secret"

    @property
    def first(self) -> str:
        """The revision of a database that was made before there were any."""
        return f"{self}_{1:0{NUMBER_SIZE}}"


class DatabaseNotEmpty(SettingsInvalid):
    """There is something in a database that must be empty."""


_one_at_a_time = threading.Lock()
"""Alembic keeps what it works on in module globals."""


def latest(schema: Schema) -> str:
    """Return the revision that this version works with: the last of the files `rNNNN_about.py`."""
    names = [file.name for file in resources.files("tallystick_node.migrations").joinpath(schema).iterdir()]
    return f"{schema}_{max(name[1 : 1 + NUMBER_SIZE] for name in names if name.startswith('r'))}"


def revision_of(engine: Engine) -> str:
    """Return a database's revision, "" where it has none.

    Raises:
        StorageUnavailable: it cannot be read.
    """
    with storage_errors(), engine.connect() as connection:
        return revision_in(connection)


def revision_in(connection: Connection) -> str:
    """Return the revision that a transaction sees, "" where the database has none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return ""
    return str(connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() or "")  # noqa: S608


def open_database(place: Place, schema: Schema = Schema.NODE, *, alone: bool = False) -> Engine:
    """Return the engine of a database, upgraded first where it is of an older version, or empty.

    Args:
        place: where it is.
        schema: which of the two it is.
        alone: one connection, for a file whose deleted bytes must not stay in it.

    Raises:
        SettingsInvalid: it was made by a newer version, or it is the other one of the two.
        StorageUnavailable: it cannot be used, or somebody holds it; nothing was changed.
    """
    engine = connect(place, alone=alone)
    try:
        if revision_of(engine) != latest(schema):
            migrate(place, schema)
    except BaseException:
        engine.dispose()
        raise
    return engine


def migrate(place: Place, schema: Schema) -> tuple[str, str]:
    """Upgrade a database; return its revision before and after.

    Raises:
        SettingsInvalid: it was made by a newer version, or it is the other one of the two.
        StorageUnavailable: it cannot be used, or somebody holds it; nothing was changed.
    """
    engine = connect(place, patient=True)
    try:
        with _one_at_a_time, storage_errors(), writing(engine).begin() as connection:
            return _migrate(connection, schema)
    finally:
        engine.dispose()


def rebuild(place: Place, schema: Schema, revision: str, load: Callable[[Connection], None]) -> None:
    """Make an empty database what it was at a revision, let its rows be put in, and upgrade it; all of it or nothing.

    Args:
        place: where it is.
        schema: which of the two it is.
        revision: of the rows.
        load: puts them in; the triggers that keep the log append-only are off.

    Raises:
        DatabaseNotEmpty: there is something in the database.
        StorageUnavailable: it cannot be used, or somebody holds it; nothing was changed.
    """
    from alembic import command

    assert revision <= latest(schema), "rows of a newer version are refused before"
    engine = connect(place, patient=True)
    try:
        with _one_at_a_time, storage_errors(), writing(engine).begin() as connection:
            if inspect(connection).get_table_names():
                raise DatabaseNotEmpty("The database is not empty.", remedy="Name an empty one.")
            config = alembic_config(schema, connection)
            command.upgrade(config, revision)
            load(connection)
            command.upgrade(config, "head")
            make_triggers(connection, schema)
    finally:
        close(engine)


def alembic_config(schema: Schema, connection: Connection) -> "Config":
    """Return what alembic's own commands need, such as the one that drafts a revision."""
    from alembic.config import Config  # half a second that a node whose database is up to date need not wait

    root = resources.files("tallystick_node.migrations")
    config = Config(attributes={"connection": connection, "metadata": schema.metadata})
    config.set_main_option("script_location", str(root))
    config.set_main_option("version_locations", str(root.joinpath(schema)))
    config.set_main_option("path_separator", "newline")
    return config


def _migrate(connection: Connection, schema: Schema) -> tuple[str, str]:
    from alembic import command

    before, found = revision_in(connection), inspect(connection)
    others = [other.landmark for other in Schema if other is not schema]
    if any(found.has_table(other, schema=each) for other in others for each in found.get_schema_names()):
        raise SettingsInvalid(
            "The node's rows and its keys are to lie in one database.",
            remedy="Give custody a database of its own: keys live apart from data and its backups.",
        )
    if before > latest(schema):
        raise SettingsInvalid(
            "The database was made by a newer version of the node.", remedy="Run that version, or a later one."
        )
    config = alembic_config(schema, connection)
    if not before and found.has_table(schema.landmark):
        before = schema.first
        command.stamp(config, before)
    drop_triggers(connection, schema)
    command.upgrade(config, "head")
    make_triggers(connection, schema)
    return before, latest(schema)
