"""Erasure and access on the wire.

Source: DESIGN flow 8, GDPR articles 15, 17 and 20.
"""

from typing import Literal

from tallystick.wire.base import PAGE_SIZE_MAX, Page, PageCursor, PageLimit, Reply, Request, Subject
from tallystick_consent.erasure import FieldAnswer
from tallystick_consent.fields import Seconds


class EraseSubject(Request):
    """The subject wants everything about it gone. It cannot be undone, and the id is never used again.

    Attributes:
        even_unknown: also an id under which nothing is held, so that nothing ever is; without it, that is refused.
    """

    subject: Subject
    even_unknown: bool = False


class ExportSubject(Request):
    """Everything about one customer, in one file.

    Attributes:
        events_from, events_until: only events that happened from the one time on and before the other; where there are
            more than one file holds.
    """

    subject: Subject
    events_from: Seconds | None = None
    events_until: Seconds | None = None


class FindErasures(Request):
    """How far the erasure of one customer is; without a subject, a page of those that are not attested."""

    subject: Subject | None = None
    limit: PageLimit = PAGE_SIZE_MAX
    cursor: PageCursor | None = None


class Erasure(Reply):
    """The erasure of one link of a subject.

    Attributes:
        erasure: its id; once it was asked for, the one that the ledgers know.
        state: `due` until its time within 24 hours; `asked`; `attested`, or `refused` by the partner.
        due_at: when the ledger says it, and the partner is asked.
        attested_at: when the partner says it signed.
        overdue: whether the partner has had a month, and has not attested.
        fields: what the partner answered for each field.
    """

    erasure: str
    partner: str
    state: Literal["due", "asked", "attested", "refused"]
    due_at: int
    asked_at: int | None
    attested_at: int | None
    overdue: bool
    fields: tuple[FieldAnswer, ...] = ()


class Erasures(Page):
    """Erasures, one a link: all of one customer, or a page of those that are not attested."""

    erasures: tuple[Erasure, ...]
