"""A clock that runs behind the log: said before anything is written by it, and accepted where the log was ahead."""

import os
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select, update

from tallystick_node.clock import CLOCK_BACK_MAX_S, Clock, SystemClock, steady_s
from tallystick_node.config import CLOCK_VARIABLE, databases_of, load_settings
from tallystick_node.errors import ClockBehind
from tallystick_node.operator.database import node_database
from tallystick_node.setup import read_keys
from tallystick_node.storage.database import storage_errors, writing
from tallystick_node.storage.tables import HEADS


def clock_to_accept(folder: Path, *, clock: Clock) -> int:
    """Return how far the log's last entry is ahead of the clock, where an operator may accept that; 0 where the node
    writes by this clock anyway. In seconds.

    Raises:
        ClockBehind: what would be written holds for nobody, whatever the operator says: a sandbox's clock is not named
            in this terminal, or the clock is before the log's year, or before a key that would sign.
    """
    now_s = clock.now_s()
    with node_database(folder) as engine, storage_errors(), engine.connect() as connection:
        last = select(HEADS.c.log, HEADS.c.last_at_s).where(HEADS.c.successor.is_(None))
        row = connection.execute(last.order_by(HEADS.c.last_at_s.desc()).limit(1)).first()
    if row is None or row.last_at_s - now_s <= CLOCK_BACK_MAX_S:
        return 0
    if load_settings(folder).sandbox and isinstance(clock, SystemClock):
        raise ClockBehind(
            "A sandbox's log is not set back by this machine's clock, since it has most likely one of its own.",
            remedy=f"Name the sandbox's clock: export {CLOCK_VARIABLE}=FILE",
        )
    begins_s = int(datetime(int(row.log[:4]), 1, 1, tzinfo=UTC).timestamp())
    keys_begin_s = max(key.from_s for key in read_keys(folder).keys if key.is_current)
    for since_s, what in ((begins_s, "the year of its log"), (keys_begin_s, "a key that would sign it")):
        if now_s < since_s:
            raise ClockBehind(
                f"By this clock, what the node writes next is of a time before {what}; no audit would let that hold.",
                remedy=f"Set the clock right. If it is right: wait until {datetime.fromtimestamp(since_s, UTC)}, or put"
                " a backup back that was made before the clock was wrong.",
            )
    return int(row.last_at_s - now_s)


def accept_clock(folder: Path, *, clock: Clock) -> int:
    """Let the log go on by a clock that is behind its last entry, since that one was wrong; return by how many seconds.

    Times run back in the log there, once, for everybody to see; that is what the operator says yes to.

    Raises:
        ClockBehind: as `clock_to_accept`; nothing was changed.
    """
    behind_s = clock_to_accept(folder, clock=clock)
    if behind_s:
        now_s = clock.now_s()
        with node_database(folder) as engine, storage_errors(), writing(engine).begin() as connection:
            ahead = (HEADS.c.last_at_s > now_s, HEADS.c.successor.is_(None))
            connection.execute(update(HEADS).where(*ahead).values(last_at_s=now_s))
    return behind_s


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
