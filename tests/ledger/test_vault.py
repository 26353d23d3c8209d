"""The vault: commitments as the construction has them, ciphertexts that cannot be moved, keys that can be destroyed."""

import hashlib
import struct
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_ledger.errors import BadInput, PayloadErased, PayloadUnavailable
from tallystick_ledger.vault import (
    PAYLOAD_SIZE_MAX_BYTES,
    Opening,
    Sealed,
    Vault,
    check_commitment,
    commit,
)

GYM = "gym.example"
ENTRY = "evt_" + "a" * 26
OTHER_ENTRY = "evt_" + "b" * 26
JSON = "application/cloudevents+json"
KNOWN = "497bd1625a68d1c2e81f593266dd9bc3d8584de8845b5a990e6c4034db969774"
PLACE = {"entry_id": ENTRY, "media_type": JSON}


class Keys:
    """Keys in memory, as a node keeps them."""

    def __init__(self) -> None:
        self.live: dict[str, bytes] = {}
        self.destroyed: set[str] = set()

    def key_of(self, subject: str) -> bytes:
        if subject in self.destroyed:
            raise PayloadErased("The key was destroyed.", remedy="None.")
        if subject not in self.live:
            raise PayloadUnavailable("There is no key.", remedy="None.")
        return self.live[subject]

    def key_for(self, subject: str) -> bytes:
        if subject not in self.destroyed:
            self.live.setdefault(subject, hashlib.sha256(subject.encode()).digest())
        return self.key_of(subject)

    def destroy(self, subject: str) -> None:
        self.live.pop(subject, None)
        self.destroyed.add(subject)


def counted() -> Callable[[int], bytes]:
    """Return a source of bytes that never repeats."""
    numbers = count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


@pytest.fixture
def vault() -> Vault:
    return Vault(Keys(), origin=GYM, random_bytes=counted())


def lp(part: bytes) -> bytes:
    return struct.pack(">I", len(part)) + part


@given(st.binary(min_size=32, max_size=32), st.text(max_size=9), st.text(max_size=9), st.text(max_size=9), st.binary())
def test_a_commitment_is_what_the_construction_says(
    salt: bytes, origin: str, entry_id: str, media_type: str, payload: bytes
) -> None:
    """C = H(LP("tallystick/commit/v1") || salt32 || LP(origin) || LP(entry id) || LP(media type) || LP(payload))."""
    h = hashlib.sha256()
    h.update(lp(b"tallystick/commit/v1"))
    h.update(salt)
    for part in (origin.encode(), entry_id.encode(), media_type.encode(), payload):
        h.update(lp(part))
    made = commit(Opening(salt, payload), origin=origin, entry_id=entry_id, media_type=media_type)
    assert made == h.digest()


def test_a_commitment_of_known_bytes() -> None:
    """The value was computed once by `printf` and `sha256sum`."""
    made = commit(Opening(bytes(32), b"{}"), origin=GYM, entry_id=ENTRY, media_type=JSON)
    assert made.hex() == KNOWN


def test_a_payload_is_sealed_and_opened(vault: Vault) -> None:
    sealed, opening = vault.seal(b"visit", subject="ana", **PLACE)
    assert vault.open(sealed, subject="ana", **PLACE) == opening
    assert opening.payload == b"visit"
    check_commitment(sealed.commitment, opening, origin=GYM, **PLACE)
    assert b"visit" not in sealed.ciphertext


def test_the_same_payload_is_never_sealed_or_committed_to_alike(vault: Vault) -> None:
    one, _ = vault.seal(b"visit", subject="ana", **PLACE)
    two, _ = vault.seal(b"visit", subject="ana", **PLACE)
    assert one.commitment != two.commitment
    assert one.ciphertext[:12] != two.ciphertext[:12]
    assert one.ciphertext[12:] != two.ciphertext[12:]


def test_a_ciphertext_does_not_open_in_another_place(vault: Vault) -> None:
    sealed, _ = vault.seal(b"visit", subject="ana", **PLACE)
    vault.seal(b"visit", subject="ben", **PLACE)
    for subject, entry_id, media_type in (
        ("ben", ENTRY, JSON),
        ("ana", OTHER_ENTRY, JSON),
        ("ana", ENTRY, "text/plain"),
    ):
        with pytest.raises(PayloadUnavailable, match="does not open"):
            vault.open(sealed, subject=subject, entry_id=entry_id, media_type=media_type)


def test_a_ciphertext_moved_to_another_partner_does_not_open() -> None:
    keys = Keys()
    sealed, _ = Vault(keys, origin=GYM, random_bytes=counted()).seal(b"visit", subject="ana", **PLACE)
    with pytest.raises(PayloadUnavailable, match="does not open"):
        Vault(keys, origin="bank.example", random_bytes=counted()).open(sealed, subject="ana", **PLACE)


def test_a_ciphertext_under_another_entrys_commitment_is_refused(vault: Vault) -> None:
    """It decrypts, since it is in its place; what the ledger says of it is something else."""
    sealed, _ = vault.seal(b"visit", subject="ana", **PLACE)
    other, _ = vault.seal(b"another", subject="ana", **PLACE)
    with pytest.raises(PayloadUnavailable, match="commitment in the ledger"):
        vault.open(Sealed(other.commitment, sealed.ciphertext), subject="ana", **PLACE)


def test_every_changed_byte_of_a_ciphertext_is_refused(vault: Vault) -> None:
    sealed, _ = vault.seal(b"visit", subject="ana", **PLACE)
    for at in range(len(sealed.ciphertext)):
        changed = bytearray(sealed.ciphertext)
        changed[at] ^= 1
        with pytest.raises(PayloadUnavailable):
            vault.open(Sealed(sealed.commitment, bytes(changed)), subject="ana", **PLACE)
    for length in (0, 5, 12, 27, len(sealed.ciphertext) - 1):
        with pytest.raises(PayloadUnavailable):
            vault.open(Sealed(sealed.commitment, sealed.ciphertext[:length]), subject="ana", **PLACE)


def test_what_is_shredded_cannot_be_read_nor_written_again() -> None:
    keys = Keys()
    vault = Vault(keys, origin=GYM, random_bytes=counted())
    ana, _ = vault.seal(b"visit", subject="ana", **PLACE)
    ben, _ = vault.seal(b"visit", subject="ben", **PLACE)
    keys.destroy("ana")
    with pytest.raises(PayloadErased):
        vault.open(ana, subject="ana", **PLACE)
    with pytest.raises(PayloadErased):
        vault.seal(b"visit", subject="ana", **PLACE)
    assert vault.open(ben, subject="ben", **PLACE).payload == b"visit"


def test_a_subject_nobody_knows_has_no_payload(vault: Vault) -> None:
    sealed, _ = vault.seal(b"visit", subject="ana", **PLACE)
    with pytest.raises(PayloadUnavailable):
        vault.open(sealed, subject="eve", **PLACE)


def test_an_opening_with_a_short_salt_opens_nothing() -> None:
    """Where the salt is shorter, the bytes that are hashed could be split otherwise."""
    opening = Opening(bytes(32), b"visit")
    commitment = commit(opening, origin=GYM, **PLACE)
    for wrong in (Opening(bytes(31), b"visit"), Opening(bytes(32), b"visit "), Opening(b"\1" * 32, b"visit")):
        with pytest.raises(PayloadUnavailable):
            check_commitment(commitment, wrong, origin=GYM, **PLACE)


def test_the_largest_payload_is_sealed_and_one_byte_more_is_not(vault: Vault) -> None:
    sealed, _ = vault.seal(bytes(PAYLOAD_SIZE_MAX_BYTES), subject="ana", **PLACE)
    assert len(vault.open(sealed, subject="ana", **PLACE).payload) == 262_144
    with pytest.raises(BadInput, match="larger"):
        vault.seal(bytes(PAYLOAD_SIZE_MAX_BYTES + 1), subject="ana", **PLACE)
