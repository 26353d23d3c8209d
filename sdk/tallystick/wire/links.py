"""Links on the wire: offered by one app, accepted in another, confirmed by the first.

Source: CONSTRUCTIONS (links).
"""

from typing import Literal

from tallystick.wire.base import Hint, Login, OfferCode, Reply, Request, Secret, Subject
from tallystick_consent.fields import Host, ProgramName


class OfferLink(Request):
    """Begin a link: our app, with its customer logged in, asks for an offer to carry to the partner's app.

    Attributes:
        challenge: base64url SHA-256 of a verifier that the session keeps (RFC 7636, S256).
        channel: `letter` where the offer goes to the address on file, and is good for thirty days; our back office is
            the session then.
    """

    subject: Subject
    partner: Host
    program: ProgramName
    hint: Hint
    login: Login
    challenge: Secret
    channel: Literal["app", "letter"] = "app"


class AcceptLink(Request):
    """Take an offer: the partner's app, with the same person logged in."""

    subject: Subject
    offer: OfferCode
    hint: Hint
    login: Login


class ConfirmLink(Request):
    """End what an offer began, in the session that began it."""

    offer: OfferCode
    verifier: Secret


class LinkOffer(Reply):
    """An offer: single use, for ten minutes, or for thirty days where it goes by letter."""

    offer: str
    partner: str
    program: str
    expires_at: int


class Link(Reply):
    """The pairwise pseudonym of one customer between two partners.

    Attributes:
        role: which end this node is: the `issuer` of claims, or their `recipient`.
        partner_hint: what the owner recognises the other account by.
    """

    link: str
    partner: str
    program: str
    role: Literal["issuer", "recipient"]
    state: Literal["pending", "active", "ended"]
    partner_hint: str
    created_at: int


class Links(Reply):
    """Links of one customer."""

    links: tuple[Link, ...]
