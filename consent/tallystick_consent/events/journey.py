"""A journey event, as rules read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class JourneyEvent:
    """One event, as rules read it.

    Attributes:
        id: the entry that carries its commitment.
        type: such as `visit.ended`.
        started_at: when it began, with the offset of the place.
        ended_at: when it ended; the same where it has no length.
        data: its typed data, as plain values.
        recorded_at_s: when the node recorded it, seconds since 1970-01-01 UTC; None where the reader does not need to
            know whether it came in time.
    """

    id: str
    type: str
    started_at: datetime
    ended_at: datetime
    data: Mapping[str, Any]
    recorded_at_s: int | None = None

    @property
    def data_class(self) -> str:
        """What a receipt names to permit events of this type: the word before the dot."""
        return data_class_of(self.type)


def data_class_of(event_type: str) -> str:
    """Return the data class of an event type: `visit` of `visit.ended`."""
    return event_type.partition(".")[0]
