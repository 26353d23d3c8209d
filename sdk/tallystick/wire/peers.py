"""Between partners: what one node tells another.

Source: CONSTRUCTIONS (between nodes).
"""

from typing import Annotated

from pydantic import Field

from tallystick.wire.base import Document, OfferCode, PeriodName, Reply, Request, SignedToken
from tallystick_consent.fields import Digest, LinkId, ProgramName, ReceiptId, Version
from tallystick_consent.receipts.receipt import Notice
from tallystick_ledger.tlog.blob import ENTRY_SIZE_MAX_BYTES


class PeerLink(Request):
    """The issuer's half of a link secret, sealed to the recipient, for an offer it was shown."""

    offer: OfferCode
    half: dict[str, str]


class PeerLinked(Reply):
    """The recipient's half, sealed to the issuer."""

    half: dict[str, str]


class PeerLinkConfirmed(Request):
    """The session that began an offer has confirmed it."""

    link: LinkId


class PeerSigned(Request):
    """One signed object: a program, an agreement, a receipt, a withdrawal or a stop, as compact JWS."""

    token: SignedToken


class PeerReceiptRequested(Request):
    """What a recipient asks a subject to consent to."""

    terms: Document
    notice: Notice


class PeerReceiptRefused(Request):
    """The subject said no to a request."""

    receipt: ReceiptId


class PeerReceiptDeferred(Request):
    """The subject puts off the answer to a request."""

    receipt: ReceiptId


class PeerVersionRefused(Request):
    """The subject said no to a next version."""

    receipt: ReceiptId
    version: Version


class PeerClaim(Request):
    """A claim, and the proof that its issuer logged it before sending it.

    Attributes:
        claim: SD-JWT VC.
        salt: base64url, opens the claim's digest.
        entry: the issuer's `disclosure` entry, exactly.
        proof: a `.tlog-proof` file of that entry against a published head.
    """

    claim: SignedToken
    salt: Digest
    entry: Annotated[str, Field(min_length=1, max_length=ENTRY_SIZE_MAX_BYTES)]
    proof: Annotated[str, Field(min_length=1, max_length=131_072)]


class PeerAsk(Request):
    """A question; always answered alike."""

    link: LinkId
    program: ProgramName
    version: Version
    period: PeriodName


class PeerAcknowledged(Reply):
    """The recipient's signed acknowledgement or acceptance, as compact JWS; "" where none is due."""

    token: str = ""


PEER_CALLS: dict[str, type[Request]] = {
    "/peer/v1/links": PeerLink,
    "/peer/v1/links/confirmed": PeerLinkConfirmed,
    "/peer/v1/programs": PeerSigned,
    "/peer/v1/agreements": PeerSigned,
    "/peer/v1/receipts/requested": PeerReceiptRequested,
    "/peer/v1/receipts/given": PeerSigned,
    "/peer/v1/receipts/refused": PeerReceiptRefused,
    "/peer/v1/receipts/withdrawn": PeerSigned,
    "/peer/v1/receipts/version-refused": PeerVersionRefused,
    "/peer/v1/receipts/deferred": PeerReceiptDeferred,
    "/peer/v1/receipts/renewed": PeerSigned,
    "/peer/v1/receipts/stopped": PeerSigned,
    "/peer/v1/erasures": PeerSigned,
    "/peer/v1/asks": PeerAsk,
    "/peer/v1/claims": PeerClaim,
    "/peer/v1/claims/revoked": PeerSigned,
}
"""What one partner calls at another, by path, and what each such call takes."""
