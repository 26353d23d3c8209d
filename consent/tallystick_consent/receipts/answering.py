"""Answers to what a person asked a company for: until when, and on which grounds no may be said.

Pure. Grounds are a closed list, so that nothing personal is written with them.

Source: GDPR articles 12(2), 12(3), 12(5) and 17(3); Regulation 1182/71, article 3(2)(c) (periods in months).
"""

from calendar import monthrange
from datetime import UTC, datetime
from typing import Literal

Declined = Literal[
    "not_identified", "legal_obligation", "legal_claims", "right_as_recorded", "rule_applied", "manifestly_unfounded"
]
"""Why a request or a contest is declined."""

GROUNDS_OF: dict[str, frozenset[Declined]] = {
    "erase": frozenset({"not_identified", "legal_obligation", "legal_claims", "manifestly_unfounded"}),
    "dispute": frozenset({"not_identified", "right_as_recorded", "manifestly_unfounded"}),
    "contest": frozenset({"right_as_recorded", "rule_applied", "manifestly_unfounded"}),
}
"""Which grounds fit what was asked for."""


Delayed = Literal["complex", "many_requests"]
"""Why an answer takes longer than a month: how complex the request is, or how many there are. Nothing else is one."""

MONTHS_EXTENDED = 3
"""Within how many months of the request an answer is due that takes longer: the month, and two further ones."""


def answer_by_s(asked_at_s: int, *, months: int = 1) -> int:
    """Return by when an answer is due: so many months later, on the same day, or on the month's last where it has none.

    Both are seconds since 1970-01-01 UTC.
    """
    asked = datetime.fromtimestamp(asked_at_s, UTC)
    later = asked.month - 1 + months
    year, month = asked.year + later // 12, later % 12 + 1
    day = min(asked.day, monthrange(year, month)[1])
    return int(asked.replace(year=year, month=month, day=day).timestamp())
