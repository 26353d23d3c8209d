"""Calls about events."""

from collections.abc import Mapping
from typing import Any

from tallystick.calls.base import body_of, encoded, get_call, segment, well_formed, write_call
from tallystick.core import Call
from tallystick.errors import require
from tallystick.verify import Verifier
from tallystick.wire import (
    CorrectEvent,
    Correction,
    Event,
    RecordEvent,
)


class EventCalls:
    """Record what happened on a journey."""

    def record(
        self,
        *,
        subject: str,
        type: str,  # noqa: A002  # the wire's word, and the caller's
        data: Mapping[str, Any],
        receipt: str | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Event]:
        """Record an event; the reply is proven to hold just what was sent, sealed and in the ledger.

        Args:
            subject: our own id of the customer.
            type: such as `visit.ended`; `tallystick.journeys` makes type and data.
            data: as the type's schema has it.
            receipt: under which receipt it is kept; None: the node finds the one that covers it.
            idempotency_key: the caller's own, such as the id of the source's record; one is drawn where it is None.
        """
        sent = well_formed(lambda: RecordEvent(subject=subject, type=type, data=dict(data), receipt=receipt))
        return write_call(
            "/v1/events",
            encoded(sent),
            Event,
            lambda event, verifier: verifier.check_recorded(event, sent),
            idempotency_key,
        )

    def correct(
        self,
        *,
        subject: str,
        event: str | None = None,
        type: str | None = None,  # noqa: A002  # the wire's word, and the caller's
        data: Mapping[str, Any] | None = None,
        receipt: str | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Correction]:
        """Correct an event, and what followed from it: claims are told anew or taken back, and rewards with them.

        Args:
            subject: our own id of the customer.
            event: the one that was wrong; None where one was missing when its period closed.
            type: of the event that counts; None where nothing does.
            data: as the type's schema has it.
            receipt: under which receipt it is kept; None: the node finds the one that covers it.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        told = None if data is None else dict(data)
        body = body_of(lambda: CorrectEvent(subject=subject, event=event, type=type, data=told, receipt=receipt))

        def check(correction: Correction, verifier: Verifier) -> None:
            verifier.check_correction_written(correction)
            require(correction.wrong == event, "The node corrected another event than the one it was told.")

        return write_call("/v1/corrections", body, Correction, check, idempotency_key)

    def get(self, event_id: str) -> Call[Event]:
        """Return one event, opened."""

        def check(event: Event, verifier: Verifier) -> None:
            verifier.check_event(event)
            require(event.event == event_id, "The node returned another event.")

        return get_call(f"/v1/events/{segment(event_id)}", Event, check)
