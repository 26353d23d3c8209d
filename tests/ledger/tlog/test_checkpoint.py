"""Checkpoints and what cosigners say of them, byte for byte as the specifications have it."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from hypothesis import given
from hypothesis import strategies as st
from signers import LOG, LOG_PQ, NOW_S, ORIGIN, WITNESS, WITNESS_PQ, ed25519_key, ml_dsa_key

from tallystick_ledger.errors import BadInput, NoteMalformed, SignatureRejected
from tallystick_ledger.tlog.checkpoint import (
    Checkpoint,
    ed25519_message,
    ml_dsa_44_message,
    open_checkpoint,
    parse_checkpoint_body,
    subtree_message,
)
from tallystick_ledger.tlog.head import EXTENSIONS_MAX, parse_decimal
from tallystick_ledger.tlog.merkle import SIZE_MAX
from tallystick_ledger.tlog.note import CosignatureSigner, SignatureLine, open_note, sign_line, sign_note

SPEC_BODY = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
SPEC_ROOT = base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
ROOT = bytes(range(32))
ROOT_TEXT = base64.b64encode(ROOT)
BODY = Checkpoint(ORIGIN, 7, ROOT).body()
KEYS = [signer.verifier_key for signer in (LOG, LOG_PQ, WITNESS, WITNESS_PQ)]


def test_the_checkpoint_of_the_specification_is_read_and_written_back() -> None:
    checkpoint = parse_checkpoint_body(SPEC_BODY)
    assert checkpoint == Checkpoint("example.com/behind-the-sofa", 20_852_163, SPEC_ROOT)
    assert checkpoint.body() == SPEC_BODY


lines = st.text(st.characters(codec="utf-8", min_codepoint=0x20), min_size=1, max_size=60)


@given(lines, st.integers(0, SIZE_MAX), st.binary(min_size=32, max_size=32), st.lists(lines, max_size=EXTENSIONS_MAX))
def test_every_checkpoint_is_read_back(origin: str, size: int, root: bytes, extensions: list[str]) -> None:
    checkpoint = Checkpoint(origin, size, root, tuple(extensions))
    assert parse_checkpoint_body(checkpoint.body()) == checkpoint


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "fewer"),
        (b"o\n7\n", "fewer"),
        (b"o\n7\n" + ROOT_TEXT, "fewer|does not end"),
        (b"o\n7\n" + ROOT_TEXT + b"\nx", "does not end"),
        (b"\n7\n" + ROOT_TEXT + b"\n", "empty"),
        (b"o\n7\n" + ROOT_TEXT + b"\n\n", "empty"),
        (b"o\x0b\n7\n" + ROOT_TEXT + b"\n", "control"),
        (b"o\r\n7\n" + ROOT_TEXT + b"\n", "control"),
        (b"o\n7\n" + ROOT_TEXT + b"\na\tb\n", "control"),
        (b"\xff\n7\n" + ROOT_TEXT + b"\n", "UTF-8"),
        (b"o\n7\n" + ROOT_TEXT + b"\n\xff\n", "UTF-8"),
        (b"o" * 256 + b"\n7\n" + ROOT_TEXT + b"\n", "255"),
        (b"o\n07\n" + ROOT_TEXT + b"\n", "decimal"),
        (b"o\n9223372036854775808\n" + ROOT_TEXT + b"\n", "decimal"),
        (b"o\n7\n" + ROOT_TEXT[:-1] + b"\n", "canonical"),
        (b"o\n7\n" + base64.b64encode(ROOT[1:]) + b"\n", "32 bytes"),
        (b"o\n7\n" + ROOT_TEXT + b"\n" + b"x\n" * (EXTENSIONS_MAX + 1), "too many"),
    ],
)
def test_what_is_not_a_checkpoint_is_refused(body: bytes, problem: str) -> None:
    with pytest.raises(NoteMalformed, match=problem):
        parse_checkpoint_body(body)


@pytest.mark.parametrize(
    "checkpoint",
    [("a\nb", 7, ROOT), ("a\ud800", 7, ROOT), ("o", -1, ROOT), ("o", SIZE_MAX + 1, ROOT), ("o", 7, ROOT, ("",))],
)
def test_a_checkpoint_that_could_not_be_written_cannot_be_made(checkpoint: tuple) -> None:
    with pytest.raises(NoteMalformed):
        Checkpoint(*checkpoint)


@pytest.mark.parametrize(
    "text", [b"", b"+7", b"-7", b"1_0", b" 7", b"7\n", b"07", b"00", "\u0667".encode(), b"1e3", b"9" * 20]
)
def test_numbers_are_plain_decimal_whatever_python_takes(text: bytes) -> None:
    with pytest.raises(BadInput, match="decimal"):
        parse_decimal(text)


def test_numbers_reach_to_the_bound() -> None:
    assert [parse_decimal(text) for text in (b"0", b"10", b"9223372036854775807")] == [0, 10, SIZE_MAX]
    with pytest.raises(BadInput, match="decimal"):
        parse_decimal(b"9223372036854775808")


def test_an_ed25519_cosigner_signs_the_time_and_the_text() -> None:
    message = b"cosignature/v1\ntime 1679315147\n" + SPEC_BODY
    assert ed25519_message(SPEC_BODY, timestamp_s=1_679_315_147) == message
    payload = WITNESS.sign(SPEC_BODY, now_s=1_679_315_147)
    assert payload[:8] == (1_679_315_147).to_bytes(8, "big")
    assert len(payload) == 72
    Ed25519PublicKey.from_public_bytes(WITNESS.verifier_key.public_key).verify(payload[8:], message)


def test_an_ml_dsa_cosigner_signs_its_name_the_time_and_the_tree() -> None:
    message = (
        b"subtree/v1\n\x00"
        + bytes([18]) + b"witness.example/w2"
        + (1_679_315_147).to_bytes(8, "big")
        + bytes([27]) + b"example.com/behind-the-sofa"
        + bytes(8)
        + (20_852_163).to_bytes(8, "big")
        + SPEC_ROOT
    )  # fmt: skip
    assert ml_dsa_44_message(SPEC_BODY, name="witness.example/w2", timestamp_s=1_679_315_147) == message
    payload = WITNESS_PQ.sign(SPEC_BODY, now_s=1_679_315_147)
    assert payload[:8] == (1_679_315_147).to_bytes(8, "big")
    assert len(payload) == 8 + 2420
    MLDSA44PublicKey.from_public_bytes(WITNESS_PQ.verifier_key.public_key).verify(payload[8:], message)


@pytest.mark.parametrize("signer", [WITNESS, WITNESS_PQ])
def test_a_cosigner_signs_nothing_but_checkpoints(signer: CosignatureSigner) -> None:
    with pytest.raises(NoteMalformed, match="checkpoint"):
        signer.sign(b"I owe a million\n", now_s=NOW_S)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": ""}, "1 to 255"),
        ({"name": "n" * 256}, "1 to 255"),
        ({"origin": ""}, "1 to 255"),
        ({"origin": "o" * 256}, "1 to 255"),
        ({"start": 8, "timestamp_s": 0}, "out of range"),
        ({"end": SIZE_MAX + 1}, "out of range"),
        ({"root": ROOT[1:]}, "out of range"),
        ({"timestamp_s": -1}, "out of range"),
        ({"timestamp_s": 2**63}, "out of range"),
        ({"start": 4}, "largest seen"),
    ],
)
def test_what_does_not_fit_the_cosigned_message_is_refused(change: dict, problem: str) -> None:
    good = {"name": "w", "timestamp_s": NOW_S, "origin": "o", "start": 0, "end": 7, "root": ROOT}
    subtree_message(**good)
    subtree_message(**{**good, "start": 4, "timestamp_s": 0})
    with pytest.raises(NoteMalformed, match=problem):
        subtree_message(**{**good, **change})


def test_a_cosignature_of_a_time_beyond_the_bound_is_rejected() -> None:
    """The signature is good, so only the bound can reject it."""
    timestamp_s = 2**63
    signature = ed25519_key("w1").sign(b"cosignature/v1\ntime %d\n" % timestamp_s + BODY)
    key = WITNESS.verifier_key
    line = SignatureLine(key.name, key.key_id, timestamp_s.to_bytes(8, "big") + signature)
    with pytest.raises(SignatureRejected, match=r"2\^63"):
        open_note(BODY + b"\n" + line.text, KEYS)


def test_an_ml_dsa_line_without_a_claim_of_time_is_good() -> None:
    message = ml_dsa_44_message(BODY, name=ORIGIN, timestamp_s=0)
    payload = bytes(8) + LOG_PQ._private_key.sign(message)
    line = SignatureLine(ORIGIN, LOG_PQ.verifier_key.key_id, payload)
    assert open_note(BODY + b"\n" + line.text, KEYS).verified[0].timestamp_s == 0


def test_a_cosignature_line_on_a_note_that_is_no_checkpoint_is_refused() -> None:
    for signer in (WITNESS, WITNESS_PQ):
        line = SignatureLine(signer.verifier_key.name, signer.verifier_key.key_id, bytes(72))
        with pytest.raises(NoteMalformed, match="checkpoint"):
            open_note(b"text\n\n" + line.text, KEYS)


def test_a_checkpoint_opens_for_its_log() -> None:
    checkpoint, opened = open_checkpoint(sign_note(BODY, [LOG, LOG_PQ, WITNESS], now_s=NOW_S), origin=ORIGIN, keys=KEYS)
    assert checkpoint == Checkpoint(ORIGIN, 7, ROOT)
    assert [each.key for each in opened.verified] == KEYS[:3]


def test_a_checkpoint_of_another_log_does_not_open_though_the_log_signed_it() -> None:
    note = sign_note(Checkpoint("shop.example", 7, ROOT).body(), [LOG], now_s=NOW_S)
    with pytest.raises(SignatureRejected, match="another log"):
        open_checkpoint(note, origin=ORIGIN, keys=KEYS)


def test_a_checkpoint_that_only_witnesses_signed_does_not_open() -> None:
    note = sign_note(BODY, [WITNESS, WITNESS_PQ], now_s=NOW_S)
    with pytest.raises(SignatureRejected, match="log itself"):
        open_checkpoint(note, origin=ORIGIN, keys=KEYS)


def test_a_signed_text_that_is_no_checkpoint_does_not_open() -> None:
    with pytest.raises(NoteMalformed, match="checkpoint"):
        open_checkpoint(sign_note(b"text\n", [LOG], now_s=NOW_S), origin=ORIGIN, keys=KEYS)


def test_an_extension_line_is_covered_by_ed25519_and_not_by_ml_dsa() -> None:
    """What the specification warns of, kept here so that nobody relies on extension lines."""
    extended = Checkpoint(ORIGIN, 7, ROOT, ("extended",)).body()
    for signer, is_covered in ((WITNESS, True), (WITNESS_PQ, False)):
        note = extended + b"\n" + sign_line(BODY, signer, now_s=NOW_S).text
        if is_covered:
            with pytest.raises(SignatureRejected, match="wrong"):
                open_note(note, KEYS)
        else:
            assert open_note(note, KEYS).body == extended


def test_key_ids_of_cosigners_are_made_of_name_kind_and_key() -> None:
    key = WITNESS_PQ.verifier_key
    assert key.key_id == hashlib.sha256(b"witness.example/w2\n\x06" + key.public_key).digest()[:4]


def test_a_cosigner_that_bears_the_log_s_name_is_not_the_log() -> None:
    impostor = CosignatureSigner(ORIGIN, ml_dsa_key("impostor"))
    body = Checkpoint(ORIGIN, 7, bytes(32)).body()
    keys, cosigners = [LOG.verifier_key], [impostor.verifier_key]
    with pytest.raises(SignatureRejected, match="not signed by the log itself"):
        open_checkpoint(sign_note(body, [impostor], now_s=NOW_S), origin=ORIGIN, keys=keys, cosigners=cosigners)
    both = sign_note(body, [LOG, impostor], now_s=NOW_S)
    _, opened = open_checkpoint(both, origin=ORIGIN, keys=keys, cosigners=cosigners)
    assert {each.key for each in opened.verified} == {*keys, *cosigners}
