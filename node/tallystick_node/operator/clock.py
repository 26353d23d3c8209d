"""A clock that runs behind the log: said before anything is written by it, and accepted where the log was ahead."""

import os
from pathlib import Path

from sqlalchemy import func, select, update

from tallystick_node.clock import Clock, steady_s
from tallystick_node.config import databases_of, load_settings
from tallystick_node.operator.database import node_database
from tallystick_node.storage.database import storage_errors, writing
from tallystick_node.storage.tables import HEADS


def accept_clock(folder: Path, *, clock: Clock) -> int:
    """Let the log go on by a clock that is behind its last entry, since that one was wrong; return by how many seconds.

    Times run back in the log there, once, for everybody to see; that is what the operator says yes to.
    """
    now_s, moved_s = clock.now_s(), 0
    with node_database(folder) as engine, storage_errors(), writing(engine).begin() as connection:
        ahead = (HEADS.c.last_at_s > now_s, HEADS.c.successor.is_(None))
        for row in connection.execute(select(HEADS.c.log, HEADS.c.last_at_s).where(*ahead)).all():
            moved_s = max(moved_s, row.last_at_s - now_s)
            connection.execute(update(HEADS).where(HEADS.c.log == row.log).values(last_at_s=now_s))
    return moved_s


def require_clock(folder: Path, clock: Clock) -> None:
    """Return quietly unless the clock is behind the node's log, by which the node itself would write nothing.

    Whatever writes a time beside a running node asks this first: a key that ends, or a backup that dies, by another
    clock than the node's does so at once, or never.

    Raises:
        ClockBehind: it is, by more than clocks may differ.
    """
    place = databases_of(load_settings(folder), folder, os.environ).node
    if isinstance(place, Path) and not place.exists():
        return  # no log yet, and none is made by looking
    with node_database(folder) as engine, storage_errors(), engine.connect() as connection:
        last_s = connection.scalar(select(func.max(HEADS.c.last_at_s)).where(HEADS.c.successor.is_(None)))
    steady_s(clock.now_s(), last_s or 0)
