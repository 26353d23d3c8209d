"""What can be asked of a node: for each call its path, its body, and what its reply must prove.

Pure. Each method returns a `Call`; `client` runs it, blocking or awaited. Arguments that a node would refuse for
their form are refused here, before anything is sent, and no refusal repeats their value.

Source: docs/protocol.md (For apps).
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel, ValidationError

from tallystick import proven
from tallystick.core import Call, RandomBytes, malformed, unproven
from tallystick.errors import ReplyForged
from tallystick.papers import (
    EXPORT_SIZE_MAX_BYTES,
    Certificate,
    Export,
    Trust,
    check_certificate,
    check_export,
)
from tallystick.people import (
    Acts,
    FindMatch,
    Letter,
    Match,
    MatchLink,
    ReceiptExport,
    RecordStanding,
    Serve,
    Served,
    Shown,
    Standing,
    WriteLetter,
)
from tallystick.verify import Verifier
from tallystick.wire import (
    REQUEST_SIZE_MAX_BYTES,
    AcceptLink,
    AcceptProgram,
    ApproveReceipt,
    AskClaim,
    Asked,
    Budget,
    Claims,
    ConfirmLink,
    Consistency,
    CorrectEvent,
    Correction,
    Decisions,
    DeferReceipt,
    EntryProof,
    EntryRange,
    EraseSubject,
    Erasures,
    Event,
    ExportSubject,
    FindBySubject,
    FindConsistency,
    FindErasures,
    FindInclusions,
    FindRange,
    FindReceipts,
    FindSubtree,
    GiveReceipt,
    HeldClaims,
    Inclusions,
    InvalidateReceipt,
    Link,
    LinkOffer,
    Links,
    Login,
    NarrowReceipt,
    OfferLink,
    PauseReceipt,
    Program,
    Programs,
    PublishProgram,
    Receipt,
    Receipts,
    ReceiptVersions,
    RecordEvent,
    RefuseReceipt,
    RenewReceipt,
    Request,
    RequestReceipt,
    RequestVersion,
    RevokeReceipt,
    Rewards,
    SubtreeProof,
    Unacknowledged,
    WithdrawReceipt,
)
from tallystick.wire_why import (
    Contest,
    ContestDecision,
    Explanations,
    Ground,
    OpenContests,
    TriedProgram,
    TryProgram,
)
from tallystick_consent.authority import Authority
from tallystick_consent.evidence import Channel, Evidence, Testimony
from tallystick_consent.program import parse_program
from tallystick_consent.receipt import Rung
from tallystick_ledger.encoding import canonical_json, to_base64url
from tallystick_ledger.errors import BadInput, TallyError
from tallystick_ledger.tlog.checkpoint import Checkpoint

VERIFIER_SIZE_BYTES = 32
PAGE_SIZE_MAX = 1_000
PAGES_MAX = 10_000
"""How many pages one walk reads before it takes the node for one that never ends."""

_M = TypeVar("_M", bound=BaseModel)
_Q = TypeVar("_Q", bound=Request)
_SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,80}")


@dataclass(frozen=True, slots=True)
class OfferInHand:
    """An offer, and what only the session that began it knows; keep it in that session, and nowhere else.

    Attributes:
        offer: what the customer carries to the partner's app.
        verifier: proves that whoever confirms is the one who began.
        expires_at: seconds since 1970-01-01 UTC; ten minutes from its making.
    """

    offer: str
    verifier: str
    expires_at: int

    def __repr__(self) -> str:
        """Show no secret: both halves together make the link."""
        return f"OfferInHand(expires_at={self.expires_at})"


class LinkCalls:
    """Make one customer known to two partners under a name of its own."""

    def __init__(self, random_bytes: RandomBytes) -> None:
        """Draw verifiers from `random_bytes`."""
        self._random_bytes = random_bytes

    def offer(
        self,
        *,
        subject: str,
        partner: str,
        program: str,
        hint: str,
        login: Login,
        channel: Literal["app", "letter"] = "app",
        idempotency_key: str | None = None,
    ) -> Call[OfferInHand]:
        """Begin a link, with the customer logged in: the offer goes to the partner's app, the verifier stays here.

        Args:
            subject: our own id of the customer.
            partner: host name of the partner.
            program: what the link is for.
            hint: what the customer recognises this account by, such as `policy ending 21`.
            login: how sure the app is of who is logged in.
            channel: `letter` where the offer goes to the address on file: it is good for thirty days, and our back
                office keeps the verifier.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        verifier = to_base64url(self._random_bytes(VERIFIER_SIZE_BYTES))
        challenge = to_base64url(hashlib.sha256(verifier.encode()).digest())
        body = _body(
            lambda: OfferLink(
                subject=subject,
                partner=partner,
                program=program,
                hint=hint,
                login=login,
                challenge=challenge,
                channel=channel,
            )
        )

        def parse(raw: bytes) -> OfferInHand:
            told = LinkOffer.model_validate_json(raw)
            return OfferInHand(told.offer, verifier, told.expires_at)

        return Call("POST", "/v1/links/offers", body, parse, unproven, writes=True, idempotency_key=idempotency_key)

    def accept(
        self, *, subject: str, offer: str, hint: str, login: Login, idempotency_key: str | None = None
    ) -> Call[Link]:
        """Take an offer that the customer brought from the partner's app, with the same person logged in here."""
        body = _body(lambda: AcceptLink(subject=subject, offer=offer, hint=hint, login=login))
        return _write("/v1/links/accept", body, Link, unproven, idempotency_key)

    def confirm(self, offer: OfferInHand, *, idempotency_key: str | None = None) -> Call[Link]:
        """End what `offer` began, in the session that began it; the link is active then."""
        body = _body(lambda: ConfirmLink(offer=offer.offer, verifier=offer.verifier))
        return _write("/v1/links/confirm", body, Link, unproven, idempotency_key)

    def match(
        self,
        *,
        offer: str,
        candidates: Sequence[str],
        hint: str,
        login: Login,
        channel: Channel,
        agent: str,
        idempotency_key: str | None = None,
    ) -> Call[Match]:
        """Take an offer that somebody brought by letter, for the one customer that it can be.

        Args:
            offer: the code in the letter.
            candidates: our own ids of all the customers it can be; with none or several the offer is refused.
            hint: what the customer recognises this account by.
            login: how the clerk is logged in.
            channel: how the letter came back.
            agent: our own id of the clerk; sealed.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        body = _body(
            lambda: MatchLink(
                offer=offer, candidates=tuple(candidates), hint=hint, login=login, channel=channel, agent=agent
            )
        )
        return _write("/v1/links/match", body, Match, unproven, idempotency_key)

    def find_match(self, offer: str) -> Call[Match]:
        """Return what became of an offer that was brought by letter."""
        return _search("/v1/links/matches/search", _body(lambda: FindMatch(offer=offer)), Match, unproven)

    def find(self, subject: str) -> Call[Links]:
        """Return the links of one customer."""
        return _search("/v1/links/search", _body(lambda: FindBySubject(subject=subject)), Links, unproven)


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
        body = _body(
            lambda: RequestReceipt(link=link, events_from=events_from, authority=authority, of_age_from=of_age_from)
        )

        def check(receipt: Receipt, verifier: Verifier) -> None:
            verifier.check_receipt_written(receipt, state="requested")
            _require(receipt.terms.get("link") == link, "The node requested a receipt for another link.")

        return _write("/v1/receipts/request", body, Receipt, check, idempotency_key)

    def find(self, *, subject: str | None = None, link: str | None = None) -> Call[Receipts]:
        """Return the receipts of one customer, or of one link."""

        def check(found: Receipts, verifier: Verifier) -> None:
            for receipt in found.receipts:
                verifier.check_receipt(receipt)

        return _search("/v1/receipts/search", _body(lambda: FindReceipts(subject=subject, link=link)), Receipts, check)

    def get(self, receipt_id: str) -> Call[Receipt]:
        """Return one receipt, as it is now."""

        def check(receipt: Receipt, verifier: Verifier) -> None:
            verifier.check_receipt(receipt)
            _require(receipt.receipt == receipt_id, "The node returned another receipt.")

        return _get(f"/v1/receipts/{_segment(receipt_id)}", Receipt, check)

    def notice(self, receipt_id: str) -> Call[Shown]:
        """Return what the subject of a receipt was shown, word for word, to be shown again."""

        def check(shown: Shown, _verifier: Verifier) -> None:
            _require(shown.receipt == receipt_id, "The node returned the notice of another receipt.")
            _require(shown.notice.digest() == shown.digest, "A notice is not the one that its receipt binds.")

        return _get(f"/v1/receipts/{_segment(receipt_id)}/notice", Shown, check)

    def export(self, receipt_id: str, form: Literal["fhir", "fdx"]) -> Call[ReceiptExport]:
        """Return a receipt as an HL7 FHIR R5 Consent or an FDX consent grant: a copy to read, not the receipt."""

        def check(export: ReceiptExport, _verifier: Verifier) -> None:
            _require(export.form == form, "The node exported to another form.")
            _require(_names(export.document, receipt_id), "The node exported another receipt.")

        return _get(f"/v1/receipts/{_segment(receipt_id)}/export/{form}", ReceiptExport, check)

    def give(
        self,
        receipt_id: str,
        *,
        subject: str,
        evidence: Evidence | Testimony,
        by: str | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Receipt]:
        """Record that the subject gives consent, in the words of the receipt's notice.

        Args:
            receipt_id: the receipt that was requested.
            subject: our own id of the customer who gave it.
            evidence: how the giving was seen; testimony where it was a clerk who saw it, or a form that says it.
            by: who says yes for the subject: a guardian, a holder, an agent; None: the subject itself.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        body = _body(lambda: GiveReceipt(subject=subject, by=by, **_told(evidence)))
        return _step(receipt_id, "give", "given", body, idempotency_key)

    def approve(
        self,
        receipt_id: str,
        *,
        subject: str,
        evidence: Evidence | Testimony,
        by: str,
        idempotency_key: str | None = None,
    ) -> Call[Receipt]:
        """Record that `by`, one of several holders, says yes; the receipt is given by the last one."""
        body = _body(lambda: ApproveReceipt(subject=subject, by=by, **_told(evidence)))

        def check(receipt: Receipt, verifier: Verifier) -> None:
            verifier.check_receipt(receipt)
            _require(receipt.receipt == receipt_id, "The node approved another receipt.")

        return _write(f"/v1/receipts/{_segment(receipt_id)}/approve", body, Receipt, check, idempotency_key)

    def refuse(
        self, receipt_id: str, *, subject: str, by: str | None = None, idempotency_key: str | None = None
    ) -> Call[Receipt]:
        """Record that the subject says no, or `by`, who speaks for it."""
        body = _body(lambda: RefuseReceipt(subject=subject, by=by))
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
        body = _body(lambda: WithdrawReceipt(subject=subject, earned=earned, by=by))
        return _step(receipt_id, "withdraw", "withdrawn", body, idempotency_key)

    def defer(self, receipt_id: str, *, subject: str, idempotency_key: str | None = None) -> Call[Receipt]:
        """Record that the subject puts off the answer to a request."""
        body = _body(lambda: DeferReceipt(subject=subject))
        return _step(receipt_id, "defer", "deferred", body, idempotency_key)

    def pause(self, receipt_id: str, *, subject: str, idempotency_key: str | None = None) -> Call[Receipt]:
        """Record that the subject stops for a while; events are still recorded, and nothing is answered."""
        body = _body(lambda: PauseReceipt(subject=subject))
        return _step(receipt_id, "pause", "paused", body, idempotency_key)

    def renew(
        self, receipt_id: str, *, subject: str, evidence: Evidence, idempotency_key: str | None = None
    ) -> Call[Receipt]:
        """Record that the subject says yes again: a paused receipt goes on, one to be confirmed is.

        Args:
            receipt_id: one that was given.
            subject: our own id of the customer who gave it.
            evidence: how this giving was seen.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        body = _body(lambda: RenewReceipt(subject=subject, evidence=evidence))
        return _step(receipt_id, "renew", "renewed", body, idempotency_key)

    def narrow(
        self,
        receipt_id: str,
        *,
        subject: str,
        evidence: Evidence,
        without_classes: Sequence[str] = (),
        rung: Rung | None = None,
        events_until: int | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Receipt]:
        """Record that the subject takes a part of the consent back, at once.

        Args:
            receipt_id: one that was given.
            subject: our own id of the customer who gave it.
            evidence: how this was seen; a wallet signs `tallystick_consent.versions.narrowed` of the terms.
            without_classes: data classes that may not be evaluated any more.
            rung: the most revealing answer from now on.
            events_until: the new end of the range of event times, exclusive, in seconds since 1970-01-01 UTC.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        less = {"without_classes": list(without_classes), "rung": rung, "events_until": events_until}
        body = _body(lambda: NarrowReceipt.model_validate({"subject": subject, "evidence": evidence, **less}))
        return _step(receipt_id, "narrow", "renewed", body, idempotency_key)

    def versions(self, receipt_id: str) -> Call[ReceiptVersions]:
        """Return every version of a receipt, first to last, and what each changes."""
        return _get(f"/v1/receipts/{_segment(receipt_id)}/versions", ReceiptVersions, unproven)

    def request_version(self, receipt_id: str, *, idempotency_key: str | None = None) -> Call[Receipt]:
        """Ask the subject for a next version: all that the program permits, from now on. The one in force stays."""
        return _version_step(receipt_id, "request", _body(RequestVersion), idempotency_key)

    def give_version(
        self, receipt_id: str, *, subject: str, evidence: Evidence, idempotency_key: str | None = None
    ) -> Call[Receipt]:
        """Record that the subject gives the next version that was asked for."""
        body = _body(lambda: GiveReceipt(subject=subject, evidence=evidence))
        return _step(receipt_id, "versions/give", "renewed", body, idempotency_key)

    def refuse_version(self, receipt_id: str, *, subject: str, idempotency_key: str | None = None) -> Call[Receipt]:
        """Record that the subject says no to the next version; the one in force stays."""
        return _version_step(receipt_id, "refuse", _body(lambda: RefuseReceipt(subject=subject)), idempotency_key)

    def revoke(self, receipt_id: str, *, idempotency_key: str | None = None) -> Call[Receipt]:
        """Record that this company ends the receipt; that is no act of the subject's."""
        return _step(receipt_id, "revoke", "revoked", _body(RevokeReceipt), idempotency_key)

    def invalidate(self, receipt_id: str, *, idempotency_key: str | None = None) -> Call[Receipt]:
        """Record that the receipt, given here, never was valid."""
        return _step(receipt_id, "invalidate", "invalidated", _body(InvalidateReceipt), idempotency_key)

    def unacknowledged(self) -> Call[Unacknowledged]:
        """Return the steps of receipts that partners have not signed for, those that wait longest first."""
        return _get("/v1/receipts/unacknowledged", Unacknowledged, unproven)


def _told(told: Evidence | Testimony) -> dict[str, Any]:
    return {"evidence": told} if isinstance(told, Evidence) else {"testimony": told}


def _names(document: Mapping[str, Any], receipt_id: str) -> bool:
    """Return whether an export names the receipt that it is of."""
    return receipt_id in canonical_json(dict(document)).decode()


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
        body = _body(
            lambda: RecordStanding(
                subject=subject, kind=kind, speakers=tuple(speakers), of_age_from=of_age_from, needed=needed
            )
        )
        return _write("/v1/standings", body, Standing, unproven, idempotency_key)

    def find(self, subject: str) -> Call[Standing]:
        """Return who speaks for a customer."""
        return _search("/v1/standings/search", _body(lambda: FindBySubject(subject=subject)), Standing, unproven)


class ActCalls:
    """What customers did other than in an app of their own."""

    def find(self, subject: str) -> Call[Acts]:
        """Return what one customer did, each sealed record opened, and shown to be the one that was committed to."""

        def check(found: Acts, verifier: Verifier) -> None:
            for act in found.acts:
                verifier.check_act(act)

        return _search("/v1/acts/search", _body(lambda: FindBySubject(subject=subject)), Acts, check)


class DeskCalls:
    """People without an app: codes by letter, and what is done for whoever tells one."""

    def letter(self, subject: str, *, idempotency_key: str | None = None) -> Call[Letter]:
        """Make a one-time code for a customer, to be sent to the address on file; good for thirty days."""
        return _write("/v1/letters", _body(lambda: WriteLetter(subject=subject)), Letter, unproven, idempotency_key)

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
        body = _body(
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
                _require(changed is not None and changed.receipt == receipt, "The node changed another receipt.")
                assert changed is not None, "required just now"
                state = "refused" if kind == "refuse" else "withdrawn"
                verifier.check_receipt_written(changed.model_copy(update={"proofs": served.proofs}), state=state)

        return _write("/v1/desk", body, Served, check, idempotency_key)


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
        sent = _made(lambda: RecordEvent(subject=subject, type=type, data=dict(data), receipt=receipt))
        return _write(
            "/v1/events",
            _encoded(sent),
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
        body = _body(lambda: CorrectEvent(subject=subject, event=event, type=type, data=told, receipt=receipt))

        def check(correction: Correction, verifier: Verifier) -> None:
            verifier.check_correction_written(correction)
            _require(correction.wrong == event, "The node corrected another event than the one it was told.")

        return _write("/v1/corrections", body, Correction, check, idempotency_key)

    def get(self, event_id: str) -> Call[Event]:
        """Return one event, opened."""

        def check(event: Event, verifier: Verifier) -> None:
            verifier.check_event(event)
            _require(event.event == event_id, "The node returned another event.")

        return _get(f"/v1/events/{_segment(event_id)}", Event, check)


class ProgramCalls:
    """Agree on what is counted and what it is worth."""

    def publish(self, document: Mapping[str, Any], *, idempotency_key: str | None = None) -> Call[Program]:
        """Publish a program, or a new version of one.

        Args:
            document: as `tallystick_consent.program.Program` has it.
            idempotency_key: the caller's own; one is drawn where it is None.

        Raises:
            ProgramRejected: the document is not a program; nothing was sent.
        """
        digest = parse_program(dict(document)).digest()
        body = _body(lambda: PublishProgram(program=dict(document)))

        def check(program: Program, verifier: Verifier) -> None:
            verifier.check_program_written(program)
            _require(program.digest == digest, "The node published another program than the one it was sent.")

        return _write("/v1/programs", body, Program, check, idempotency_key)

    def try_out(self, document: Mapping[str, Any], periods: Sequence[str]) -> Call[TriedProgram]:
        """Return what a program would have said of past periods, over the node's own events; nothing comes of it.

        Args:
            document: as for `publish`.
            periods: ISO 8601 names of the rule's span, such as `2027-03`; 36 at most.

        Raises:
            ProgramRejected: the document is not a program; nothing was sent.
        """
        parse_program(dict(document))
        body = _body(lambda: TryProgram(program=dict(document), periods=[*periods]))
        return _search("/v1/programs/try", body, TriedProgram, unproven)

    def list(self) -> Call[Programs]:
        """Return every program that the node knows."""

        def check(found: Programs, verifier: Verifier) -> None:
            for program in found.programs:
                verifier.check_program(program)

        return _get("/v1/programs", Programs, check)

    def accept(
        self, name: str, version: int, *, payer: str | None = None, idempotency_key: str | None = None
    ) -> Call[Program]:
        """Agree to a partner's program, as an issuer of its claims.

        Args:
            name: the program's, without its version.
            version: from 1.
            payer: whose program it is; needed only where two payers propose one of that name.
            idempotency_key: the caller's own; one is drawn where it is None.
        """

        def check(program: Program, verifier: Verifier) -> None:
            verifier.check_program_written(program)
            _require(
                (program.program["program"], program.program["version"]) == (name, version),
                "The node accepted another program than the one it was told.",
            )

        path = f"/v1/programs/{_segment(name)}/{_segment(str(version))}/accept"
        body = _body(lambda: AcceptProgram(payer=payer))
        return _write(path, body, Program, check, idempotency_key)

    def budget(self, name: str, period: str) -> Call[Budget]:
        """Return what a program may still pay in a period, such as `2027-03`."""
        return _get(f"/v1/budgets/{_segment(name)}/{_segment(period)}", Budget, unproven)


class ClaimCalls:
    """Ask for answers, and see which came."""

    def ask(self, link: str, period: str, *, idempotency_key: str | None = None) -> Call[Asked]:
        """Ask the issuer of a link for its answer on a period; whether one will come, nothing tells."""
        body = _body(lambda: AskClaim(link=link, period=period))
        return _write("/v1/claims/ask", body, Asked, unproven, idempotency_key)

    def held(self, subject: str) -> Call[HeldClaims]:
        """Return the claims about a customer that the customer's wallet can present, for the app to hand over.

        There are none unless the receipt was given with the wallet's key; `tallystick.presenting` presents them.
        """
        return _search("/v1/claims/search", _body(lambda: FindBySubject(subject=subject)), HeldClaims, unproven)

    def list(self, *, limit: int = 100, cursor: str | None = None) -> Call[Claims]:
        """Return a page of claims, newest first.

        Args:
            limit: how many at most, 1 to 1000.
            cursor: `next_cursor` of the page before; None: the first page.
        """
        if not 1 <= limit <= PAGE_SIZE_MAX:
            raise BadInput("A page holds 1 to 1000 claims.", remedy="Pass a limit within that.")
        query = {"limit": str(limit)} if cursor is None else {"limit": str(limit), "cursor": cursor}
        return _get(f"/v1/claims?{urlencode(query)}", Claims, unproven)


class RewardCalls:
    """What customers were given."""

    def find(self, subject: str) -> Call[Rewards]:
        """Return the rewards of one customer, each with its reasons."""
        return _search("/v1/rewards/search", _body(lambda: FindBySubject(subject=subject)), Rewards, unproven)


class DecisionCalls:
    """What this node decided, for the customer to read."""

    def find(self, subject: str) -> Call[Decisions]:
        """Return the decisions about one customer, each with its reasons."""
        return _search("/v1/decisions/search", _body(lambda: FindBySubject(subject=subject)), Decisions, unproven)

    def why(self, subject: str) -> Call[Explanations]:
        """Return why, for everything about one customer: each answer, silence, refusal and reward."""
        return _search("/v1/why/search", _body(lambda: FindBySubject(subject=subject)), Explanations, unproven)

    def contest(
        self, decision: int, *, subject: str, ground: Ground, idempotency_key: str | None = None
    ) -> Call[Contest]:
        """Record that the subject says a decision is wrong.

        Args:
            decision: its number, from `why`.
            subject: the company's own id of the customer, who is logged in.
            ground: what is wrong with it.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        body = _body(lambda: ContestDecision(subject=subject, decision=decision, ground=ground))

        def check(made: Contest, _verifier: Verifier) -> None:
            _require((made.decision, made.ground) == (decision, ground), "The node recorded another contest.")

        return _write("/v1/decisions/contest", body, Contest, check, idempotency_key)

    def contests(self) -> Call[OpenContests]:
        """Return what customers contest, newest first."""
        return _get("/v1/decisions/contests", OpenContests, unproven)


class SubjectCalls:
    """Everything about one customer at once."""

    def erase(self, subject: str, *, idempotency_key: str | None = None) -> Call[Erasures]:
        """Erase a customer: keys and rows here at once, the ledger and each partner within 24 hours.

        It cannot be undone, and `subject` is never used again here: whoever comes back gets another id.
        """
        body = _body(lambda: EraseSubject(subject=subject))
        return _write("/v1/erasures", body, Erasures, unproven, idempotency_key)

    def erasures(self, subject: str | None = None) -> Call[Erasures]:
        """Return how far the erasure of a customer is at each partner; None: all that no partner has attested yet."""
        return _search("/v1/erasures/search", _body(lambda: FindErasures(subject=subject)), Erasures, unproven)

    def export(self, subject: str, *, events_from: int | None = None, events_until: int | None = None) -> Call[Export]:
        """Return everything that the node holds about a customer, checked: a file for the customer.

        Args:
            subject: our own id of the customer.
            events_from: only events from this time on, seconds since 1970-01-01 UTC, where there are too many.
            events_until: only events before this time.
        """
        body = _body(lambda: ExportSubject(subject=subject, events_from=events_from, events_until=events_until))

        def check(told: Export, verifier: Verifier) -> None:
            _require(told.subject == subject, "The node exported another customer.")
            try:
                check_export(told, Trust())
            except TallyError as error:
                raise _forged("The node's export does not hold.") from error
            for head in told.heads.values():
                verifier.check_head(head.encode())

        call = _search("/v1/exports/search", body, Export, check)
        return replace(call, size_max_bytes=EXPORT_SIZE_MAX_BYTES)

    def certificate(self, subject: str) -> Call[Certificate]:
        """Return the certificate of a customer's erasure, checked: a file for the customer, that verifies offline."""

        def check(told: Certificate, verifier: Verifier) -> None:
            try:
                check_certificate(told, Trust())
            except TallyError as error:
                raise _forged("The node's certificate does not hold.") from error
            verifier.check_proofs([each.erased for each in told.links])

        return _search("/v1/certificates/search", _body(lambda: FindBySubject(subject=subject)), Certificate, check)


class ProofCalls:
    """What stands in the node's published ledger, proven, to keep and to show."""

    def get(self, index: int) -> Call[EntryProof]:
        """Return the entry at a zero-based place in the ledger, proven against a published head."""

        def check(proof: EntryProof, verifier: Verifier) -> None:
            verifier.check_proofs([proof])
            _require(proof.index == index, "The node proved another entry than the one it was asked for.")

        return _get(f"/v1/proofs/{_segment(str(index))}", EntryProof, check)

    def entries(self, indexes: Sequence[int]) -> Call[Inclusions]:
        """Return 1 to 256 entries by their zero-based places, each proven, all under one published head."""
        body = _body(lambda: FindInclusions(indexes=list(indexes)))
        return _search(
            "/v1/proofs/entries",
            body,
            Inclusions,
            lambda told, verifier: proven.check_inclusions(told, verifier, indexes=indexes),
        )

    def range(self, start: int, end: int) -> Call[EntryRange]:
        """Return the entries [start, end), at most 256, with one proof that all of them stand there."""
        body = _body(lambda: FindRange(start=start, end=end))
        return _search(
            "/v1/proofs/range",
            body,
            EntryRange,
            lambda told, verifier: proven.check_entry_range(told, verifier, start=start, end=end),
        )

    def renew(self, proof: EntryProof) -> Call[EntryProof]:
        """Return the proof of an entry in hand against the published head, which its witnesses have signed.

        The proof that comes with the reply to a write leads to a head that only the log has signed.

        Args:
            proof: the entry and its place.
        """
        body = _body(lambda: FindInclusions(indexes=[proof.index]))

        def parse(raw: bytes) -> EntryProof:
            return proven.proof_file(Inclusions.model_validate_json(raw), stated=proof)

        def check(renewed: EntryProof, verifier: Verifier) -> None:
            verifier.check_proofs([renewed])

        return Call("POST", "/v1/proofs/inclusion", body, parse, check)

    def consistency(self, old: Checkpoint, new: Checkpoint | None = None) -> Call[Consistency]:
        """Return the proof that one head of the ledger is the start of another.

        Args:
            old: a head that the caller has checked.
            new: likewise; None: the published head, which comes with the reply.
        """
        body = _body(lambda: FindConsistency(old_size=old.size, new_size=None if new is None else new.size))
        return _search(
            "/v1/proofs/consistency",
            body,
            Consistency,
            lambda told, verifier: proven.check_consistent(told, verifier, old=old, new=new),
        )

    def subtree(self, start: int, end: int) -> Call[SubtreeProof]:
        """Return the hash of the subtree over leaves [start, end), proven to stand in the published tree."""
        body = _body(lambda: FindSubtree(start=start, end=end))
        return _search(
            "/v1/proofs/subtree",
            body,
            SubtreeProof,
            lambda told, verifier: proven.check_subtree(told, verifier, start=start, end=end),
        )


def next_cursor(page: Claims, *, cursor: str | None, pages_read: int) -> str | None:
    """Return where the next page begins, None at the end.

    Args:
        page: just read.
        cursor: where it began.
        pages_read: how many were read, this one included.

    Raises:
        ReplyForged: the walk would never end.
    """
    if not page.has_more:
        return None
    if page.next_cursor is None or page.next_cursor == cursor or pages_read >= PAGES_MAX:
        raise malformed("A list of pages does not end.")
    return page.next_cursor


def _write(
    path: str, body: bytes, reply: type[_M], check: Callable[[_M, Verifier], None], idempotency_key: str | None
) -> Call[_M]:
    return Call("POST", path, body, reply.model_validate_json, check, writes=True, idempotency_key=idempotency_key)


def _search(path: str, body: bytes, reply: type[_M], check: Callable[[_M, Verifier], None]) -> Call[_M]:
    return Call("POST", path, body, reply.model_validate_json, check)


def _get(path: str, reply: type[_M], check: Callable[[_M, Verifier], None]) -> Call[_M]:
    return Call("GET", path, None, reply.model_validate_json, check)


def _step(receipt_id: str, verb: str, state: str, body: bytes, idempotency_key: str | None) -> Call[Receipt]:
    def check(receipt: Receipt, verifier: Verifier) -> None:
        verifier.check_receipt_written(receipt, state=state)
        _require(receipt.receipt == receipt_id, "The node changed another receipt than the one it was told.")

    return _write(f"/v1/receipts/{_segment(receipt_id)}/{verb}", body, Receipt, check, idempotency_key)


def _version_step(receipt_id: str, verb: str, body: bytes, idempotency_key: str | None) -> Call[Receipt]:
    def check(receipt: Receipt, verifier: Verifier) -> None:
        verifier.check_receipt(receipt)
        _require(receipt.receipt == receipt_id, "The node changed another receipt than the one it was told.")
        _require(bool(receipt.proofs), "A step of a next version comes without its proof.")

    return _write(f"/v1/receipts/{_segment(receipt_id)}/versions/{verb}", body, Receipt, check, idempotency_key)


def _require(is_so: bool, problem: str) -> None:
    if not is_so:
        raise _forged(problem)


def _forged(problem: str) -> ReplyForged:
    return ReplyForged(problem, remedy="Believe nothing of this reply; keep it, and ask the node's operator.")


def _body(make: Callable[[], Request]) -> bytes:
    return _encoded(_made(make))


def _made(make: Callable[[], _Q]) -> _Q:
    try:
        return make()
    except ValidationError as error:
        places = sorted({"/".join(map(str, each["loc"][:1])) for each in error.errors(include_input=False)})
        # Not chained: what a validation error quotes may be a person's.
        raise BadInput(
            f"An argument is not of its form: {', '.join(places)}.", remedy="Compare it with tallystick.wire."
        ) from None


def _encoded(request: Request) -> bytes:
    raw = canonical_json(request.model_dump(mode="json"))
    if len(raw) > REQUEST_SIZE_MAX_BYTES:
        raise BadInput("A request is larger than 512 KiB.", remedy="Send less at once.")
    return raw


def _segment(text: str) -> str:
    if not _SEGMENT.fullmatch(text):
        raise BadInput("An id or name is not of its form.", remedy="Pass it as the node gave it.")
    return text
