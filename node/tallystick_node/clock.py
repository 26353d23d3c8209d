"""What time it is: the system's, a sandbox's file, or a test's.

Every timer and signature of a node reads one of these, so that months pass in a second where they may.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tallystick_ledger.times import DAY_S
from tallystick_node.errors import ClockBehind, SettingsInvalid

CLOCK_BACK_MAX_S = 300
"""How far the clock may be behind the log's last entry, as clocks are set right now and then, before nothing is written
until it is right. It is the margin that promise P16 gives an entry's time."""


def steady_s(now_s: int, last_s: int) -> int:
    """Return the time of the next entry: the clock's, but never before that of the entry before it.

    Args:
        now_s: what the clock says, seconds since 1970-01-01 UTC.
        last_s: when the log's last entry was recorded.

    Raises:
        ClockBehind: the clock is behind that by more than `CLOCK_BACK_MAX_S`.
    """
    if now_s < last_s - CLOCK_BACK_MAX_S:
        raise ClockBehind(
            f"The clock is {span_text(last_s - now_s)} behind the log's last entry;"
            " nothing is written until it is right.",
            remedy="Set the clock right: that of a sandbox is what TALLYSTICK_CLOCK_FILE names, in every terminal."
            " If it is right now, and was ahead before: tally-node accept-clock FOLDER",
        )
    return max(now_s, last_s)


def span_text(seconds: int) -> str:
    """Return a span of time as people say it: in the largest unit of which there are two, rounded down."""
    for unit, size_s in (("days", DAY_S), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds // size_s} {unit}"
    return f"{seconds} seconds"


class Clock(Protocol):
    """Tells the time."""

    def now_s(self) -> int:
        """Return whole seconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_s(self) -> int:
        """Return whole seconds since 1970-01-01 UTC."""
        return int(time.time())


@dataclass(slots=True)
class FileClock:
    """A sandbox's clock: whole seconds since 1970-01-01 UTC, as decimal text in a file that somebody else moves."""

    path: Path

    def now_s(self) -> int:
        """Return what the file says.

        Raises:
            SettingsInvalid: the file is not there, or holds something else.
        """
        try:
            text = self.path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            text = ""
        if not (text.isdecimal() and len(text) <= 12):
            raise SettingsInvalid(
                "The sandbox clock file does not hold a time.",
                remedy="Write whole seconds since 1970-01-01 UTC into it, by renaming a new file over it.",
            )
        return int(text)


@dataclass(slots=True)
class SetClock:
    """A clock that stands still until it is set."""

    at_s: int

    def now_s(self) -> int:
        """Return the time that was set."""
        return self.at_s
