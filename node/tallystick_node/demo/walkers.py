"""Who walks in the second journey, how far, and the contract that their steps earn a savings tier by.

The people are invented; where a data folder is given, one more of them walks as a real tracker's file says, its days
moved to the story's month. The steps of every day are private values, and are looked for where they must not be.

Source: SCENARIOS section 3 (3.01).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from tallystick.importing.tables import DaySteps, read_everyones_steps
from tallystick_node.demo.errors import DemoNotRun
from tallystick_node.demo.people import Person

FIRST_DAY = date(2027, 3, 1)
DAYS_COUNT = 31
DAILY_TOTALS = "fitbit_furberg2016/dailyActivity_merged.csv"
HOURS = "fitbit_furberg2016/hourlySteps_merged.csv"
FILES_SIZE_MAX_BYTES = 16 * 1024 * 1024

BANDS = (5_000, 7_500, 10_000, 12_500)
RATES = ("0.50", "0.75", "0.85", "0.95", "1.05")
"""Yearly rates of the five bands, in percent: the bank's own table, no part of the contract."""

CAP = 60_000


@dataclass(frozen=True, slots=True)
class Walker:
    """Somebody with a tracker and a savings account.

    Attributes:
        days: the days of March, as an importer reads them from the tracker's table.
        from_file: whether they are a real file's.
    """

    person: Person
    days: tuple[DaySteps, ...]
    from_file: bool = False

    def band(self) -> int:
        """Return the band by plain arithmetic, for the node's answer to be held against."""
        counted = sum(min(each.steps - each.manual_steps, CAP) for each in self.days if each.agrees is not False)
        return 1 + sum(counted >= bound * DAYS_COUNT for bound in BANDS)

    def is_told(self) -> bool:
        """Return whether enough days count, and the band is one that is sent."""
        return sum(each.agrees is not False for each in self.days) >= 28 and self.band() >= 2


def ana() -> Walker:
    """Return Ana: 348,440 steps, 11,240 a day."""
    person = Person("Ana Ferreira", "ana.ferreira@mail.example", "SAV-41-220917", "tracker since 2023", "ending 17")
    return Walker(person, _days({day: 14_000 if day < 11 else 9_722 for day in range(DAYS_COUNT)}))


def ben() -> Walker:
    """Return Ben, who walks too little for anything to be told."""
    person = Person("Ben Okafor", "ben.okafor@mail.example", "SAV-41-558203", "tracker since 2025", "ending 03")
    return Walker(person, _days({day: 4_317 + 11 * day for day in range(DAYS_COUNT)}))


def find_real_walker(data: Path) -> Walker | None:
    """Return somebody who walks as a real file below `data` says; None where it is not there.

    Of the people in it, the first of whom every day was told and enough days agree with their hours.

    Raises:
        DemoNotRun: the files are there, and show nobody of that kind.
        TableUnreadable: they are no tables of steps.
    """
    totals, hours = (data / each for each in (DAILY_TOTALS, HOURS))
    if not (totals.is_file() and hours.is_file()):
        return None
    people = read_everyones_steps(_bounded(totals), hours=_bounded(hours))
    for name, report in sorted(people.items()):
        days = report.days[:DAYS_COUNT]
        walker = Walker(_dana(name), _moved(days), from_file=True)
        if len(days) == DAYS_COUNT and report.missing_count == 0 and walker.is_told():
            return walker
    raise DemoNotRun("The steps in the data folder show nobody's whole month.", remedy="Leave --data out.")


def _dana(name: str) -> Person:
    return Person("Dana Novak", f"tracker-{name}", "SAV-41-907744", "tracker since 2016", "ending 44")


def _bounded(path: Path) -> bytes:
    if path.stat().st_size > FILES_SIZE_MAX_BYTES:
        raise DemoNotRun("A table of steps is too large for the demo.", remedy="Leave --data out.")
    return path.read_bytes()


def _days(steps: Mapping[int, int]) -> tuple[DaySteps, ...]:
    return tuple(DaySteps(FIRST_DAY + timedelta(days=day), count, 0, None) for day, count in steps.items())


def _moved(days: tuple[DaySteps, ...]) -> tuple[DaySteps, ...]:
    return tuple(replace(each, day=FIRST_DAY + timedelta(days=at)) for at, each in enumerate(days))


PROGRAM: dict[str, Any] = {
    "program": "pace-tier",
    "version": 1,
    "title": "A savings tier for the steps of a month",
    "payer": "pace.example",
    "issuers": ["track.example"],
    "purpose": "dpv:PersonalisedBenefits",
    "rung": "band",
    "data_classes": ["home", "steps"],
    "rule": {
        "language": 2,
        "measures": [
            {
                "measure": "average",
                "events": "steps.day_closed",
                "basis": "subject_home",
                "day": {
                    "take": "sum",
                    "of": "steps",
                    "cap": 60000,
                    "without_manual": True,
                    "sources": ["watch", "phone"],
                },
                "where": [{"member": "assurance", "one_of": ["device", "device_attested"]}],
                "divide_by": "days_in_period",
                "coverage_at_least": 28,
                "outcome": {"bands": [5000, 7500, 10000, 12500], "sent_from": 2},
            }
        ],
        "period": {"span": "calendar_month", "zone": "America/New_York", "close_after_days": 3, "of_home": True},
        "late": {"evidence": "true_up", "up_within_days": 60, "down": "future_only"},
    },
    "claim_valid_days": 30,
    "consent_days": 365,
    "retention_days": 90,
    "reward": {"asset": "TIER/0", "amount": 1},
    "budget": {"asset": "TIER/0", "amount": 100000},
    "fee": {"asset": "USD/2", "amount": 10},
    "notice": {
        "statement": "Your activity app tells your bank in which of five bands your average steps of a month lie.",
        "example": "They see: March in band 4, which is 10,000 to 12,499 steps a day.",
        "silence": "If nothing comes, they can take it that you are in band 1, or that too few days were told.",
        "hidden": "Never: your steps, days, hours, routes, device, or what kind of activity it was.",
        "reward": "The rate of that band on your savings in the month after.",
    },
}
"""The contract of the two companies, as data: docs/examples/pace-tier.json."""

AGREED = ["5000", "7500", "10000", "12500", "60000", "100000", "0.10"]
"""Values that both know by that contract."""
