"""Is the time that entries state an honest one? It lies between the times at which others saw the log, and never runs
back.

A head that was cosigned at some time covers entries that were there then, and those behind it were not. A few minutes
are allowed, since no two clocks agree.

Source: DESIGN section 5 (P16); c2sp.org/tlog-cosignature (what a cosignature's time states).
"""

from dataclasses import dataclass, field

from tallystick_consent.replay import TIME_SLACK_S
from tallystick_ledger.replay import Finding

SAMPLE_STEP_S = 15
SAMPLES_MAX = 1 << 17
"""Samples of a log's time that are kept; when there are more, every second one goes, and the step doubles."""


@dataclass(slots=True)
class TimeReplay:
    """The time of one log's entries.

    Attributes:
        after_s: entries from here on were not there yet at this time, when the log was seen before.
        before_s: they were there at this time, when the head that is audited was first cosigned; None where no
            cosignature of it tells.
        newest_s: the latest time that any entry states.
        samples: index and time of entries that were the latest so far, each at least `step_s` after the one before.
        findings: what did not hold, in order.
    """

    after_s: int | None = None
    before_s: int | None = None
    newest_s: int = 0
    step_s: int = SAMPLE_STEP_S
    samples: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    findings: list[Finding] = field(default_factory=list[Finding])

    def take(self, at_s: int, index: int) -> None:
        """Look at the time of the entry at `index`."""
        if self.before_s is not None and at_s > self.before_s + TIME_SLACK_S:
            self._report(index, "An entry states a later time than that at which a head that covers it was cosigned.")
        elif self.after_s is not None and at_s < self.after_s - TIME_SLACK_S:
            self._report(index, "An entry states an earlier time than that at which a head before it was cosigned.")
        if at_s < self.newest_s - TIME_SLACK_S:
            self.findings.append(
                Finding("P16.order", f"entry {index}", "An entry states an earlier time than one before it.")
            )
        elif at_s > self.newest_s:
            self.newest_s = at_s
            if not self.samples or at_s >= self.samples[-1][1] + self.step_s:
                self._sample(index, at_s)

    def latest_before(self, size: int) -> tuple[int, int] | None:
        """Return index and time of an entry among the first `size` that is their latest, or `step_s` short of it."""
        low, high = 0, len(self.samples)
        while low < high:
            middle = (low + high) // 2
            if self.samples[middle][0] < size:
                low = middle + 1
            else:
                high = middle
        return self.samples[low - 1] if low else None

    def _sample(self, index: int, at_s: int) -> None:
        self.samples.append((index, at_s))
        if len(self.samples) > SAMPLES_MAX:
            self.samples = self.samples[::2]
            self.step_s *= 2

    def _report(self, index: int, problem: str) -> None:
        self.findings.append(Finding("P16.window", f"entry {index}", problem))
