"""The database of a node, opened for one piece of work."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from tallystick_node.config import databases_of, load_settings
from tallystick_node.migrations import Schema, open_database
from tallystick_node.storage.database import close


@contextmanager
def node_database(folder: Path) -> Generator[Engine]:
    """Open a node's database for one piece of work, beside a node that may be running.

    Raises:
        SettingsInvalid: there is no node, or its database is not of this version.
        StorageUnavailable: it cannot be used now.
    """
    engine = open_database(databases_of(load_settings(folder), folder, os.environ).node, Schema.NODE)
    try:
        yield engine
    finally:
        close(engine)
