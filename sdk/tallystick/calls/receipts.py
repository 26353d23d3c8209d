"""Calls about receipts."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tallystick.calls.base import body_of, get_call, search_call, segment, write_call
from tallystick.calls.pages import page_call
from tallystick.core import Call, unproven
from tallystick.errors import forged, require
from tallystick.papers import SignedReceipt, Trust, check_signed_receipt
from tallystick.verify import Verifier
from tallystick.wire import (
    PAGE_SIZE_MAX,
    ApproveReceipt,
    DeferReceipt,
    Duties,
    FindReceipts,
    FindResources,
    GiveReceipt,
    InvalidateReceipt,
    NamedResource,
    NarrowReceipt,
    PauseReceipt,
    Receipt,
    ReceiptExport,
    Receipts,
    ReceiptVersions,
    RefuseReceipt,
    RenewReceipt,
    RequestReceipt,
    RequestVersion,
    Resources,
    RevokeReceipt,
    Shown,
    Unacknowledged,
    WithdrawReceipt,
    YesStep,
)
from tallystick_consent.claims.jws import unchecked_payload
from tallystick_consent.fields import Rung
from tallystick_consent.receipts.authority import Authority
from tallystick_consent.receipts.evidence import Evidence, Testimony
from tallystick_ledger.encoding import canonical_json
from tallystick_ledger.errors import TallyError


class ReceiptCalls:
    """Ask for consent, record it, end it."""

    def request(
        self,
        link: str,
        *,
        events_from: int | None = None,
        authority: Authority | None = None,
        of_age_from: int | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Receipt]:
        """Ask the subject of a link for consent to what its program needs.

        Args:
            link: its id.
            events_from: from which event time on, in seconds since 1970-01-01 UTC; None: from now on.
            authority: on whose word the receipt is to stand, where that is not the subject's own.
            of_age_from: of a minor: when a guardian's receipt ends at the latest, in the same seconds.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        body = body_of(
            lambda: RequestReceipt(link=link, events_from=events_from, authority=authority, of_age_from=of_age_from)
        )

        def check(receipt: Receipt, verifier: Verifier) -> None:
            verifier.check_receipt_written(receipt, state="requested")
            require(receipt.terms.get("link") == link, "The node requested a receipt for another link.")

        return write_call("/v1/receipts/request", body, Receipt, check, idempotency_key)

    def find(self, *, subject: str | None = None, link: str | None = None) -> Call[Receipts]:
        """Return the receipts of one customer, or of one link."""

        def check(found: Receipts, verifier: Verifier) -> None:
            for receipt in found.receipts:
                verifier.check_receipt(receipt)

        return search_call(
            "/v1/receipts/search", body_of(lambda: FindReceipts(subject=subject, link=link)), Receipts, check
        )

    def get(self, receipt_id: str) -> Call[Receipt]:
        """Return one receipt, as it is now."""

        def check(receipt: Receipt, verifier: Verifier) -> None:
            verifier.check_receipt(receipt)
            require(receipt.receipt == receipt_id, "The node returned another receipt.")

        return get_call(f"/v1/receipts/{segment(receipt_id)}", Receipt, check)

    def notice(self, receipt_id: str) -> Call[Shown]:
        """Return what the subject of a receipt was shown, word for word, to be shown again."""

        def check(shown: Shown, _verifier: Verifier) -> None:
            require(shown.receipt == receipt_id, "The node returned the notice of another receipt.")
            require(shown.notice.digest() == shown.digest, "A notice is not the one that its receipt binds.")

        return get_call(f"/v1/receipts/{segment(receipt_id)}/notice", Shown, check)

    def export(self, receipt_id: str, form: Literal["fhir", "fdx"]) -> Call[ReceiptExport]:
        """Return a receipt as an HL7 FHIR R5 Consent or an FDX consent grant: a copy to read, not the receipt."""

        def check(export: ReceiptExport, _verifier: Verifier) -> None:
            require(export.form == form, "The node exported to another form.")
            require(_names(export.document, receipt_id), "The node exported another receipt.")

        return get_call(f"/v1/receipts/{segment(receipt_id)}/export/{form}", ReceiptExport, check)

    def signed(self, receipt_id: str) -> Call[SignedReceipt]:
        """Return a receipt as both companies signed it, checked: a file that `tally verify` verifies offline.

        There is none before it was given, nor after what is kept of it was discharged.
        """

        def check(told: SignedReceipt, _verifier: Verifier) -> None:
            try:
                check_signed_receipt(told, Trust())
            except TallyError as error:
                raise forged("The node's signed receipt does not hold.") from error
            require(unchecked_payload(told.signed)["terms"]["receipt"] == receipt_id, "The node told another receipt.")

        return get_call(f"/v1/receipts/{segment(receipt_id)}/signed", SignedReceipt, check)

    def give(
        self,
        receipt_id: str,
        *,
        subject: str,
        evidence: Evidence | Testimony,
        by: str | None = None,
        resources: Sequence[NamedResource] | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Receipt]:
        """Record that the subject gives consent, in the words of the receipt's notice.

        Args:
            receipt_id: the receipt that was requested.
            subject: our own id of the customer who gave it.
            evidence: how the giving was seen; testimony where it was a clerk who saw it, or a form that says it.
            by: who says yes for the subject: a guardian, a holder, an agent; None: the subject itself.
            resources: what alone it is given for, as we call it ourselves; None: all that was asked about. A wallet
                signs `tallystick_consent.receipts.versions.picked` of the terms, with the names of `resources`.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        body = body_of(lambda: GiveReceipt(subject=subject, by=by, resources=_list(resources), **_told(evidence)))
        return _step(receipt_id, "give", "given", body, idempotency_key)

    def approve(
        self,
        receipt_id: str,
        *,
        subject: str,
        evidence: Evidence | Testimony,
        by: str,
        step: YesStep = "give",
        resources: Sequence[NamedResource] | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Receipt]:
        """Record that `by`, one of several holders, says yes; the last one gives it, or renews.

        Args:
            receipt_id: one that stands on joint holders.
            subject: our own id of the customer.
            evidence: how this yes was seen; a wallet signs what the giving's would sign.
            by: which of the holders.
            step: which yes the others are to follow with: `give`, `renew` or `give_version`. It counts for exactly
                that, as it is now: not for another version, nor after another yes.
            resources: as the giving will name them.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        picked = _list(resources)
        body = body_of(lambda: ApproveReceipt(subject=subject, by=by, step=step, resources=picked, **_told(evidence)))

        def check(receipt: Receipt, verifier: Verifier) -> None:
            verifier.check_receipt(receipt)
            require(receipt.receipt == receipt_id, "The node approved another receipt.")

        return write_call(f"/v1/receipts/{segment(receipt_id)}/approve", body, Receipt, check, idempotency_key)

    def refuse(
        self, receipt_id: str, *, subject: str, by: str | None = None, idempotency_key: str | None = None
    ) -> Call[Receipt]:
        """Record that the subject says no, or `by`, who speaks for it."""
        body = body_of(lambda: RefuseReceipt(subject=subject, by=by))
        return _step(receipt_id, "refuse", "refused", body, idempotency_key)

    def withdraw(
        self,
        receipt_id: str,
        *,
        subject: str,
        earned: Literal["drop", "settle_earned"] = "drop",
        by: str | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Receipt]:
        """Record that the subject stops for good.

        Args:
            receipt_id: one that was given.
            subject: our own id of the customer who gave it.
            earned: `drop`: nothing more is issued or delivered. `settle_earned`: what the subject has earned until now
                is evaluated once, and delivered when its period has closed.
            by: who speaks for the subject; None: the subject itself.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        body = body_of(lambda: WithdrawReceipt(subject=subject, earned=earned, by=by))
        return _step(receipt_id, "withdraw", "withdrawn", body, idempotency_key)

    def defer(
        self, receipt_id: str, *, subject: str, by: str | None = None, idempotency_key: str | None = None
    ) -> Call[Receipt]:
        """Record that the subject puts off the answer to a request, or `by`, who speaks for it."""
        body = body_of(lambda: DeferReceipt(subject=subject, by=by))
        return _step(receipt_id, "defer", "deferred", body, idempotency_key)

    def pause(
        self, receipt_id: str, *, subject: str, by: str | None = None, idempotency_key: str | None = None
    ) -> Call[Receipt]:
        """Record that the subject stops for a while, or `by`, who speaks for it.

        Events are still recorded, and nothing is answered.
        """
        body = body_of(lambda: PauseReceipt(subject=subject, by=by))
        return _step(receipt_id, "pause", "paused", body, idempotency_key)

    def renew(
        self,
        receipt_id: str,
        *,
        subject: str,
        evidence: Evidence | Testimony,
        by: str | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Receipt]:
        """Record that the subject says yes again: a paused receipt goes on, one to be confirmed is.

        Args:
            receipt_id: one that was given.
            subject: our own id of the customer who gave it.
            evidence: how this giving was seen; a wallet signs `evidence_message(terms, renews=receipt.signed)`.
            by: who says yes for the subject; None: the subject itself.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        body = body_of(lambda: RenewReceipt(subject=subject, by=by, **_told(evidence)))
        return _step(receipt_id, "renew", "renewed", body, idempotency_key)

    def narrow(
        self,
        receipt_id: str,
        *,
        subject: str,
        evidence: Evidence | Testimony,
        by: str | None = None,
        without_classes: Sequence[str] = (),
        without_resources: Sequence[NamedResource] = (),
        resources: Sequence[NamedResource] | None = None,
        rung: Rung | None = None,
        events_until: int | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Receipt]:
        """Record that the subject takes a part of the consent back, at once.

        Args:
            receipt_id: one that was given.
            subject: our own id of the customer who gave it.
            evidence: how this was seen; a wallet signs `evidence_message(narrowed(terms, ...), renews=receipt.signed)`.
            by: who acts for the subject: whoever may stop, or of a paused receipt may give; None: the subject itself.
            without_classes: data classes that may not be evaluated any more.
            without_resources: what the receipt is no longer about, of the resources that it names.
            resources: what alone it is about from now on, as we call it ourselves.
            rung: the most revealing answer from now on.
            events_until: the new end of the range of event times, exclusive, in seconds since 1970-01-01 UTC.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        less = {
            "without_classes": list(without_classes),
            "without_resources": list(without_resources),
            "resources": _list(resources),
            "rung": rung,
            "events_until": events_until,
        }
        said = {"subject": subject, "by": by, **_told(evidence)}
        body = body_of(lambda: NarrowReceipt.model_validate({**said, **less}))
        return _step(receipt_id, "narrow", "renewed", body, idempotency_key)

    def versions(self, receipt_id: str) -> Call[ReceiptVersions]:
        """Return every version of a receipt, first to last, and what each changes."""
        return get_call(f"/v1/receipts/{segment(receipt_id)}/versions", ReceiptVersions, unproven)

    def resources(self, receipt_id: str, *, subject: str, resources: Sequence[NamedResource]) -> Call[Resources]:
        """Return how the link of a receipt calls resources of ours, in the same order: as its terms name them.

        Args:
            receipt_id: one that the subject gives here.
            subject: our own id of the customer.
            resources: as we call them ourselves; between nodes only the names that come back cross.
        """
        body = body_of(lambda: FindResources(subject=subject, resources=list(resources)))

        def check(found: Resources, _verifier: Verifier) -> None:
            kinds = [each.kind for each in found.resources]
            require(kinds == [each.kind for each in resources], "The node named other resources.")

        return search_call(f"/v1/receipts/{segment(receipt_id)}/resources/search", body, Resources, check)

    def request_version(
        self, receipt_id: str, *, resources: Literal["same", "any"] = "same", idempotency_key: str | None = None
    ) -> Call[Receipt]:
        """Ask the subject for a next version: all that the program permits, from now on. The one in force stays.

        Args:
            receipt_id: one at which we receive.
            resources: `same`: about the resources that it is about now; `any`: about all, of which the subject picks.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        body = body_of(lambda: RequestVersion(resources=resources))
        return _version_step(receipt_id, "request", body, idempotency_key)

    def give_version(
        self,
        receipt_id: str,
        *,
        subject: str,
        evidence: Evidence | Testimony,
        by: str | None = None,
        resources: Sequence[NamedResource] | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Receipt]:
        """Record that the subject gives the next version that was asked for, or `by`, who speaks for it.

        A wallet signs `evidence_message(next_terms, renews=receipt.signed)`; `resources` as in `give`.
        """
        body = body_of(lambda: GiveReceipt(subject=subject, by=by, resources=_list(resources), **_told(evidence)))
        return _step(receipt_id, "versions/give", "renewed", body, idempotency_key)

    def refuse_version(
        self, receipt_id: str, *, subject: str, by: str | None = None, idempotency_key: str | None = None
    ) -> Call[Receipt]:
        """Record that the subject says no to the next version, or `by`, who speaks for it; the one in force stays."""
        body = body_of(lambda: RefuseReceipt(subject=subject, by=by))
        return _version_step(receipt_id, "refuse", body, idempotency_key)

    def revoke(self, receipt_id: str, *, idempotency_key: str | None = None) -> Call[Receipt]:
        """Record that this company ends the receipt; that is no act of the subject's."""
        return _step(receipt_id, "revoke", "revoked", body_of(RevokeReceipt), idempotency_key)

    def invalidate(self, receipt_id: str, *, idempotency_key: str | None = None) -> Call[Receipt]:
        """Record that the receipt, given here, never was valid."""
        return _step(receipt_id, "invalidate", "invalidated", body_of(InvalidateReceipt), idempotency_key)

    def duties(self, *, limit: int = PAGE_SIZE_MAX, cursor: str | None = None) -> Call[Duties]:
        """Return a page of what this node keeps of receipts under which it receives, the first due first."""
        return page_call("/v1/duties", Duties, limit=limit, cursor=cursor)

    def unacknowledged(self, *, limit: int = PAGE_SIZE_MAX, cursor: str | None = None) -> Call[Unacknowledged]:
        """Return a page of the steps of receipts that partners have not signed for, those that wait longest first."""
        return page_call("/v1/receipts/unacknowledged", Unacknowledged, limit=limit, cursor=cursor)


def _told(told: Evidence | Testimony) -> dict[str, Any]:
    return {"evidence": told} if isinstance(told, Evidence) else {"testimony": told}


def _list(resources: Sequence[NamedResource] | None) -> list[NamedResource] | None:
    return None if resources is None else list(resources)


def _names(document: Mapping[str, Any], receipt_id: str) -> bool:
    """Return whether an export names the receipt that it is of."""
    return receipt_id in canonical_json(dict(document)).decode()


def _step(receipt_id: str, verb: str, state: str, body: bytes, idempotency_key: str | None) -> Call[Receipt]:
    def check(receipt: Receipt, verifier: Verifier) -> None:
        verifier.check_receipt_written(receipt, state=state)
        require(receipt.receipt == receipt_id, "The node changed another receipt than the one it was told.")

    return write_call(f"/v1/receipts/{segment(receipt_id)}/{verb}", body, Receipt, check, idempotency_key)


def _version_step(receipt_id: str, verb: str, body: bytes, idempotency_key: str | None) -> Call[Receipt]:
    def check(receipt: Receipt, verifier: Verifier) -> None:
        verifier.check_receipt(receipt)
        require(receipt.receipt == receipt_id, "The node changed another receipt than the one it was told.")
        require(bool(receipt.proofs), "A step of a next version comes without its proof.")

    return write_call(f"/v1/receipts/{segment(receipt_id)}/versions/{verb}", body, Receipt, check, idempotency_key)
