"""Verifier keys: their text, their id, and the keys that are refused before anything is signed with them."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from places import shared
from signers import LOG, LOG_PQ, WITNESS, WITNESS_PQ, ed25519_key

from tallystick_ledger.encoding import to_base64
from tallystick_ledger.errors import NoteMalformed
from tallystick_ledger.tlog.keys import COSIGNATURE_ED25519, COSIGNATURE_ML_DSA_44, ED25519, VerifierKey, key_id

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
PRIME_ORDER = 2**252 + 27742317777372353535851937790883648493
GOOD = ed25519_key("good").public_key().public_bytes_raw()


def vkey(name: str, kind: int, public_key: bytes) -> str:
    """The text of a key with the right key id, whatever the key is."""
    coded = to_base64(bytes([kind]) + public_key)
    return f"{name}+{key_id(name, kind, public_key).hex()}+{coded}"


def test_published_keys_are_read_and_written_back() -> None:
    examples = json.loads(shared("vectors/c2sp_note_examples.json").read_text())
    for text in [*examples["vkeys_valid"], examples["note_spec_example"]["vkey"]]:
        assert VerifierKey.parse(text).text == text


def test_published_invalid_keys_are_refused() -> None:
    for text in json.loads(shared("vectors/c2sp_note_examples.json").read_text())["vkeys_invalid"]:
        with pytest.raises(NoteMalformed):
            VerifierKey.parse(text)


@pytest.mark.parametrize("signer", [LOG, LOG_PQ, WITNESS, WITNESS_PQ])
def test_a_key_of_each_kind_is_read_and_written_back(signer) -> None:
    assert VerifierKey.parse(signer.verifier_key.text) == signer.verifier_key


def test_the_key_id_binds_the_name_and_the_kind() -> None:
    assert key_id("a", ED25519, GOOD) != key_id("b", ED25519, GOOD)
    assert key_id("a", ED25519, GOOD) != key_id("a", COSIGNATURE_ED25519, GOOD)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not written as"),
        ("name", "not written as"),
        ("name+530d903a", "not have|no kind"),
        (vkey("name", 1, GOOD).upper(), "not written as"),
        (vkey("name", 1, GOOD).replace("name+", "name+0"), "not written as"),
        (vkey("name", 1, GOOD) + "\n", "not canonical"),
        (vkey("name", 1, GOOD) + "=", "not canonical"),
        (vkey("name", 1, GOOD).replace("name", "nome"), "does not have the key id"),
        (vkey("", 1, GOOD), "key name"),
        (vkey("a b", 1, GOOD), "key name"),
        (vkey("a\u00a0b", 1, GOOD), "key name"),
        (vkey("a\u2028b", 1, GOOD), "key name"),
        (vkey("a\x00b", 1, GOOD), "key name"),
        (vkey("n" * 256, 1, GOOD), "key name"),
        (vkey("name", 2, GOOD), "kind"),
        (vkey("name", 255, GOOD), "kind"),
        (vkey("name", 1, GOOD[:31]), "length"),
        (vkey("name", 4, GOOD + b"\x00"), "length"),
        (vkey("name", 6, GOOD), "length"),
        ("name+530d903a+\u00e9", "not written as"),
    ],
)
def test_a_misspelled_key_is_refused(text: str, problem: str) -> None:
    with pytest.raises(NoteMalformed, match=problem):
        VerifierKey.parse(text)


def test_a_name_is_at_most_255_bytes_and_free_of_plus_and_surrogates() -> None:
    VerifierKey("\u00e9" * 127 + "n", ED25519, GOOD)
    for name in ("\u00e9" * 128, "a+b", "a\ud800"):
        with pytest.raises(NoteMalformed, match="key name"):
            VerifierKey(name, ED25519, GOOD)


Point = tuple[int, int]


def add(one: Point, other: Point) -> Point:
    """The complete addition of edwards25519 (RFC 8032, section 5.1.4), in affine form."""
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2
    return (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P


def multiply(count: int, point: Point) -> Point:
    total = (0, 1)
    while count:
        total, point, count = add(total, point) if count & 1 else total, add(point, point), count >> 1
    return total


def point_at(y: int) -> Point | None:
    """One of the two points with this y, if there are any (RFC 8032, section 5.1.3)."""
    x_squared = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x_squared, (P + 3) // 8, P)
    for root in (x, x * pow(2, (P - 1) // 4, P) % P):
        if root * root % P == x_squared:
            return root, y
    return None


def points_of_small_order() -> set[Point]:
    """The eight multiples of a point of order 8, found by taking the large prime out of arbitrary points."""
    for y in range(2, 100):
        point = point_at(y)
        torsion = multiply(PRIME_ORDER, point) if point else (0, 1)
        if multiply(4, torsion) != (0, 1):
            return {multiply(count, torsion) for count in range(8)}
    raise AssertionError("half of all points have an order that 8 divides")


def test_a_key_of_small_order_is_refused_in_every_encoding() -> None:
    """The eight points are computed here, and not taken from the table that refuses them."""
    points = points_of_small_order()
    assert len(points) == 8
    for _, y in points:
        for spelled in (y, y + P):
            for sign in (0, 1 << 255):
                if spelled < 1 << 255:
                    with pytest.raises(NoteMalformed, match=r"small order|canonical"):
                        VerifierKey("name", ED25519, (spelled | sign).to_bytes(32, "little"))
                    with pytest.raises(NoteMalformed, match=r"small order|canonical"):
                        VerifierKey("name", COSIGNATURE_ED25519, (spelled | sign).to_bytes(32, "little"))


@pytest.mark.parametrize("low", range(2, 19))
def test_a_second_encoding_of_a_sound_key_is_refused(low: int) -> None:
    with pytest.raises(NoteMalformed, match="canonical"):
        VerifierKey("name", ED25519, (P + low).to_bytes(32, "little"))


def test_what_the_refusal_prevents() -> None:
    """Under the neutral point one signature, made without any secret, holds for every message."""
    neutral = (1).to_bytes(32, "little")
    forged = neutral + bytes(32)
    for message in (b"I owe nothing", b"I owe a million"):
        Ed25519PublicKey.from_public_bytes(neutral).verify(forged, message)


def test_an_ml_dsa_key_may_begin_like_a_bad_point() -> None:
    VerifierKey("name", COSIGNATURE_ML_DSA_44, (1).to_bytes(1312, "little"))


@given(st.text(max_size=60))
def test_no_text_is_a_key_by_accident(text: str) -> None:
    with pytest.raises(NoteMalformed):
        VerifierKey.parse(text)
