"""Calls about who speaks for whom, and for those who come without an app."""

from collections.abc import Sequence
from typing import Literal

from tallystick.calls.base import body_of, search_call, write_call
from tallystick.calls.pages import page_call
from tallystick.core import Call, unproven
from tallystick.errors import require
from tallystick.verify import Verifier
from tallystick.wire import (
    PAGE_SIZE_MAX,
    Acts,
    AnswerDelayed,
    Answered,
    AnswerRequest,
    DelayAnswer,
    FindBySubject,
    Letter,
    OpenRequests,
    RecordStanding,
    Serve,
    Served,
    Standing,
    WriteLetter,
)
from tallystick_consent.receipts.answering import Declined, Delayed
from tallystick_consent.receipts.evidence import Channel


class StandingCalls:
    """Who speaks for whom; the node keeps it to itself."""

    def record(
        self,
        subject: str,
        *,
        kind: Literal["own", "minor", "joint", "company"],
        speakers: Sequence[str] = (),
        of_age_from: int | None = None,
        needed: int | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Standing]:
        """Put on record who speaks for a customer, instead of what was on record before.

        Args:
            subject: our own id of the customer.
            kind: a `minor`, `joint` holders, a `company`; `own` where the customer speaks for itself.
            speakers: our own ids of the guardians, holders or agents.
            of_age_from: of a minor, from when on it speaks for itself, seconds since 1970-01-01 UTC.
            needed: of joint holders, how many must say yes; any one of them can stop.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        body = body_of(
            lambda: RecordStanding(
                subject=subject, kind=kind, speakers=tuple(speakers), of_age_from=of_age_from, needed=needed
            )
        )
        return write_call("/v1/standings", body, Standing, unproven, idempotency_key)

    def find(self, subject: str) -> Call[Standing]:
        """Return who speaks for a customer."""
        return search_call("/v1/standings/search", body_of(lambda: FindBySubject(subject=subject)), Standing, unproven)


class ActCalls:
    """What customers did other than in an app of their own."""

    def find(self, subject: str) -> Call[Acts]:
        """Return what one customer did, each sealed record opened, and shown to be the one that was committed to."""

        def check(found: Acts, verifier: Verifier) -> None:
            for act in found.acts:
                verifier.check_act(act)

        return search_call("/v1/acts/search", body_of(lambda: FindBySubject(subject=subject)), Acts, check)


class DeskCalls:
    """People without an app: codes by letter, and what is done for whoever tells one."""

    def letter(self, subject: str, *, idempotency_key: str | None = None) -> Call[Letter]:
        """Make a one-time code for a customer, to be sent to the address on file; good for thirty days."""
        return write_call(
            "/v1/letters", body_of(lambda: WriteLetter(subject=subject)), Letter, unproven, idempotency_key
        )

    def serve(
        self,
        kind: Literal["see", "refuse", "stop", "erase", "dispute"],
        *,
        subject: str,
        code: str,
        channel: Channel,
        agent: str,
        receipt: str | None = None,
        words: str | None = None,
        by: str | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Served]:
        """Do what a customer without an app asks for; the code is used up with it.

        Args:
            kind: what it asks for.
            subject: our own id of the customer, as it says it.
            code: of its letter, as it tells it.
            channel: how it came.
            agent: our own id of the clerk; sealed.
            receipt: which one is refused, stopped or disputed; None for the others.
            words: of a dispute, the customer's own; sealed.
            by: who speaks for the customer, where it is not itself.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        body = body_of(
            lambda: Serve(
                subject=subject,
                code=code,
                channel=channel,
                agent=agent,
                kind=kind,
                receipt=receipt,
                words=words,
                by=by,
            )
        )

        def check(served: Served, verifier: Verifier) -> None:
            verifier.check_proofs(served.proofs)
            for each in served.receipts:
                verifier.check_receipt(each)
            if kind in ("refuse", "stop"):
                (changed,) = served.receipts or (None,)
                require(changed is not None and changed.receipt == receipt, "The node changed another receipt.")
                assert changed is not None, "required just now"
                state = "refused" if kind == "refuse" else "withdrawn"
                verifier.check_receipt_written(changed.model_copy(update={"proofs": served.proofs}), state=state)

        return write_call("/v1/desk", body, Served, check, idempotency_key)

    def requests(self, *, limit: int = PAGE_SIZE_MAX, cursor: str | None = None) -> Call[OpenRequests]:
        """Return a page of what customers without an app asked for and nobody has answered, what is due first at the
        front."""
        return page_call("/v1/desk/requests", OpenRequests, limit=limit, cursor=cursor)

    def answer(
        self,
        request: str,
        *,
        subject: str,
        outcome: Literal["granted", "declined"],
        agent: str,
        because: Declined | None = None,
        correction: str | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Answered]:
        """Answer what a customer without an app asked for; one to be erased that is granted erases, at once.

        Args:
            request: its id, from `requests` or `acts.find`.
            subject: our own id of the customer.
            outcome: what was decided.
            agent: our own id of who decided; sealed.
            because: why it is declined.
            correction: what was corrected since a dispute is granted.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        body = body_of(
            lambda: AnswerRequest(
                subject=subject, request=request, outcome=outcome, agent=agent, because=because, correction=correction
            )
        )

        def check(made: Answered, _verifier: Verifier) -> None:
            require((made.request, made.state) == (request, outcome), "The node answered another request.")

        return write_call("/v1/desk/answers", body, Answered, check, idempotency_key)

    def delay(
        self,
        of: str,
        *,
        subject: str,
        because: Delayed,
        channel: Channel | Literal["app"],
        agent: str,
        idempotency_key: str | None = None,
    ) -> Call[AnswerDelayed]:
        """Record that the answer to a request or a contest takes up to three months, and that the customer was told.

        It is said within the first month, and once.

        Args:
            of: the request's id, from `requests`, or the contest's, from `decisions.contests`.
            subject: our own id of the customer.
            because: why it takes longer.
            channel: how the customer was told so.
            agent: our own id of who decided and told; sealed.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        body = body_of(lambda: DelayAnswer(subject=subject, of=of, because=because, channel=channel, agent=agent))

        def check(made: AnswerDelayed, _verifier: Verifier) -> None:
            require((made.of, made.because) == (of, because), "The node delayed another answer.")

        return write_call("/v1/desk/delays", body, AnswerDelayed, check, idempotency_key)
