"""Who the people of the story are, when they train, and every private value that is put in.

All of them are invented. The months are those of SCENARIOS section 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

ZONE = "America/New_York"
NEW_YORK = ZoneInfo(ZONE)
CLUB = "club-brooklyn-7"

ANA_MARCH = {1: 55, 2: 48, 4: 61, 5: 40, 8: 52, 9: 35, 11: 70, 12: 44, 15: 58, 18: 22, 19: 47, 22: 65, 25: 51}
"""Day and minutes of each visit: thirteen visits, twelve of half an hour or more."""

ANA_APRIL = {2: 41, 5: 52, 6: 47, 9: 63, 12: 38, 13: 55, 16: 49, 20: 71, 22: 44, 26: 58, 29: 46}
"""Eleven visits, eleven such days: one too few."""

ANA_MAY = {3: 50, 4: 45, 6: 62, 7: 39, 10: 53, 11: 48, 13: 57, 14: 42, 17: 66, 18: 54}
"""Ten such days, before she stops."""

BEN_MAY = {1: 44, 3: 58, 5: 49, 8: 51, 10: 67, 12: 43, 15: 56, 17: 47, 19: 52, 22: 64, 26: 48, 29: 59}
DANA_MAY = {4: 46, 6: 53, 7: 41, 11: 62, 13: 49, 14: 57, 18: 45, 20: 68, 25: 51, 27: 43}
"""Ten days at the gym; two more in the hills, from her own watch."""


@dataclass(slots=True)
class Person:
    """Somebody who is a member of the gym and a customer of the insurer.

    Attributes:
        at_gym: the gym's own id of her; it takes e-mail addresses for that.
        at_insurer: the insurer's own id of her.
        gym_hint: what she recognises her account at the gym by; the insurer's node shows it to her.
        insurer_hint: the other way round.
        link, receipt: once there is one.
    """

    name: str
    at_gym: str
    at_insurer: str
    gym_hint: str
    insurer_hint: str
    link: str = ""
    receipt: str = ""


def ana() -> Person:
    """Return Ana, whose journey it is."""
    return Person("Ana Ferreira", "ana.ferreira@mail.example", "POL-88-204417", "member since 2020", "policy ending 17")


def ben() -> Person:
    """Return Ben, whose insurer is down when his month closes."""
    return Person("Ben Okafor", "ben.okafor@mail.example", "POL-88-310925", "member since 2024", "policy ending 25")


def dana() -> Person:
    """Return Dana, who also trains where there is no turnstile."""
    return Person("Dana Novak", "dana.novak@mail.example", "POL-88-471163", "member since 2022", "policy ending 63")


@dataclass
class Private:
    """Every private value that was put in, by the company it was put in at; it only grows."""

    issuer: set[str] = field(default_factory=set[str])
    payer: set[str] = field(default_factory=set[str])
    hints: set[str] = field(default_factory=set[str])
    """What each company shows its customer of the other's account, sealed on its way: told, so no secret from it."""

    erased: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """What is to stand in no file of a company any more, by its name."""

    def person(self, person: Person) -> None:
        """Count in who somebody is."""
        self.issuer |= {person.name, person.at_gym}
        self.payer |= {person.name, person.at_insurer}
        self.hints |= {person.gym_hint, person.insurer_hint}

    def visit(self, data: Mapping[str, Any]) -> None:
        """Count in where, when and how long a visit was, in each way it could be written."""
        started_at, ended_at = datetime.fromisoformat(data["started_at"]), datetime.fromisoformat(data["ended_at"])
        self.issuer |= {data["facility"], data["started_at"], data["ended_at"], started_at.date().isoformat()}
        self.issuer |= {str(int(moment.timestamp())) for moment in (started_at, ended_at)}
        self.issuer |= {str(int((ended_at - started_at).total_seconds()))}


def evening(month: str, day: int, minutes: int) -> tuple[datetime, datetime]:
    """Return start and end of a visit on an evening of a month such as `2027-03`."""
    started_at = datetime.fromisoformat(f"{month}-{day:02} 18:{day:02}").replace(tzinfo=NEW_YORK)
    return started_at, started_at + timedelta(minutes=minutes)


def local_s(text: str) -> int:
    """Return the seconds since 1970-01-01 UTC of a New York time such as `2027-03-05 18:00`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp())


PROGRAM: dict[str, Any] = {
    "program": "ins-fit",
    "version": 1,
    "title": "Twelve active days a month",
    "payer": "insurer.example",
    "issuers": ["gym.example"],
    "purpose": "dpv:PersonalisedBenefits",
    "rung": "predicate",
    "data_classes": ["membership", "visit"],
    "rule": {
        "events": "visit.ended",
        "where": [{"member": "source", "one_of": ["geofence", "turnstile"]}],
        "merge_within_s": 8 * 3600,
        "day_basis": "facility_local",
        "day_min_elapsed_s": 30 * 60,
        "measure": "qualified_days",
        "at_least": 12,
        "period": "calendar_month",
        "zone": ZONE,
        "close_day": 15,
        "requires_active": "membership",
    },
    "claim_valid_days": 30,
    "consent_days": 365,
    "retention_days": 90,
    "reward": {"asset": "USD/2", "amount": 2000},
    "budget": {"asset": "USD/2", "amount": 10000},
    "fee": {"asset": "USD/2", "amount": 100},
    "notice": {
        "statement": "Your gym tells your insurer whether you were a member and trained on 12 days or more in a month.",
        "example": "They see: at least 12 days in March: yes; seen by turnstile.",
        "silence": "If nothing comes, they can take it that you did not, that nothing was seen, or that you stopped.",
        "hidden": "Never: how often, when, where, how long, or what you did.",
        "reward": "$20.00 off your premium for each such month.",
    },
}
"""The contract of the two companies, as data: SCENARIOS section 1."""

_CALLED = {"track": "activity app", "pace": "bank"}


def called(company: str) -> str:
    """Return what the story calls a company, by the name of its folder."""
    return _CALLED.get(company, company)


AGREED = ["12", "100", "1800", "2000", "10000", "28800", "$1.00", "$20.00"]
"""Values that both know by that contract."""
