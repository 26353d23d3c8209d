"""Events on the wire, and their corrections.

Source: DESIGN flow 1, SCENARIOS section 1.
"""

from typing import Annotated

from pydantic import Field, model_validator

from tallystick.wire.base import Document, Proven, Reply, Request, Subject
from tallystick_consent.fields import ReceiptId

EventType = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,39}\.[a-z][a-z_]{0,39}$")]

EventId = Annotated[str, Field(pattern=r"^evt_[a-z2-7]{26}$")]


class RecordEvent(Request):
    """Something that happened on a subject's journey.

    Attributes:
        type: such as `visit.ended`.
        data: as the type's schema has it (`tallystick_consent.events`).
        receipt: under which receipt it is kept; the node finds the one that covers it where this is absent.
    """

    subject: Subject
    type: EventType
    data: Document
    receipt: ReceiptId | None = None


class Opening(Reply):
    """What opens an event's commitment; for the app that recorded it, never for a partner.

    Attributes:
        salt: base64url, 32 bytes.
        payload: base64url of the sealed bytes, exactly.
    """

    salt: str
    media_type: str
    payload: str


class Event(Proven):
    """An event as it stands in the ledger: sealed, and committed to."""

    event: str
    type: str
    receipt: str
    recorded_at: int
    opening: Opening


class CorrectEvent(Request):
    """An event that was wrong, or missing: what counts in its place, or that nothing does.

    Attributes:
        event: the one that was wrong; None where one was missing.
        type, data: what counts, as for `RecordEvent`; None where nothing does.
        receipt: under which receipt that is kept; the node finds the one that covers it where this is absent.
    """

    subject: Subject
    event: EventId | None = None
    type: EventType | None = None
    data: Document | None = None
    receipt: ReceiptId | None = None

    @model_validator(mode="after")
    def _whole(self) -> "CorrectEvent":
        if (self.type is None) != (self.data is None) or (self.event is None and self.data is None):
            raise ValueError("a correction names a wrong event, or tells one whole, or both")
        return self


class CorrectionEffect(Reply):
    """What followed for one period of one receipt.

    Attributes:
        outcome: `stands`, `not_reached`, `issued`, `superseded`, `revoked`; or why nothing changes: `not_taken`,
            `too_late`, `future_only`, `not_permitted`.
    """

    receipt: str
    partner: str
    program: str
    period: str
    outcome: str


class Correction(Proven):
    """A correction as it stands in the ledger, and what followed from it.

    Attributes:
        correction: id of its entry.
        wrong: the event that does not count any more, if any.
        right: the event that counts, if any.
        effects: of each answer that rests on it; none where the app may not read receipts.
    """

    correction: str
    wrong: str | None
    right: str | None
    recorded_at: int
    effects: tuple[CorrectionEffect, ...]
