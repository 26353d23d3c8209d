"""Signed requests and responses between nodes: who sent this, to where, when, and with exactly this body.

Plain values in and out, so that client and server share it. It opens no socket, asks no clock, draws no nonce, and
remembers none: the nonce a request returns is for the node to write down until `expires_s`. Headers and parameters
are read and written by `http_message_signatures`; what this file adds is how strict we are.

A request covers `@method`, `@target-uri`, `content-digest` and `idempotency-key`; a response `@status`,
`content-digest` and `"signature";req`, the Signature field of the request it answers. Nothing else is covered: not
the content type, so read a body as JSON whatever its type claims.

Source: CONSTRUCTIONS (Between nodes), RFC 9421 sections 2.4 and 3, RFC 9530.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures.algorithms import ED25519  # pyright: ignore[reportPrivateImportUsage]  # its public name
from http_message_signatures.exceptions import HTTPMessageSignaturesException
from http_message_signatures.resolvers import MappingKeyResolver
from http_message_signatures.signatures import HTTPMessageSigner, HTTPMessageVerifier
from http_message_signatures.structures import VerifyResult

from tallystick_ledger.errors import BadInput, SignatureRejected, TallyError
from tallystick_ledger.times import CLOCKS_DIFFER_MAX_S

SIGNATURE_TAG = "tallystick"
SIGNATURE_LIFETIME_MAX_S = 300
CLOCK_SKEW_MAX_S = CLOCKS_DIFFER_MAX_S
SIGNED_HEADERS_SIZE_MAX_BYTES = 8 * 1024
"""What the values of the headers read here may weigh together; the body's bound is the caller's."""

NONCE_SIZE_MIN_CHARS, NONCE_SIZE_MAX_CHARS = 16, 64
IDEMPOTENCY_KEY_SIZE_MAX_CHARS = 128
KEY_ID_SIZE_MAX_CHARS = 255

_LABEL = "tally"
_REQUEST_COMPONENTS = ('"@method"', '"@target-uri"', '"content-digest"', '"idempotency-key"')
_RESPONSE_COMPONENTS = ('"@status"', '"content-digest"', '"signature";req')
_NONCE = re.compile(rf"[A-Za-z0-9_-]{{{NONCE_SIZE_MIN_CHARS},{NONCE_SIZE_MAX_CHARS}}}")
_IDEMPOTENCY_KEY = re.compile(rf"[!-~]{{1,{IDEMPOTENCY_KEY_SIZE_MAX_CHARS}}}")
_KEY_ID = re.compile(rf"[!-~]{{1,{KEY_ID_SIZE_MAX_CHARS}}}")


class PeerSignatureRejected(SignatureRejected):
    """A partner's message is not signed as it must be, or was changed on its way."""

    code = "signature_invalid"


class ClockSkew(TallyError):
    """A partner's message is well signed, but not for now: it is stale, or one of the two clocks is wrong.

    Attributes:
        server_time_s: the verifier's clock, in seconds since 1970-01-01 UTC, for the partner to compare.
    """

    code = "clock_skew"

    def __init__(self, problem: str, *, remedy: str, server_time_s: int) -> None:
        super().__init__(problem, remedy=remedy)
        self.server_time_s = server_time_s


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """What a request's signature vouches for. It is no proof of freshness until its nonce is found to be new.

    Attributes:
        key_id: the key that signed, one of those passed in.
        nonce: to be remembered durably until `expires_s`, and refused if seen before from this key.
        created_s: when it was signed by the partner's clock, in seconds since 1970-01-01 UTC.
        expires_s: the first second at which `verify_request` refuses it anyway.
        idempotency_key: 1 to 128 visible ASCII characters.
    """

    key_id: str
    nonce: str
    created_s: int
    expires_s: int
    idempotency_key: str


def sign_request(
    *,
    method: str,
    url: str,
    body: bytes,
    idempotency_key: str,
    key_id: str,
    private_key: Ed25519PrivateKey,
    now_s: int,
    nonce: str,
) -> dict[str, str]:
    """Return the headers to add to a request: Idempotency-Key, Content-Digest, Signature-Input and Signature.

    Args:
        method: in upper case, as it is sent.
        url: the full target URI, spelled as the partner's node will read it; a fragment is not covered.
        body: the bytes as sent, empty if there are none.
        idempotency_key: 1 to 128 visible ASCII characters.
        key_id: the name under which the partner knows our public key.
        private_key: the key that signs.
        now_s: seconds since 1970-01-01 UTC, from the caller's clock; the signature lives 300 s from here.
        nonce: 16 to 64 characters of base64url, from the system's CSPRNG, new for every attempt.

    Raises:
        BadInput: one of the values has not the shape told here.
    """
    if not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        raise BadInput(
            "An idempotency key is not 1 to 128 visible ASCII characters.", remedy="Use a shorter plain key."
        )
    message = _Request(method, url, {"Idempotency-Key": idempotency_key})
    _sign(message, _REQUEST_COMPONENTS, body, key_id, private_key, now_s, nonce)
    return message.headers


def verify_request(
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    keys: Mapping[str, Ed25519PublicKey],
    now_s: int,
) -> VerifiedRequest:
    """Return who signed this request and its nonce, once everything the signature covers has been checked.

    Args:
        method: as received.
        url: the full target URI under the node's own public name; never one built from the Host header alone.
        headers: as received; a repeated line must be kept by `items()`, repeated or joined by commas.
        body: the bytes as received, already bounded by the caller.
        keys: every key that may sign a request here, by its id.
        now_s: seconds since 1970-01-01 UTC, from the caller's clock.

    Raises:
        PeerSignatureRejected: not signed once, by a known key, over exactly the four components, or changed since.
        ClockSkew: well signed, but created more than 300 s from now or already expired.
    """
    picked = _pick(headers, "signature", "signature-input", "content-digest", "idempotency-key")
    result = _verify(_Request(method, url, picked), _REQUEST_COMPONENTS, body, keys)
    idempotency_key = result.covered_components['"idempotency-key"']
    if not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        raise _rejected("The idempotency key is not 1 to 128 visible ASCII characters.")
    return VerifiedRequest(*_require_ours(result, now_s), idempotency_key)


def sign_response(
    *,
    status: int,
    body: bytes,
    request_headers: Mapping[str, str],
    key_id: str,
    private_key: Ed25519PrivateKey,
    now_s: int,
    nonce: str,
) -> dict[str, str]:
    """Return the headers to add to a response: Content-Digest, Signature-Input and Signature.

    Args:
        status: the HTTP status, 100 to 599.
        body: the bytes as sent, before any transfer coding.
        request_headers: of the request this answers, as received; only its Signature is read.
        key_id: the name under which the partner knows our public key.
        private_key: the key that signs.
        now_s: seconds since 1970-01-01 UTC, from the caller's clock; the signature lives 300 s from here.
        nonce: 16 to 64 characters of base64url, from the system's CSPRNG.

    Raises:
        BadInput: the request has no usable Signature to bind to (answer it unsigned), or a value has not its shape.
    """
    message = _Response(status, {}, _asked(request_headers))
    _sign(message, _RESPONSE_COMPONENTS, body, key_id, private_key, now_s, nonce)
    return message.headers


def verify_response(
    *,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    request_headers: Mapping[str, str],
    keys: Mapping[str, Ed25519PublicKey],
    now_s: int,
) -> None:
    """Return quietly if this response was signed for this request by one of `keys`; raise if it was not.

    Its nonce need not be remembered: the response fits no other request, and ours is new each time.

    Args:
        status: the HTTP status as received.
        headers: as received, as for `verify_request`.
        body: the bytes as received, after any transfer coding is undone, already bounded by the caller.
        request_headers: as they were sent, with what `sign_request` returned.
        keys: the keys of the one partner that was asked; with more, any of them could answer for it.
        now_s: seconds since 1970-01-01 UTC, from the caller's clock.

    Raises:
        PeerSignatureRejected: not signed once, by a known key, for this request, or changed since.
        ClockSkew: well signed, but created more than 300 s from now or already expired.
        BadInput: `request_headers` have no Signature.
    """
    picked = _pick(headers, "signature", "signature-input", "content-digest")
    result = _verify(_Response(status, picked, _asked(request_headers)), _RESPONSE_COMPONENTS, body, keys)
    _require_ours(result, now_s)


@dataclass(frozen=True, slots=True)
class _Request:
    """The shape in which the library reads a request."""

    method: str
    url: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Response:
    """The shape in which the library reads a response, and through `request` what is marked `;req`."""

    status_code: int
    headers: dict[str, str]
    request: _Request


class _Verifier(HTTPMessageVerifier):
    """The library's verifier without the library's clock: `_require_ours` judges by the caller's instead."""

    def validate_created_and_expires(self, sig_input: object, max_age: object = None) -> None:
        """Judge nothing yet; a stale message should be called stale only once it is known to be a partner's."""


def _sign(
    message: _Request | _Response,
    components: tuple[str, ...],
    body: bytes,
    key_id: str,
    private_key: Ed25519PrivateKey,
    now_s: int,
    nonce: str,
) -> None:
    if not _KEY_ID.fullmatch(key_id):
        raise BadInput("A key id is not 1 to 255 visible ASCII characters.", remedy="Name the key otherwise.")
    if not _NONCE.fullmatch(nonce):
        raise BadInput("A nonce is not 16 to 64 characters of base64url.", remedy="Encode 16 random bytes.")
    signer = HTTPMessageSigner(
        signature_algorithm=ED25519,
        key_resolver=MappingKeyResolver(public_keys={}, private_keys={key_id: private_key}),
    )
    try:
        signer.sign(  # pyright: ignore[reportUnknownMemberType]  # `message` is untyped there
            message,
            key_id=key_id,
            created=datetime.fromtimestamp(now_s, UTC),
            expires=datetime.fromtimestamp(now_s + SIGNATURE_LIFETIME_MAX_S, UTC),
            nonce=nonce,
            label=_LABEL,
            tag=SIGNATURE_TAG,
            covered_component_ids=components,
            body=body,
        )
    except HTTPMessageSignaturesException as error:
        raise BadInput(
            "A message cannot be signed as it is.",
            remedy="Pass an upper-case method, a full and encoded URL, and headers as they were received.",
        ) from error


def _verify(
    message: _Request | _Response, components: tuple[str, ...], body: bytes, keys: Mapping[str, Ed25519PublicKey]
) -> VerifyResult:
    """Return what the one signature of `message` covers, which is exactly `components`, and fits `body`."""
    verifier = _Verifier(
        signature_algorithm=ED25519, key_resolver=MappingKeyResolver(public_keys=keys, private_keys={})
    )
    try:
        # Without a tag to expect, the library refuses a message with two signatures instead of choosing among them.
        (result,) = verifier.verify(message, max_age=None)  # pyright: ignore[reportUnknownMemberType]  # `message` is untyped there
    except HTTPMessageSignaturesException as error:
        raise _rejected("The message has not one signature by a known key, or was changed since.") from error
    if result.covered_components.keys() - {'"@signature-params"'} != set(components):
        raise _rejected("The signature does not cover exactly the components it must.")
    try:
        verifier.verify_body(message, [result], body)  # pyright: ignore[reportUnknownMemberType]  # `message` is untyped there
    except HTTPMessageSignaturesException as error:
        raise _rejected("The body is not the one whose digest was signed.") from error
    return result


def _require_ours(result: VerifyResult, now_s: int) -> tuple[str, str, int, int]:
    """Return key id, nonce, creation and expiry in seconds, of a signature made for us and for now."""
    parameters = result.parameters
    created_s, expires_s = parameters.get("created"), parameters.get("expires")
    key_id, nonce = parameters.get("keyid"), parameters.get("nonce")
    if parameters.get("tag") != SIGNATURE_TAG:
        raise _rejected("The signature was made for another purpose than ours.")
    if not isinstance(created_s, int) or not isinstance(expires_s, int):
        raise _rejected("The signature does not say when it was created and when it expires.")
    if not 0 < expires_s - created_s <= SIGNATURE_LIFETIME_MAX_S:
        raise _rejected("The signature does not expire within 300 s of its creation.")
    if not isinstance(nonce, str) or not _NONCE.fullmatch(nonce):
        raise _rejected("The signature has no nonce of 16 to 64 characters of base64url.")
    assert isinstance(key_id, str), "the library found the key by it"
    if abs(now_s - created_s) > CLOCK_SKEW_MAX_S:
        raise _skewed("The signature was created more than 300 s from now.", now_s)
    if now_s >= expires_s:
        raise _skewed("The signature has expired.", now_s)
    return key_id, nonce, created_s, expires_s


def _asked(request_headers: Mapping[str, str]) -> _Request:
    """Return the request that a response binds, as far as it is covered: by its signature, which fits no other."""
    try:
        picked = _pick(request_headers, "signature")
    except PeerSignatureRejected as error:
        raise BadInput("The Signature to bind is too large.", remedy="Answer the request unsigned.") from error
    if "signature" not in picked:
        raise BadInput("The request has no Signature to bind a response to.", remedy="Sign the request.")
    # The library wants a method and a URL of every request; neither is covered, and `_verify` refuses one that is.
    return _Request("POST", "https://request.invalid/", picked)


def _pick(headers: Mapping[str, str], *names: str) -> dict[str, str]:
    """Return only the headers we cover, lines of one name joined as RFC 9421 section 2.1 joins them."""
    picked: dict[str, str] = {}
    for name, line in headers.items():
        lower, value = name.lower(), line.strip(" \t")
        if lower in names:
            picked[lower] = f"{picked[lower]}, {value}" if lower in picked else value
    if sum(map(len, picked.values())) > SIGNED_HEADERS_SIZE_MAX_BYTES:
        raise _rejected("The headers of the signature are larger than 8 KiB.")
    return picked


def _rejected(problem: str) -> PeerSignatureRejected:
    return PeerSignatureRejected(
        problem,
        remedy="Sign as the peer API says, with the current key, and let no proxy change the message.",
    )


def _skewed(problem: str, now_s: int) -> ClockSkew:
    return ClockSkew(problem, remedy="Set the clock by server_time and sign anew.", server_time_s=now_s)
