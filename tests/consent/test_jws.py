"""Compact JWS: what is signed reads back, here and elsewhere; whatever could choose another key is refused."""

import json
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws as joserfc_jws
from joserfc.jwk import OKPKey
from signers import ed25519_key

from tallystick_consent.claims.jws import TOKEN_SIZE_MAX_BYTES, only_key, open_jws, sign_jws, verify_jws
from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.errors import BadInput, SignatureRejected, TallyError

KEY = ed25519_key("receipts of the gym")
KEYS = {"receipt-1": KEY.public_key()}
TYP = "tallystick-receipt+jwt"
HEADER = {"alg": "Ed25519", "kid": "receipt-1", "typ": TYP}
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~= "
PAYLOAD = {"receipt": "rcp_1", "version": 3, "purpose": "fitness reward", "ranges": ["2026-03", None, True]}


def sign(
    payload: Mapping[str, object], *, typ: str = TYP, key_id: str | None = "receipt-1", key: Ed25519PrivateKey = KEY
) -> str:
    return sign_jws(payload, typ=typ, key_id=key_id, private_key=key)


def verify(token: str, *, keys: Mapping[str, Ed25519PublicKey] = KEYS) -> dict[str, object]:
    return verify_jws(token, typ=TYP, keys=keys)


def signed_text(header: str | bytes, payload: str | bytes = b"{}") -> str:
    """A good signature over any header and payload, however they are written."""
    first, second = (to_base64url(each.encode() if isinstance(each, str) else each) for each in (header, payload))
    return signed_segments(first, second)


def signed_segments(header: str, payload: str) -> str:
    return f"{header}.{payload}.{to_base64url(KEY.sign(f'{header}.{payload}'.encode()))}"


def test_what_was_signed_reads_back() -> None:
    assert verify(sign(PAYLOAD)) == PAYLOAD


def test_the_same_payload_is_always_the_same_token() -> None:
    assert sign(PAYLOAD) == sign(dict(reversed(PAYLOAD.items())))
    assert sign({"b": 1, "a": "é"}) == signed_text(json.dumps(HEADER, separators=(",", ":")), '{"a":"é","b":1}')


def test_joserfc_reads_ours() -> None:
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": to_base64url(KEY.public_key().public_bytes_raw())})
    read = joserfc_jws.deserialize_compact(sign(PAYLOAD), key, algorithms=["Ed25519"])
    assert read.headers() == HEADER
    assert json.loads(read.payload) == PAYLOAD


def test_we_read_joserfcs() -> None:
    raw = to_base64url(KEY.private_bytes_raw())
    public = to_base64url(KEY.public_key().public_bytes_raw())
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": public, "d": raw})
    token = joserfc_jws.serialize_compact(HEADER, json.dumps(PAYLOAD), key, algorithms=["Ed25519"])
    assert verify(token) == PAYLOAD


def test_a_header_in_another_spelling_is_as_good() -> None:
    assert verify(signed_text('{ "typ": "tallystick-receipt+jwt", "kid": "receipt-1", "alg": "Ed25519" }')) == {}


@pytest.mark.parametrize("name", ["crit", "jwk", "jku", "x5c", "x5u", "b64", "cty", "zip"])
def test_a_header_may_say_nothing_else(name: str) -> None:
    with pytest.raises(SignatureRejected, match="too many or too few"):
        verify(signed_text(json.dumps(HEADER | {name: "x"})))


@pytest.mark.parametrize("name", ["alg", "kid"])
def test_a_header_may_leave_nothing_out(name: str) -> None:
    with pytest.raises(SignatureRejected, match="too many or too few"):
        verify(signed_text(json.dumps({each: value for each, value in HEADER.items() if each != name})))


@pytest.mark.parametrize("algorithm", ["EdDSA", "none", "ed25519", "HS256", "ES256", None, ["Ed25519"]])
def test_no_other_algorithm_is_accepted_though_the_signature_is_good(algorithm: object) -> None:
    with pytest.raises(SignatureRejected, match="another algorithm"):
        verify(signed_text(json.dumps(HEADER | {"alg": algorithm})))


def test_a_token_without_a_signature_is_refused() -> None:
    with pytest.raises(SignatureRejected, match="signature of a token is wrong"):
        verify(sign(PAYLOAD).rpartition(".")[0] + ".")


@pytest.mark.parametrize("typ", ["tallystick-claim+jwt", "TALLYSTICK-RECEIPT+JWT", "", None])
def test_a_token_of_another_type_is_refused(typ: object) -> None:
    with pytest.raises(SignatureRejected, match="another type"):
        verify(signed_text(json.dumps(HEADER | {"typ": typ})))


@pytest.mark.parametrize("key_id", ["receipt-2", "", None, 1, ["receipt-1"], {"receipt-1": 1}])
def test_an_unknown_key_is_refused(key_id: object) -> None:
    with pytest.raises(SignatureRejected, match="not trusted here"):
        verify(signed_text(json.dumps(HEADER | {"kid": key_id})))


def test_a_signature_by_another_key_is_refused() -> None:
    with pytest.raises(SignatureRejected, match="signature of a token is wrong"):
        verify(sign(PAYLOAD, key=ed25519_key("somebody else")))


def test_a_payload_under_another_payloads_signature_is_refused() -> None:
    header, _, signature = sign(PAYLOAD).split(".")
    with pytest.raises(SignatureRejected, match="signature of a token is wrong"):
        verify(f"{header}.{to_base64url(b'{}')}.{signature}")


def test_a_key_known_from_elsewhere_goes_with_a_header_without_kid() -> None:
    token = sign(PAYLOAD, key_id=None)
    assert open_jws(token, typ=TYP, find_key=only_key(KEY.public_key())) == PAYLOAD
    with pytest.raises(SignatureRejected, match="too many or too few"):
        verify(token)
    with pytest.raises(SignatureRejected, match="too many or too few"):
        open_jws(sign(PAYLOAD), typ=TYP, find_key=only_key(KEY.public_key()))


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c.d", "..\ud800"])
def test_what_is_not_three_segments_of_ascii_is_refused(token: str) -> None:
    with pytest.raises(BadInput, match="three segments"):
        verify(token)


@pytest.mark.parametrize(
    "text",
    ['{"a":1,"a":1}', '{"a":{"b":1,"b":2}}', "[]", "{}{}", "{} x", "", '{"a":NaN}', "[" * 30_000, b'{"a":"\xff"}'],
)
def test_a_payload_is_one_json_object_without_a_name_twice(text: str | bytes) -> None:
    with pytest.raises(BadInput, match="JSON"):
        verify(signed_text(json.dumps(HEADER), text))


def test_a_header_with_a_name_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="JSON"):
        verify(signed_text('{"alg":"none","alg":"Ed25519","kid":"receipt-1","typ":"tallystick-receipt+jwt"}'))


@pytest.mark.parametrize("payload", ["e30=", "e31", "e3 0", "e30\n", "e3+0", "é"])
def test_a_payload_is_canonical_base64url_though_the_signature_is_good(payload: str) -> None:
    with pytest.raises(BadInput, match=r"base64url|ASCII"):
        verify(signed_segments(to_base64url(json.dumps(HEADER).encode()), payload))


def test_a_signature_is_canonical_base64url() -> None:
    token = sign(PAYLOAD)
    # 64 bytes leave four unused bits in the last character, so some other character decodes to the same bytes.
    with pytest.raises(BadInput, match="base64url"):
        verify(token[:-1] + chr(ord(token[-1]) + 1))


def test_a_token_may_be_as_long_as_the_bound_and_no_longer() -> None:
    assert len(verify(token_of(TOKEN_SIZE_MAX_BYTES))["a"]) > 48_000  # type: ignore[arg-type]  # it is text
    with pytest.raises(BadInput, match="too long"):
        verify(token_of(TOKEN_SIZE_MAX_BYTES + 1))


def test_nobody_can_sign_what_nobody_would_read() -> None:
    with pytest.raises(BadInput, match="too long"):
        sign({"a": "x" * TOKEN_SIZE_MAX_BYTES})
    with pytest.raises(BadInput, match="float"):
        sign({"a": 0.5})


def token_of(size: int) -> str:
    """A good token of exactly this many bytes; spaces in the header make up for base64's steps."""
    for spaces in range(4):
        header = json.dumps(HEADER) + " " * spaces
        room = size - len(to_base64url(header.encode())) - len("..") - 86
        token = signed_text(header, '{"a":"' + "x" * (room * 3 // 4 - len('{"a":""}')) + '"}')
        if len(token) == size:
            return token
    raise AssertionError("no spelling has this size")


@given(st.data())
def test_no_token_with_one_character_changed_reads_back(data: st.DataObject) -> None:
    token = sign(PAYLOAD)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from(ALPHABET).filter(lambda each: each != token[place]))
    with pytest.raises(TallyError):
        verify(token[:place] + other + token[place + 1 :])
