"""Programs on the wire: published, signed by both, and tried beforehand.

Source: API section 10 (dry run).
"""

from typing import Annotated, Any

from pydantic import Field

from tallystick.wire.base import Document, Proven, Reply, Request
from tallystick_consent.fields import Host
from tallystick_consent.rules.periods import PERIOD_NAME_PATTERN


class PublishProgram(Request):
    """A new program, or a new version of one; `tallystick_consent.program.Program` says what it holds."""

    program: Document


class AcceptProgram(Request):
    """Sign a partner's program, named by the path.

    Attributes:
        payer: whose program it is, where two payers propose one of that name.
    """

    payer: Host | None = None


class Program(Proven):
    """A program as a node holds it.

    Attributes:
        agreed: the issuers that have signed it.
    """

    program: dict[str, Any]
    digest: str
    agreed: tuple[str, ...]


class Programs(Reply):
    """Every program that a node knows."""

    programs: tuple[Program, ...]


class Budget(Reply):
    """What a program may still pay in a period, in minor units of its asset."""

    program: str
    period: str
    asset: str
    limit: int
    posted: int
    reserved: int
    remaining: int


PERIODS_TRIED_MAX = 36


class TryProgram(Request):
    """A program to try on events that the node has; nothing is published, issued or kept.

    Attributes:
        program: as for `PublishProgram`.
        periods: ISO 8601 names, of the rule's span.
    """

    program: Document
    periods: Annotated[
        list[Annotated[str, Field(pattern=PERIOD_NAME_PATTERN)]], Field(min_length=1, max_length=PERIODS_TRIED_MAX)
    ]


class TriedPeriod(Reply):
    """What a program would have said of one period: counts over all subjects, and nobody's own.

    Attributes:
        subjects: how many had any event that the rule reads.
        answers: how many claims would have been sent.
        bands: how many in each band, by its number.
        counted, not_counted: how many events stood behind answers, and how many did not, by the reason.
        flags: what a person should look at, by how often.
    """

    period: str
    subjects: int
    answers: int
    bands: dict[str, int]
    counted: int
    not_counted: dict[str, int]
    flags: dict[str, int]


class TriedProgram(Reply):
    """What a program would have said, and what it tells the payer in words a customer reads.

    Attributes:
        learns: what the payer learns, a sentence each.
        silence: what it can tell from no answer.
    """

    learns: tuple[str, ...]
    silence: str
    periods: tuple[TriedPeriod, ...]
