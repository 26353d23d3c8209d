"""A rule tried on a past period, before anybody agrees to it: how many would be answered, and why the others not.

Pure. It reads events and reports counts, for the operator whose events they are; nothing is issued, and no subject is
named.

Source: API section 10 (dry run of a program on past months).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tallystick_consent.events import JourneyEvent
from tallystick_consent.rules.days import NO_ZONES, Zones
from tallystick_consent.rules.evaluate import evaluate, slots_of
from tallystick_consent.rules.first import AnyRule
from tallystick_consent.rules.periods import Period


@dataclass(frozen=True, slots=True)
class PastPeriod:
    """What a rule would have said of one period.

    Attributes:
        period: its name.
        subjects: how many had any event at all that the rule reads.
        answers: how many answers would have been sent.
        bands: how many in each band, where the rule has bands.
        counted: how many events stand behind answers, or would if they were enough.
        not_counted: how many do not, by the reason.
        flags: what a person should look at, by how often.
    """

    period: str
    subjects: int
    answers: int
    bands: dict[int, int]
    counted: int
    not_counted: dict[str, int]
    flags: dict[str, int]


def dry_run(
    rule: AnyRule,
    histories: Iterable[Sequence[JourneyEvent]],
    *,
    period: Period,
    zones_of: Callable[[Sequence[JourneyEvent], Period], Zones] | None = None,
) -> PastPeriod:
    """Return what a rule would have said of a past period.

    Args:
        rule: the rule.
        histories: the events of each subject; read once, one subject after the other.
        period: the period.
        zones_of: a subject's own zones, where the rule's basis asks for one.
    """
    tally = _Tally(period)
    for events in histories:
        tally.add(rule, events, NO_ZONES if zones_of is None else zones_of(events, period))
    return tally.shown()


class _Tally:
    """The counts of one period."""

    def __init__(self, period: Period) -> None:
        self.period = period
        self._subjects = self._answers = self._counted = 0
        self._bands: Counter[int] = Counter()
        self._left: Counter[str] = Counter()
        self._flags: Counter[str] = Counter()

    def add(self, rule: AnyRule, events: Sequence[JourneyEvent], zones: Zones) -> None:
        """Count one subject."""
        found = [evaluate(rule, events, period=self.period, zones=zones, slot=slot) for slot in slots_of(rule, events)]
        self._subjects += any(each.counted or each.not_counted for each in found)
        for each in found:
            self._answers += each.satisfied
            self._counted += each.counted
            self._left.update(each.not_counted)
            self._flags.update(each.flags)
            if each.band is not None:
                self._bands[each.band] += 1

    def shown(self) -> PastPeriod:
        """Return the counts."""
        return PastPeriod(
            period=self.period.name,
            subjects=self._subjects,
            answers=self._answers,
            bands=dict(sorted(self._bands.items())),
            counted=self._counted,
            not_counted=dict(sorted(self._left.items())),
            flags=dict(sorted(self._flags.items())),
        )
