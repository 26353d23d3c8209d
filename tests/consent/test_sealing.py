"""Sealed to one partner: only it opens, only what the sender signed, and only as what it was sealed for."""

from dataclasses import replace
from typing import Any

import pytest
import second
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite
from hypothesis import given, settings
from hypothesis import strategies as st
from signers import ed25519_key

from tallystick_consent.sealing import PLAINTEXT_SIZE_MAX_BYTES, Context, SealKey, open_from, seal_to
from tallystick_ledger.encoding import from_base64url, to_base64url
from tallystick_ledger.errors import BadInput, SignatureRejected

INSURER = SealKey(bytes(range(96)))
GYM = ed25519_key("receipts of the gym")
STRANGER = ed25519_key("stranger")
CONTEXT = Context(
    sender="gym.example",
    recipient="insurer.example",
    key_id="seal-1",
    purpose="link",
    receipt="rcp_1",
    leaf=b"\x07" * 32,
)
HALF = b"a half of a link secret"
TAG_SIZE_BYTES = 16
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def seal(plain: bytes = HALF) -> dict[str, str]:
    return seal_to(plain, recipient_key=INSURER.public, context=CONTEXT, signing_key=GYM)


def opened(message: dict[str, Any], *, key: SealKey = INSURER, context: Context = CONTEXT) -> bytes:
    return open_from(message, key=key, context=context, sender_key=GYM.public_key())


def encrypted(padded: bytes, *, info: bytes) -> bytes:
    """Encrypt with the HPKE suite itself, so that a sender's mistakes can be made."""
    public = MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(INSURER.public[:1184]),
        X25519PublicKey.from_public_bytes(INSURER.public[1184:]),
    )
    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM).encrypt(padded, public, info)


def signed(enc: bytes, ciphertext: bytes) -> dict[str, str]:
    """Sign as the gym does, whatever was encrypted and wherever it is cut."""
    signature = GYM.sign(second.sealed_message(CONTEXT.info(), enc, ciphertext))
    return {"enc": to_base64url(enc), "ciphertext": to_base64url(ciphertext), "signature": to_base64url(signature)}


def made_by_hand(padded: bytes, *, info: bytes | None = None, enc_size: int = 1120) -> dict[str, str]:
    sealed = encrypted(padded, info=CONTEXT.info() if info is None else info)
    return signed(sealed[:enc_size], sealed[enc_size:])


def test_what_was_sealed_opens() -> None:
    assert opened(seal()) == HALF


def test_a_message_made_by_the_text_alone_opens() -> None:
    assert opened(made_by_hand(second.padded(HALF))) == HALF


def test_the_info_is_that_of_the_text() -> None:
    by_text = second.sealed_info("gym.example", "insurer.example", "seal-1", "rcp_1", "link", b"\x07" * 32)
    assert CONTEXT.info() == by_text


def test_a_link_half_names_neither_receipt_nor_leaf() -> None:
    half = Context(sender="gym.example", recipient="insurer.example", key_id="seal-1", purpose="link")
    assert half.info() == second.sealed_info("gym.example", "insurer.example", "seal-1", "", "link", bytes(32))


@given(size=st.integers(0, 5_000))
@settings(max_examples=50, deadline=None)
def test_a_length_tells_a_power_of_two_and_no_more(size: int) -> None:
    padded_size = len(from_base64url(seal(bytes(size))["ciphertext"])) - TAG_SIZE_BYTES
    assert padded_size == len(second.padded(bytes(size)))
    assert padded_size % 256 == 0
    assert (padded_size // 256).bit_count() == 1


@pytest.mark.parametrize(("size", "padded_size"), [(0, 256), (252, 256), (253, 512), (508, 512), (509, 1024)])
def test_padding_steps_where_length_and_plaintext_no_longer_fit(size: int, padded_size: int) -> None:
    message = seal(bytes(size))
    assert len(from_base64url(message["ciphertext"])) == padded_size + TAG_SIZE_BYTES
    assert opened(message) == bytes(size)


def test_the_largest_plaintext_opens() -> None:
    assert opened(seal(bytes(PLAINTEXT_SIZE_MAX_BYTES))) == bytes(PLAINTEXT_SIZE_MAX_BYTES)


@pytest.mark.parametrize(
    "padded",
    [
        b"",
        second.lp(HALF),  # no padding at all
        second.padded(HALF)[:-1],  # one zero short
        second.padded(HALF) + bytes(256),  # a step too long
        second.padded(HALF)[:-1] + b"\x01",  # something hidden in the padding
        (253).to_bytes(4, "big") + bytes(252),  # a length beyond its end
        second.padded(bytes(PLAINTEXT_SIZE_MAX_BYTES + 1)),
    ],
)
def test_another_padding_is_refused(padded: bytes) -> None:
    """Encrypted and signed as it must be, so only the padding's own check can catch it."""
    with pytest.raises(BadInput, match="padded"):
        opened(made_by_hand(padded))


def test_what_another_signed_is_refused() -> None:
    """It decrypts: HPKE alone does not say who sent it."""
    message = seal_to(HALF, recipient_key=INSURER.public, context=CONTEXT, signing_key=STRANGER)
    with pytest.raises(SignatureRejected):
        opened(message)


def test_what_is_encrypted_to_another_key_is_refused() -> None:
    """The signature holds: only decryption can tell."""
    with pytest.raises(SignatureRejected):
        opened(seal(), key=SealKey(bytes(range(1, 97))))


@pytest.mark.parametrize(
    "other",
    [
        replace(CONTEXT, sender="cafe.example"),
        replace(CONTEXT, recipient="cafe.example"),
        replace(CONTEXT, key_id="seal-2"),
        replace(CONTEXT, receipt="rcp_2"),
        replace(CONTEXT, purpose="payload"),
        replace(CONTEXT, leaf=bytes(32)),
    ],
)
def test_what_was_sealed_for_something_else_is_refused(other: Context) -> None:
    with pytest.raises(SignatureRejected):
        opened(seal(), context=other)
    # The key derivation is bound as well: signed for this, encrypted for that.
    with pytest.raises(SignatureRejected):
        opened(made_by_hand(second.padded(HALF), info=other.info()))


@pytest.mark.parametrize("name", ["enc", "ciphertext"])
def test_a_changed_part_is_refused(name: str) -> None:
    message = seal()
    raw = bytearray(from_base64url(message[name]))
    raw[-1] ^= 1
    with pytest.raises(SignatureRejected):
        opened({**message, name: to_base64url(bytes(raw))})
    # Signed anew over the changed bytes, so that decryption has to tell.
    changed = {**{each: from_base64url(message[each]) for each in ("enc", "ciphertext")}, name: bytes(raw)}
    with pytest.raises(SignatureRejected):
        opened(signed(**changed))


@pytest.mark.parametrize("enc_size", [0, 1119, 1121])
def test_a_message_cut_elsewhere_is_refused(enc_size: int) -> None:
    """Joined again these bytes decrypt, and the sender signed the cut."""
    with pytest.raises(BadInput, match="1120"):
        opened(made_by_hand(second.padded(HALF), enc_size=enc_size))


def test_a_message_of_other_members_is_refused() -> None:
    message = seal()
    with pytest.raises(BadInput, match="members"):
        opened({**message, "version": "1"})
    for name in message:
        with pytest.raises(BadInput, match="members"):
            opened({each: text for each, text in message.items() if each != name})
        with pytest.raises(BadInput, match="members"):
            opened({**message, name: 7})


@pytest.mark.parametrize("name", ["enc", "ciphertext", "signature"])
def test_a_second_spelling_of_the_same_bytes_is_refused(name: str) -> None:
    message = seal()
    with pytest.raises(BadInput, match="canonical"):
        opened({**message, name: message[name] + "="})


def test_unused_bits_are_zero() -> None:
    message = seal()
    text = message["signature"]
    other = text[:-1] + BASE64URL[BASE64URL.index(text[-1]) + 1]
    with pytest.raises(BadInput, match="canonical"):
        opened({**message, "signature": other})


@pytest.mark.parametrize(
    "key",
    [
        b"",
        INSURER.public[:-1],
        INSURER.public + b"\x00",
        b"\xff" * 1184 + INSURER.public[1184:],  # coefficients beyond the modulus of ML-KEM
        INSURER.public[:1184] + bytes(32),  # the X25519 point of order 1
    ],
)
def test_what_is_no_seal_key_is_refused(key: bytes) -> None:
    with pytest.raises(BadInput, match="seal key"):
        seal_to(HALF, recipient_key=key, context=CONTEXT, signing_key=GYM)


def test_a_private_key_is_not_shown() -> None:
    assert repr(INSURER) == "SealKey()"
