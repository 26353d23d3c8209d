"""Partners' logs that do not show any more what they had shown: which, since when, and for how long it is put down to
an upgrade or a cache.

Nobody signs what is not there, so a log that is gone, or shows less than before, convicts nobody. Who follows it keeps
the head that it signed and what was found in its place; with that head in hand, anybody can ask the log for it.

Source: DESIGN P1, docs/evidence.md (`withheld`).
"""

from dataclasses import dataclass

from tallystick.evidence import SHOWN_SIZE_MAX_BYTES, Withheld
from tallystick.growth import SeenHead

MISSED_FOR_S = 3_600
"""How long a log must not have shown what it had shown before, at every look, until that is evidence."""

MISSING_CODES = frozenset({"log_gone", "log_rolled_back", "reply_forged"})
"""Troubles in following a log in which it does not show what it had shown."""


@dataclass(frozen=True, slots=True)
class _Since:
    code: str
    at_s: int
    is_kept: bool = False


class Missed:
    """The logs that were found so by this process, at their last looks."""

    def __init__(self) -> None:
        """Begin with none."""
        self._logs: dict[str, _Since] = {}

    def told(self) -> str:
        """Return them for an operator to read; "" for none."""
        return ", ".join(f"{origin} ({each.code})" for origin, each in sorted(self._logs.items()))

    def found(self, origin: str) -> None:
        """Forget that a log was missed: it shows what it had shown."""
        self._logs.pop(origin, None)

    def missing(self, last: SeenHead, *, code: str, shown: bytes, now_s: int) -> Withheld | None:
        """Take down that a log does not show what it had; return the evidence where it is time to keep it, once.

        Args:
            last: the head that it had shown.
            code: how it was found, one of `MISSING_CODES`.
            shown: what it shows in its place, empty where there is no log.
            now_s: seconds since 1970-01-01 UTC.
        """
        origin = last.checkpoint.origin
        before = self._logs.get(origin)
        since_s = now_s if before is None else before.at_s
        is_kept = before is not None and before.is_kept
        is_time = not is_kept and now_s - since_s >= MISSED_FOR_S
        self._logs[origin] = _Since(code, since_s, is_kept or is_time)
        if not is_time:
            return None
        return Withheld(last.keys, last.note, since_s, now_s, shown[:SHOWN_SIZE_MAX_BYTES])
