"""Present a claim from the wallet of the person it is about, and verify what somebody presents.

Pure: time, keys and nonce are passed in. The claim was made for one recipient; its holder shows it to whomever they
choose, signed by the wallet for that one verifier and one nonce, so that nobody can pass it on.

Source: RFC 9901 sections 4.3 and 7.3, draft-ietf-oauth-status-list section 8.3.
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tallystick.descriptor import Descriptor
from tallystick_consent.claims.claim import Claim, peek_audience, verify_claim
from tallystick_consent.claims.sdjwt import KeyBinding, present
from tallystick_consent.claims.status_list import require_valid, verify_status_token


@dataclass(frozen=True, slots=True)
class Presented:
    """A claim that its holder presented to us, just now.

    Attributes:
        claim: what its issuer says; `claim.aud` is for whom it was made.
        stands: it was looked up, in the list that was given, that the claim was not revoked. False: nobody looked.
    """

    claim: Claim
    stands: bool


def present_claim(token: str, *, verifier: str, nonce: str, now_s: int, wallet_key: Ed25519PrivateKey) -> str:
    """Return a claim as the wallet shows it to one verifier.

    Args:
        token: as `client.claims.held` returned it.
        verifier: who asked; the name that the verifier gave.
        nonce: what the verifier gave for this presentation.
        now_s: seconds since 1970-01-01 UTC, from the wallet's clock.
        wallet_key: the private half of the key with which the receipt was given.

    Raises:
        ClaimRejected: it is no claim, or presented already.
    """
    return present(token, nonce=nonce, audience=verifier, now_s=now_s, holder_key=wallet_key)


def verify_presented(
    presented: str, *, issuer: Descriptor, verifier: str, nonce: str, now_s: int, status_list: str | None
) -> Presented:
    """Return the claim that its holder presents, once everything about it was checked.

    Args:
        presented: what the wallet shows.
        issuer: the descriptor of whom we believe about this, with the keys that count now.
        verifier: the name that we gave.
        nonce: what we gave for this presentation.
        now_s: seconds since 1970-01-01 UTC, from our clock.
        status_list: the status list that the claim names, as its issuer publishes it; None where it cannot be had now,
            and `stands` is False then.

    Raises:
        ClaimRejected: malformed, forged, expired, revoked, not presented by its holder, to somebody else, or not now.
        BadInput: not an SD-JWT at all.
    """
    keys = issuer.ed25519("claim")
    claim = verify_claim(
        presented,
        issuer=issuer.host,
        audience=peek_audience(presented),  # whoever it was made for: the wallet has signed for us
        keys=keys,
        now_s=now_s,
        require_key_binding=KeyBinding(nonce, verifier),
    )
    if claim.status is None or status_list is None:
        return Presented(claim, stands=False)
    listed = verify_status_token(status_list, uri=claim.status.status_list.uri, keys=keys, now_s=now_s)
    require_valid(claim.status, listed)
    return Presented(claim, stands=True)
