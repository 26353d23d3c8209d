"""Calls about links."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tallystick.calls.base import body_of, search_call, write_call
from tallystick.core import Call, RandomBytes, unproven
from tallystick.wire import (
    AcceptLink,
    ConfirmLink,
    FindBySubject,
    FindMatch,
    Link,
    LinkOffer,
    Links,
    Login,
    Match,
    MatchLink,
    OfferLink,
)
from tallystick_consent.receipts.evidence import Channel
from tallystick_ledger.encoding import to_base64url

VERIFIER_SIZE_BYTES = 32


@dataclass(frozen=True, slots=True)
class OfferInHand:
    """An offer, and what only the session that began it knows; keep it in that session, and nowhere else.

    Attributes:
        offer: what the customer carries to the partner's app.
        verifier: proves that whoever confirms is the one who began.
        expires_at: seconds since 1970-01-01 UTC; ten minutes from its making, thirty days where it goes by letter.
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
        body = body_of(
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
        body = body_of(lambda: AcceptLink(subject=subject, offer=offer, hint=hint, login=login))
        return write_call("/v1/links/accept", body, Link, unproven, idempotency_key)

    def confirm(self, offer: OfferInHand, *, idempotency_key: str | None = None) -> Call[Link]:
        """End what `offer` began, in the session that began it; the link is active then."""
        body = body_of(lambda: ConfirmLink(offer=offer.offer, verifier=offer.verifier))
        return write_call("/v1/links/confirm", body, Link, unproven, idempotency_key)

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
        body = body_of(
            lambda: MatchLink(
                offer=offer, candidates=tuple(candidates), hint=hint, login=login, channel=channel, agent=agent
            )
        )
        return write_call("/v1/links/match", body, Match, unproven, idempotency_key)

    def find_match(self, offer: str) -> Call[Match]:
        """Return what became of an offer that was brought by letter."""
        return search_call("/v1/links/matches/search", body_of(lambda: FindMatch(offer=offer)), Match, unproven)

    def find(self, subject: str) -> Call[Links]:
        """Return the links of one customer."""
        return search_call("/v1/links/search", body_of(lambda: FindBySubject(subject=subject)), Links, unproven)
