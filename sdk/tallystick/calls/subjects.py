"""Calls about a customer's erasure and access."""

from dataclasses import replace

from tallystick.calls.base import body_of, search_call, write_call
from tallystick.core import Call, unproven
from tallystick.errors import ReplyForged, forged, require
from tallystick.papers import (
    EXPORT_SIZE_MAX_BYTES,
    Certificate,
    Export,
    Trust,
    check_certificate,
    check_export,
)
from tallystick.verify import Verifier
from tallystick.wire import (
    PAGE_SIZE_MAX,
    EraseSubject,
    Erasures,
    ExportSubject,
    FindBySubject,
    FindErasures,
)
from tallystick_ledger.errors import TallyError


class SubjectCalls:
    """Everything about one customer at once."""

    def erase(self, subject: str, *, even_unknown: bool = False, idempotency_key: str | None = None) -> Call[Erasures]:
        """Erase a customer: keys and rows here at once, the ledger and each partner within 24 hours.

        It cannot be undone, and `subject` is never used again here: whoever comes back gets another id.

        Args:
            subject: our own id of the customer; one that was erased before is answered as then.
            even_unknown: also an id under which nothing is held. Without it the node refuses that (`nothing_held`), as
                it would most likely be a slip, and the id never be anybody's again.
        """
        body = body_of(lambda: EraseSubject(subject=subject, even_unknown=even_unknown))
        return write_call("/v1/erasures", body, Erasures, unproven, idempotency_key)

    def erasures(
        self, subject: str | None = None, *, limit: int = PAGE_SIZE_MAX, cursor: str | None = None
    ) -> Call[Erasures]:
        """Return how far the erasure of a customer is at each partner; None: a page of all that no partner has attested
        yet, what is due first at the front."""
        body = body_of(lambda: FindErasures(subject=subject, limit=limit, cursor=cursor))
        return search_call("/v1/erasures/search", body, Erasures, unproven)

    def export(self, subject: str, *, events_from: int | None = None, events_until: int | None = None) -> Call[Export]:
        """Return everything that the node holds about a customer, checked: a file for the customer.

        Args:
            subject: our own id of the customer.
            events_from: only events from this time on, seconds since 1970-01-01 UTC, where there are too many.
            events_until: only events before this time.
        """
        body = body_of(lambda: ExportSubject(subject=subject, events_from=events_from, events_until=events_until))

        def check(told: Export, verifier: Verifier) -> None:
            require(told.subject == subject, "The node exported another customer.")
            try:
                check_export(told, Trust())
                for head in told.heads.values():
                    verifier.check_head(head.encode())
            except ReplyForged:
                raise
            except TallyError as error:
                raise forged("The node's export does not hold.") from error

        call = search_call("/v1/exports/search", body, Export, check)
        return replace(call, size_max_bytes=EXPORT_SIZE_MAX_BYTES)

    def certificate(self, subject: str) -> Call[Certificate]:
        """Return the certificate of a customer's erasure, checked: a file for the customer, that verifies offline."""

        def check(told: Certificate, verifier: Verifier) -> None:
            try:
                check_certificate(told, Trust())
            except TallyError as error:
                raise forged("The node's certificate does not hold.") from error
            verifier.check_proofs([each.erased for each in told.links])

        return search_call(
            "/v1/certificates/search", body_of(lambda: FindBySubject(subject=subject)), Certificate, check
        )
