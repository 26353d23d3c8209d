"""Proof files: what an auditor can check offline, and what each part of such a file may not be."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signers import LOG, LOG_PQ, NOW_S, ORIGIN, STRANGER, WITNESS
from trees import Tree, root_of

from tallystick_ledger.errors import NoteMalformed, ProofMalformed, ProofRejected, SignatureRejected
from tallystick_ledger.tlog.checkpoint import Checkpoint
from tallystick_ledger.tlog.merkle import PROOF_HASHES_MAX, SIZE_MAX, prove_inclusion
from tallystick_ledger.tlog.note import NOTE_SIZE_MAX_BYTES, sign_note
from tallystick_ledger.tlog.proof import (
    EXTRA_SIZE_MAX_BYTES,
    PROOF_SIZE_MAX_BYTES,
    InclusionProof,
    check_entry,
    check_proof,
    parse_proof,
)

TREE = Tree(11)
HEAD = Checkpoint(ORIGIN, TREE.size, root_of(TREE.leaves))
NOTE = sign_note(HEAD.body(), [LOG, LOG_PQ, WITNESS], now_s=NOW_S)
KEYS = [LOG.verifier_key, LOG_PQ.verifier_key]
HASH = b"h" * 32
HASH_TEXT = base64.b64encode(HASH)
START = b"c2sp.org/tlog-proof@v1\n"


def proof_of(index: int) -> InclusionProof:
    return InclusionProof(index, tuple(prove_inclusion(index, size=TREE.size, read=TREE.read)), NOTE)


@pytest.mark.parametrize("index", range(TREE.size))
def test_every_entry_has_a_proof_that_holds_offline(index: int) -> None:
    raw = proof_of(index).encode()
    assert check_proof(parse_proof(raw), entry=TREE.entries[index], origin=ORIGIN, keys=KEYS) == HEAD


def test_a_proof_file_is_written_as_the_specification_shows() -> None:
    proof = InclusionProof(73_894, (HASH, HASH), NOTE, extra=b"age")
    lines = (b"extra YWdl\n", b"index 73894\n", HASH_TEXT + b"\n", HASH_TEXT + b"\n", b"\n")
    assert proof.encode() == START + b"".join(lines) + NOTE


@given(
    st.integers(0, SIZE_MAX),
    st.lists(st.binary(min_size=32, max_size=32), max_size=PROOF_HASHES_MAX),
    st.binary(min_size=1, max_size=200),
    st.none() | st.binary(min_size=1, max_size=200),
)
def test_every_proof_is_read_back(index: int, hashes: list[bytes], checkpoint: bytes, extra: bytes | None) -> None:
    proof = InclusionProof(index, tuple(hashes), checkpoint, extra)
    assert parse_proof(proof.encode()) == proof


def test_a_proof_of_the_only_entry_has_no_hashes() -> None:
    assert parse_proof(START + b"index 0\n\n" + NOTE) == InclusionProof(0, (), NOTE)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"", "header"),
        (START.replace(b"v1", b"v2") + b"index 0\n\n" + NOTE, "header"),
        (START.replace(b"\n", b"\r\n") + b"index 0\n\n" + NOTE, "header"),
        (START + b"index 0\n", "blank line"),
        (START + b"index 0\n\n", "no checkpoint"),
        (START + b"\n" + NOTE, "no index"),
        (START + b"extra YWdl\n\n" + NOTE, "no index"),
        (START + HASH_TEXT + b"\n\n" + NOTE, "no index"),
        (START + b"index 0\nextra YWdl\n\n" + NOTE, "canonical"),
        (START + b"extra YWdl\nextra YWdl\nindex 0\n\n" + NOTE, "no index"),
        (START + b"extra \nindex 0\n\n" + NOTE, "extra"),
        (START + b"extra YWd\nindex 0\n\n" + NOTE, "canonical"),
        (START + b"index 00\n\n" + NOTE, "decimal"),
        (START + b"index +1\n\n" + NOTE, "decimal"),
        (START + b"index  1\n\n" + NOTE, "decimal"),
        (START + b"index 9223372036854775808\n\n" + NOTE, "decimal"),
        (START + b"index 18446744073709551616\n\n" + NOTE, "decimal"),
        (START + b"index \xd9\xa1\n\n" + NOTE, "decimal"),
        (START.replace(b"\n", b"\x0b") + b"index 0\n\n" + NOTE, "header"),
        (START + b"index 0\x0b" + HASH_TEXT + b"\n\n" + NOTE, "decimal"),
        (START + b"index 0\n" + HASH_TEXT + b"\x0b" + HASH_TEXT + b"\n\n" + NOTE, "canonical"),
        (START + b"index 0\nAAAA\n\n" + NOTE, "32 bytes"),
        (START + b"index 0\n" + HASH_TEXT[:-2] + b"B=\n\n" + NOTE, "canonical"),
        (START + b"index 0\n" + (HASH_TEXT + b"\n") * 64 + b"\n" + NOTE, "63 hashes"),
        (START + b"index 0\n\n" + b"n" * PROOF_SIZE_MAX_BYTES, "file is too large"),
    ],
)
def test_what_is_not_a_proof_file_is_refused(raw: bytes, problem: str) -> None:
    with pytest.raises(ProofMalformed, match=problem):
        parse_proof(raw)


def test_the_largest_of_every_part_still_fits_a_file() -> None:
    checkpoint, extra = b"n" * NOTE_SIZE_MAX_BYTES, b"e" * EXTRA_SIZE_MAX_BYTES
    proof = InclusionProof(SIZE_MAX, (HASH,) * PROOF_HASHES_MAX, checkpoint, extra)
    assert parse_proof(proof.encode()) == proof


@pytest.mark.parametrize(
    ("index", "checkpoint", "extra", "problem"),
    [
        (-1, NOTE, None, "index"),
        (SIZE_MAX + 1, NOTE, None, "index"),
        (0, b"n" * (NOTE_SIZE_MAX_BYTES + 1), None, "too large"),
        (0, NOTE, b"e" * (EXTRA_SIZE_MAX_BYTES + 1), "extra"),
    ],
)
def test_what_no_file_can_say_is_refused(index: int, checkpoint: bytes, extra: bytes | None, problem: str) -> None:
    with pytest.raises(ProofMalformed, match=problem):
        InclusionProof(index, (), checkpoint, extra)


def test_a_proof_holds_for_its_own_entry_only() -> None:
    with pytest.raises(ProofRejected, match="different root"):
        check_proof(proof_of(3), entry=TREE.entries[4], origin=ORIGIN, keys=KEYS)


def test_a_proof_is_worth_what_its_checkpoint_is_worth() -> None:
    stranger = InclusionProof(3, proof_of(3).hashes, sign_note(HEAD.body(), [STRANGER], now_s=NOW_S))
    with pytest.raises(SignatureRejected, match="No known key"):
        check_proof(stranger, entry=TREE.entries[3], origin=ORIGIN, keys=KEYS)
    with pytest.raises(SignatureRejected, match="another log"):
        check_proof(proof_of(3), entry=TREE.entries[3], origin="shop.example/log", keys=KEYS)
    with pytest.raises(NoteMalformed):
        check_proof(InclusionProof(3, proof_of(3).hashes, b"?"), entry=TREE.entries[3], origin=ORIGIN, keys=KEYS)


def test_a_checkpoint_opened_elsewhere_can_be_checked_against() -> None:
    check_entry(proof_of(3), entry=TREE.entries[3], checkpoint=HEAD)
    with pytest.raises(ProofRejected):
        check_entry(proof_of(3), entry=TREE.entries[3], checkpoint=Checkpoint(ORIGIN, TREE.size, HASH))
