"""What time it is: the system's, a sandbox's file, or a test's.

Every timer and signature of a node reads one of these, so that months pass in a second where they may.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tallystick_node.errors import SettingsInvalid


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
