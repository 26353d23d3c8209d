"""The shapes that cross HTTP about people: who speaks for whom, and those who come without an app.

Only a company's own apps send them, and only its own node reads them: nothing of this goes to a partner.

Source: SCENARIOS 1.13 to 1.15 and 3.17, UX (pages 1 and 2).
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tallystick.wire import Opening, Reply, Request, Subject
from tallystick_consent.authority import SPEAKERS_MAX
from tallystick_consent.receipt import Seconds


class RecordStanding(Request):
    """Put on record who speaks for a customer; what was on record before is replaced.

    Attributes:
        kind: a `minor`, `joint` holders, a `company`; `own` where the customer speaks for itself again.
        speakers: our own ids of the guardians, holders or agents; none where no guardian is known.
        of_age_from: of a minor, from when on it speaks for itself, seconds since 1970-01-01 UTC.
        needed: of joint holders, how many must say yes; any one of them can stop.
    """

    subject: Subject
    kind: Literal["own", "minor", "joint", "company"]
    speakers: Annotated[tuple[Subject, ...], Field(max_length=SPEAKERS_MAX, strict=False)] = ()  # JSON has arrays alone
    of_age_from: Seconds | None = None
    needed: Annotated[int, Field(ge=1, le=SPEAKERS_MAX)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> "RecordStanding":
        if (self.kind == "minor") != (self.of_age_from is not None):
            raise ValueError("when one comes of age is said of a minor, and of nobody else")
        if (self.kind == "joint") != (self.needed is not None) or (self.needed or 0) > len(self.speakers):
            raise ValueError("how many are needed is said of joint holders, and no more than there are")
        if self.subject in self.speakers or len(set(self.speakers)) < len(self.speakers):
            raise ValueError("a speaker stands once, and is not the customer")
        if (self.kind == "own" and self.speakers) or (self.kind == "company" and not self.speakers):
            raise ValueError("a company has agents, and who speaks for itself has nobody to speak for it")
        return self


class Standing(Reply):
    """Who speaks for a customer, as it is on record."""

    kind: Literal["own", "minor", "joint", "company"]
    speakers: tuple[str, ...] = ()
    of_age_from: int | None = None
    needed: int | None = None


class Act(Reply):
    """Something a customer did other than in an app of its own, its sealed record opened.

    Attributes:
        kind: `give`, `approve`, `refuse`, `stop`, `see`, `erase` or `dispute`.
        receipt: the receipt it is about, "" for none.
        state: `done`, or `open` where somebody has to act on it.
        commitment: of the record, as the receipt's evidence holds it.
    """

    act: str
    kind: str
    receipt: str
    state: str
    at: int
    commitment: str
    opening: Opening


class Acts(Reply):
    """What one customer did other than in an app, oldest first."""

    acts: tuple[Act, ...]
