"""SD-JWT: a signed claim whose parts are shown or held back one by one, issued and strictly verified.

Pure: text and values in, text or values out; time, keys and random bytes are passed in. Verifying refuses whatever
does not have to be there: an answer that crosses a border is read one way, or not at all.

Source: RFC 9901 sections 4 (format), 7.1 and 7.3 (verification); SD-JWT VC (`dc+sd-jwt`) section 3.2.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, NamedTuple, TypeGuard, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tallystick_consent.claims.jws import (
    TOKEN_SIZE_MAX_BYTES,
    FindKey,
    key_by_id,
    only_key,
    open_jws,
    sign_jws,
    sign_payload,
)
from tallystick_consent.errors import ClaimRejected
from tallystick_ledger.encoding import (
    INTEGER_MAX,
    canonical_json,
    from_base64url,
    parse_json,
    to_base64url,
)
from tallystick_ledger.errors import BadInput, SignatureRejected
from tallystick_ledger.tlog.keys import ED25519, VerifierKey

CREDENTIAL_TYP = "dc+sd-jwt"
KEY_BINDING_TYP = "kb+jwt"
HASH_NAME = "sha-256"

SALT_SIZE_BYTES = 16
DISCLOSURE_COUNT_MAX = 64
DEPTH_MAX = 16
"""Objects and arrays inside one another, disclosures put in place, the payload itself counted."""

LEEWAY_S = 60
"""How far two honest clocks may differ."""

KEY_BINDING_AGE_MAX_S = 5 * 60

ALWAYS_SHOWN = frozenset({"aud", "cnf", "exp", "iat", "iss", "nbf", "status", "vct"})
"""What decides whether a claim holds is never for the holder to hide (SD-JWT VC, section 3.2.2.2; `aud` is ours)."""

_DIGESTS, _DIGEST, _HASH = "_sd", "...", "_sd_alg"
_RESERVED = {_DIGESTS, _DIGEST, _HASH}
_SCALARS = (str, int, bool, NoneType)
_SEQUENCES = (list, tuple)
_KEY_BINDING_MEMBERS = {"aud", "iat", "nonce", "sd_hash"}

FindHolder = Callable[[object], FindKey]
"""Takes the `cnf` claim of a verified payload; returns the policy for the key binding's header and key."""


@dataclass(frozen=True, slots=True)
class KeyBinding:
    """What a holder must have signed, just now and for us, to prove that the claim is theirs.

    Attributes:
        nonce: the one we gave for this presentation.
        audience: who we are.
    """

    nonce: str
    audience: str


@dataclass(frozen=True, slots=True)
class VerifiedClaims:
    """What a token says, once everything about it was checked.

    Attributes:
        payload: the claims, disclosures in place; nothing of the SD-JWT format is left.
        disclosed: where disclosures stand, as JSON Pointers without the leading slash: a top-level claim is its name.
        key_binding: the holder's signature was demanded, and is good.
    """

    payload: dict[str, Any]
    disclosed: frozenset[str]
    key_binding: bool


def issue_sd_jwt(
    claims: Mapping[str, object],
    disclosed: Mapping[str, object],
    *,
    typ: str,
    key_id: str,
    private_key: Ed25519PrivateKey,
    random_bytes: Callable[[int], bytes],
) -> str:
    """Return the SD-JWT that says `claims` to everybody and each of `disclosed` to whom the holder shows it.

    Digests are sorted, so their order tells nothing.

    Args:
        claims: always visible; `exp` is a must, and `vct` where typ is `dc+sd-jwt`.
        disclosed: name and value of each top-level claim that can be held back; at most `DISCLOSURE_COUNT_MAX`.
        typ: the kind of token.
        key_id: which of the issuer's keys.
        private_key: the issuer's.
        random_bytes: the system's CSPRNG; called once for each disclosure.

    Raises:
        ClaimRejected: `verify_sd_jwt` would not take the token, whatever the time.
        BadInput: a value has no canonical JSON.

    Source: RFC 9901, section 4.2.
    """
    if not disclosed.keys().isdisjoint(claims.keys() | ALWAYS_SHOWN):
        raise _malformed("A claim that must be visible, or already is, would be disclosed.")
    if len(disclosed) > DISCLOSURE_COUNT_MAX:
        raise _malformed("There are too many disclosures.")
    _require_free_names((claims, disclosed), depth=0)
    _require_shape(claims, typ)
    disclosures = [
        make_disclosure(name, value, salt=random_bytes(SALT_SIZE_BYTES)) for name, value in disclosed.items()
    ]
    payload: dict[str, object] = {**claims, _HASH: HASH_NAME}
    if disclosures:
        payload[_DIGESTS] = sorted(_digest(each) for each in disclosures)
    signed = sign_jws(payload, typ=typ, key_id=key_id, private_key=private_key)
    return _bounded("~".join((signed, *disclosures, "")))


def issue_written(
    claims: str,
    name: str,
    value: str,
    *,
    typ: str,
    key_id: str,
    private_key: Ed25519PrivateKey,
    random_bytes: Callable[[int], bytes],
) -> str:
    """Return what `issue_sd_jwt` returns for one disclosure, of what a strict type has written as JSON already.

    The type stands for all that `issue_sd_jwt` would look at: which members there are, and that they are canonical.

    Args:
        claims: canonical JSON of an object whose names begin with small letters, so that those of SD-JWT come first.
        name: of the claim that can be held back.
        value: its canonical JSON.
        typ, key_id, private_key, random_bytes: as `issue_sd_jwt` has them.
    """
    salt = to_base64url(random_bytes(SALT_SIZE_BYTES))
    disclosure = to_base64url(f'["{salt}","{name}",{value}]'.encode())
    payload = f'{{"{_DIGESTS}":["{_digest(disclosure)}"],"{_HASH}":"{HASH_NAME}",{claims[1:]}'
    signed = sign_payload(payload.encode(), typ=typ, key_id=key_id, private_key=private_key)
    return _bounded(f"{signed}~{disclosure}~")


def make_disclosure(name: str, value: object, *, salt: bytes) -> str:
    """Return the disclosure of one object property: base64url of `[salt, name, value]`.

    Source: RFC 9901, section 4.2.1.
    """
    assert len(salt) == SALT_SIZE_BYTES, "a salt is 128 bits, so that no digest can be guessed open"
    return to_base64url(canonical_json([to_base64url(salt), name, value]))


def confirmation(holder: Ed25519PublicKey) -> dict[str, object]:
    """Return the `cnf` claim that binds a token to the holder's key (RFC 7800 section 3.2, RFC 8037)."""
    return {"jwk": {"crv": "Ed25519", "kty": "OKP", "x": to_base64url(holder.public_bytes_raw())}}


def show_only(token: str, *, names: Collection[str]) -> str:
    """Return the issued token with the disclosures of these top-level claims, and without every other.

    Raises:
        ClaimRejected: a name has no disclosure here, or the token already carries a key binding.
        BadInput: a disclosure is not canonical base64url of JSON.
    """
    parts = _split(token)
    if parts.key_binding:
        raise _unexpected_key_binding()
    named = {_read_disclosure(each)[0]: each for each in parts.disclosures}
    if not named.keys() >= set(names):
        raise _malformed("A claim that is to be shown has no disclosure in the token.")
    return "~".join((parts.signed, *(each for name, each in named.items() if name in names), ""))


def present(token: str, *, nonce: str, audience: str, now_s: int, holder_key: Ed25519PrivateKey) -> str:
    """Return the token with the holder's signature over it, for one verifier and one nonce.

    Args:
        token: as issued, or as `show_only` left it.
        nonce: what the verifier gave.
        audience: who the verifier is.
        now_s: seconds since 1970-01-01 UTC, from the holder's clock.
        holder_key: the private half of what `cnf` names.

    Raises:
        ClaimRejected: the token already carries a key binding, or is malformed.

    Source: RFC 9901, section 4.3.
    """
    if _split(token).key_binding:
        raise _unexpected_key_binding()
    payload = {"aud": audience, "iat": now_s, "nonce": nonce, "sd_hash": _digest(token)}
    return _bounded(token + sign_jws(payload, typ=KEY_BINDING_TYP, key_id=None, private_key=holder_key))


def verify_sd_jwt(
    token: str,
    *,
    typ: str,
    keys: Mapping[str, Ed25519PublicKey],
    now_s: int,
    audience: str | None,
    holder: KeyBinding | None,
    leeway_s: int = LEEWAY_S,
    ignore_key_binding: bool = False,
) -> VerifiedClaims:
    """Return what an SD-JWT signed with Ed25519 says, if everything about it is in order.

    Args:
        token: `jwt~disclosure~...~` or the same with a key binding behind it, from anybody.
        typ: the kind of token expected.
        keys: the issuer's keys trusted for this kind, by key id.
        now_s: seconds since 1970-01-01 UTC, from the caller's clock.
        audience: who we are: `aud` must be exactly this one text. None: the token must not name an audience.
        holder: the key binding demanded. None: there must not be one.
        leeway_s: how far the issuer's and the holder's clocks may differ from ours.
        ignore_key_binding: where none is demanded, pass over one that is there, unread.

    Raises:
        ClaimRejected: for every refusal; `reason` says which.

    Source: RFC 9901, sections 7.1 and 7.3.
    """
    return open_sd_jwt(
        token,
        typ=typ,
        find_issuer=key_by_id(keys),
        find_holder=_confirmed_key,
        now_s=now_s,
        audience=audience,
        holder=holder,
        leeway_s=leeway_s,
        ignore_key_binding=ignore_key_binding,
    )


def open_sd_jwt(
    token: str,
    *,
    typ: str,
    find_issuer: FindKey,
    find_holder: FindHolder,
    now_s: int,
    audience: str | None,
    holder: KeyBinding | None,
    leeway_s: int = LEEWAY_S,
    ignore_key_binding: bool = False,
) -> VerifiedClaims:
    """Return what `verify_sd_jwt` returns, under another policy for keys and algorithms.

    For conformance vectors, which are signed with ES256; the product has one policy, that of `verify_sd_jwt`.
    """
    try:
        parts = _split(token)
        signed = open_jws(parts.signed, typ=typ, find_key=find_issuer)
        opening = _Opening(parts.disclosures)
        payload = opening.payload(signed)
        _require_shape(payload, typ)
        _check_times(payload, now_s=now_s, leeway_s=leeway_s)
        if payload.get("aud") != audience:
            raise ClaimRejected(
                "audience_mismatch", "A claim is meant for somebody else.", remedy="Ask for one that names you alone."
            )
        if holder is not None:
            if not parts.key_binding:
                raise _missing_key_binding()
            binding = open_jws(parts.key_binding, typ=KEY_BINDING_TYP, find_key=find_holder(payload.get("cnf")))
            _check_key_binding(binding, parts.presented, holder, now_s=now_s, leeway_s=leeway_s)
        elif parts.key_binding and not ignore_key_binding:
            raise _unexpected_key_binding()
    except BadInput as error:
        raise ClaimRejected("claim_malformed", error.problem, remedy=error.remedy) from error
    except SignatureRejected as error:
        raise ClaimRejected("signature_invalid", error.problem, remedy=error.remedy) from error
    return VerifiedClaims(payload, frozenset(opening.places), key_binding=holder is not None)


class _Parts(NamedTuple):
    signed: str
    disclosures: Sequence[str]
    key_binding: str
    presented: str
    """Everything before the key binding, which is what its `sd_hash` covers."""


def _split(token: str) -> _Parts:
    _bounded(token)
    signed, *disclosures, key_binding = token.split("~") if "~" in token else ("", "")
    if not signed:
        raise _malformed("A claim has no signed part, or no tilde behind it.")
    if len(disclosures) > DISCLOSURE_COUNT_MAX:
        raise _malformed("There are too many disclosures.")
    return _Parts(signed, disclosures, key_binding, token[: len(token) - len(key_binding)])


_Disclosure = tuple[str | None, object]
"""The name of an object property, or None for an array element; and its value."""


class _Opening:
    """One walk over a payload that puts each disclosure where its digest stands; what is left over is refused."""

    def __init__(self, disclosures: Sequence[str]) -> None:
        self.places: set[str] = set()
        self._met: set[str] = set()
        self._waiting: dict[str, _Disclosure] = {}
        for coded in disclosures:
            digest = _digest(coded)
            if digest in self._waiting:
                raise _malformed("A disclosure is there twice.")
            self._waiting[digest] = _read_disclosure(coded)

    def payload(self, signed: dict[str, Any]) -> dict[str, Any]:
        """RFC 9901, section 7.1, step 3."""
        if signed.get(_HASH, HASH_NAME) != HASH_NAME:
            raise _malformed("Digests are made by a hash that is not known here.")
        opened = self._members(signed, (), 1)
        if self._waiting:
            raise _malformed("A disclosure belongs to no digest.")
        return opened

    def _value(self, value: object, place: tuple[str, ...], depth: int) -> object:
        if isinstance(value, _SCALARS):
            return value
        if isinstance(value, dict):
            return self._members(cast("dict[str, Any]", value), place, depth + 1)
        if isinstance(value, list):
            return self._elements(cast("list[object]", value), place, depth + 1)
        raise _malformed("A number is not an integer.")

    def _members(self, members: dict[str, Any], place: tuple[str, ...], depth: int) -> dict[str, Any]:
        _require_depth(depth)
        opened: dict[str, Any] = {}
        for name, value in members.items():
            if name in _RESERVED:
                if name == _DIGESTS or (name == _HASH and depth == 1):
                    continue
                raise _malformed("A reserved name stands where it has no meaning.")
            if isinstance(value, _SCALARS):
                opened[name] = value
                continue
            met_before = len(self._met)
            opened[name] = self._value(value, (*place, name), depth)
            if len(self._met) > met_before and depth == 1 and name in ALWAYS_SHOWN:
                raise _malformed("A part of a claim that must be visible is selectively disclosed.")
        for digest in _digests_of(members):
            disclosure = self._take(digest)
            if disclosure is None:
                continue
            shown, value = disclosure
            if shown is None:
                raise _malformed("The disclosure of an array element stands among properties.")
            if shown in opened:
                raise _malformed("A disclosure would replace a claim that is already there.")
            if depth == 1 and shown in ALWAYS_SHOWN:
                raise _malformed("A claim that must be visible is selectively disclosed.")
            opened[shown] = self._put(value, (*place, shown), depth)
        return opened

    def _elements(self, elements: list[object], place: tuple[str, ...], depth: int) -> list[object]:
        _require_depth(depth)
        opened: list[object] = []
        for element in elements:
            here = (*place, str(len(opened)))
            if not _is_placeholder(element):
                opened.append(self._value(element, here, depth))
                continue
            disclosure = self._take(element[_DIGEST])
            if disclosure is None:
                continue
            name, value = disclosure
            if name is not None:
                raise _malformed("The disclosure of a property stands among array elements.")
            opened.append(self._put(value, here, depth))
        return opened

    def _take(self, digest: object) -> _Disclosure | None:
        """The disclosure behind a digest; None for one that is held back, and for a decoy."""
        if not isinstance(digest, str):
            raise _malformed("A digest is not text.")
        if digest in self._met:
            raise _malformed("A digest is there twice.")
        self._met.add(digest)
        return self._waiting.pop(digest, None)

    def _put(self, value: object, place: tuple[str, ...], depth: int) -> object:
        self.places.add("/".join(each.replace("~", "~0").replace("/", "~1") for each in place))
        return self._value(value, place, depth)


def _is_placeholder(element: object) -> TypeGuard[dict[str, object]]:
    return isinstance(element, dict) and set(cast("dict[str, object]", element)) == {_DIGEST}


def _digests_of(members: dict[str, Any]) -> list[object]:
    digests = members.get(_DIGESTS, [])
    if not isinstance(digests, list):
        raise _malformed("Digests are not an array.")
    return cast("list[object]", digests)


def _read_disclosure(coded: str) -> _Disclosure:
    parts = parse_json(from_base64url(coded))
    if isinstance(parts, list):
        salt, *named = cast("list[object]", parts) or [None]
        if isinstance(salt, str) and len(named) == 1:
            return None, named[0]
        if isinstance(salt, str) and len(named) == 2 and isinstance(named[0], str) and named[0] not in _RESERVED:
            return named[0], named[1]
    raise _malformed("A disclosure is not a salt, a name that is not reserved, and a value.")


def _digest(text: str) -> str:
    return to_base64url(hashlib.sha256(text.encode()).digest())


def _require_depth(depth: int) -> None:
    if depth > DEPTH_MAX:
        raise _malformed("Objects and arrays are nested too deep.")


def _require_free_names(value: object, *, depth: int) -> None:
    _require_depth(depth)
    inner: Collection[object] = ()
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        if not _RESERVED.isdisjoint(members):
            raise _malformed("A claim has a name that SD-JWT reserves.")
        inner = members.values()
    elif isinstance(value, _SEQUENCES):
        inner = cast("Sequence[object]", value)
    for each in inner:
        if not isinstance(each, _SCALARS):
            _require_free_names(each, depth=depth + 1)


def _require_shape(payload: Mapping[str, object], typ: str) -> None:
    if "exp" not in payload:
        raise _malformed("A claim has no expiry.")
    for name in ("exp", "iat", "nbf"):
        if name in payload:
            _whole_seconds(payload[name])
    if typ == CREDENTIAL_TYP and not (isinstance(payload.get("vct"), str) and payload["vct"]):
        raise _malformed("A credential does not name its type.")


def _whole_seconds(value: object) -> int:
    # A bool is an int to Python, so the type itself is compared.
    if type(value) is not int or not 0 <= value <= INTEGER_MAX:
        raise _malformed("A time is not a whole number of seconds.")
    return value


def _check_times(payload: Mapping[str, Any], *, now_s: int, leeway_s: int) -> None:
    if now_s >= payload["exp"] + leeway_s:
        raise ClaimRejected("claim_expired", "A claim has expired.", remedy="Ask the issuer for a new one.")
    if max(payload.get("iat", 0), payload.get("nbf", 0)) > now_s + leeway_s:
        raise ClaimRejected("claim_not_yet_valid", "A claim is not valid yet.", remedy="Wait, or compare the clocks.")


def _confirmed_key(cnf: object) -> FindKey:
    """The key in `cnf`, in the one form `confirmation` writes."""
    match cnf:
        case {"jwk": {"x": str(point)}}:
            raw = from_base64url(point)
        case _:
            raise _malformed("A claim does not name its holder's key.")
    VerifierKey("holder", ED25519, raw)  # refuses keys under which a signature proves nothing
    key = Ed25519PublicKey.from_public_bytes(raw)
    if cnf != confirmation(key):
        raise _malformed("The holder's key is not a plain Ed25519 public key.")
    return only_key(key)


def _check_key_binding(
    binding: dict[str, Any], presented: str, holder: KeyBinding, *, now_s: int, leeway_s: int
) -> None:
    if binding.keys() != _KEY_BINDING_MEMBERS:
        raise _malformed("A key binding has too many or too few members.")
    if not now_s - KEY_BINDING_AGE_MAX_S <= _whole_seconds(binding["iat"]) <= now_s + leeway_s:
        raise ClaimRejected(
            "key_binding_stale", "The holder did not sign just now.", remedy="Present the claim again, clock set."
        )
    if binding["aud"] != holder.audience:
        raise ClaimRejected(
            "audience_mismatch", "The holder signed for somebody else.", remedy="Present the claim to this verifier."
        )
    if (binding["nonce"], binding["sd_hash"]) != (holder.nonce, _digest(presented)):
        raise ClaimRejected(
            "key_binding_mismatch",
            "The holder signed another nonce or other disclosures.",
            remedy="Present the claim again, with the nonce that was given.",
        )


def _bounded(token: str) -> str:
    if len(token) > TOKEN_SIZE_MAX_BYTES or not token.isascii():
        raise _malformed("A claim is too long, or not ASCII.")
    return token


def _malformed(problem: str) -> ClaimRejected:
    return ClaimRejected("claim_malformed", problem, remedy="Write the claim by RFC 9901, with exp, and in bounds.")


def _unexpected_key_binding() -> ClaimRejected:
    return ClaimRejected(
        "key_binding_unexpected",
        "A key binding is there, and none was asked for.",
        remedy="Show the claim without it; it ends in a tilde.",
    )


def _missing_key_binding() -> ClaimRejected:
    return ClaimRejected(
        "key_binding_missing", "The holder's signature is missing.", remedy="Sign the nonce with the holder's key."
    )
