"""Signed notes: what opens, what is ignored, and what is rejected."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import shared
from signers import LOG, LOG_PQ, NOW_S, ORIGIN, STRANGER, WITNESS, WITNESS_PQ, ed25519_key

from tallystick_ledger.errors import NoteMalformed, SignatureRejected, TallyError
from tallystick_ledger.tlog.checkpoint import Checkpoint
from tallystick_ledger.tlog.note import (
    NOTE_SIZE_MAX_BYTES,
    SIGNATURES_MAX,
    NoteSigner,
    SignatureLine,
    Verified,
    VerifierKey,
    add_lines,
    open_note,
    parse_lines,
    sign_line,
    sign_note,
)

BODY = Checkpoint(ORIGIN, 7, bytes(32)).body()
KEYS = [signer.verifier_key for signer in (LOG, LOG_PQ, WITNESS, WITNESS_PQ)]
NOTE = sign_note(BODY, [LOG], now_s=NOW_S)
LINE = NOTE.removeprefix(BODY + b"\n")
DASH = "\u2014".encode()


def line(coded: str, name: str = "x.example") -> bytes:
    return f"\u2014 {name} {coded}\n".encode()


def test_the_note_of_the_specification_opens() -> None:
    example = json.loads(shared("vectors/c2sp_note_examples.json").read_text())["note_spec_example"]
    key = VerifierKey.parse(example["vkey"])
    opened = open_note(example["note"].encode(), [key])
    assert opened.body == b"This is an example message.\n"
    assert opened.verified == (Verified(key, None),)


def test_every_kind_of_signer_signs_one_note() -> None:
    note = sign_note(BODY, [LOG, LOG_PQ, WITNESS, WITNESS_PQ, STRANGER], now_s=NOW_S)
    opened = open_note(note, KEYS)
    assert opened.body == BODY
    assert [(each.key, each.timestamp_s) for each in opened.verified] == list(
        zip(KEYS, [None, NOW_S, NOW_S, NOW_S], strict=True)
    )
    assert [each.name for each in opened.unknown] == ["stranger.example"]
    assert b"".join(each.text for each in opened.lines) == note.removeprefix(BODY + b"\n")


@given(st.text(st.characters(codec="utf-8", min_codepoint=0x20) | st.just("\n"), max_size=200))
def test_any_text_that_ends_in_a_newline_comes_back(text: str) -> None:
    """Blank lines, lines that look like signatures, and Unicode line separators included."""
    body = text.encode() + b"\n"
    assert open_note(sign_note(body, [LOG], now_s=NOW_S), KEYS).body == body


def test_a_text_may_hold_a_whole_note() -> None:
    assert open_note(sign_note(NOTE, [LOG], now_s=NOW_S), KEYS).body == NOTE


@pytest.mark.parametrize(
    "body",
    [b"", b"no newline", b"a\n\n" + line("AAAAAAA=")[:-1], b"\xff\n", b"tab\t\n", b"return\r\n", b"\x00\n"],
)
def test_a_text_that_no_note_can_have_is_not_signed(body: bytes) -> None:
    """The third would come back shorter: without its last newline its end reads as a signature line."""
    with pytest.raises(NoteMalformed):
        sign_note(body, [LOG], now_s=NOW_S)


def test_a_note_without_signers_is_not_made() -> None:
    with pytest.raises(NoteMalformed, match="no signature line"):
        sign_note(BODY, [], now_s=NOW_S)


@settings(max_examples=300)
@given(st.data())
def test_no_changed_byte_opens_as_another_text(data: st.DataObject) -> None:
    """With one signature any change is refused; with two, a change may at most hide one of them."""
    signers = data.draw(st.sampled_from([(LOG,), (LOG_PQ,), (WITNESS,), (LOG, WITNESS), (LOG_PQ, WITNESS_PQ)]))
    note = bytearray(sign_note(BODY, signers, now_s=NOW_S))
    note[data.draw(st.integers(0, len(note) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        opened = open_note(bytes(note), KEYS)
    except TallyError:
        return
    assert opened.body == BODY
    assert 0 < len(opened.verified) < len(signers)


@pytest.mark.parametrize("control", [*range(10), *range(11, 32)])
def test_a_control_character_is_refused_though_python_takes_some_for_a_newline(control: int) -> None:
    body = b"gym.example" + bytes([control]) + b"7\n"
    note = body + b"\n" + sign_line(body, LOG, now_s=NOW_S).text
    with pytest.raises(NoteMalformed, match="control character"):
        open_note(note, KEYS)


@pytest.mark.parametrize(
    ("note", "problem"),
    [
        (b"", "blank line"),
        (BODY + LINE, "blank line"),
        (BODY + b"\n", "no signature line"),
        (BODY + b"\n\n", "signature line"),
        (NOTE[:-1], "does not end"),
        (NOTE + b"more", "does not end"),
        (NOTE + b"more\n", "dash"),
        (NOTE + line("AAAAAAA=").replace(DASH, b"-"), "dash"),
        (NOTE + line("AAAAAAA=").replace(DASH + b" ", DASH), "dash"),
        (NOTE + line("AAAAAAA=", name=""), "key name"),
        (NOTE + line("AAAAAAA=", name="a+b"), "key name"),
        (NOTE + line("AAAAAAA=", name="a\u00a0b"), "key name"),
        (NOTE + line("AAAAAA=="), "too short"),  # a key id, and nothing behind it
        (NOTE + line("AAAAAAB="), "canonical"),
        (NOTE + line("AAAAAAA"), "canonical"),
        (NOTE + line("AAAA AAA="), "canonical"),
        (NOTE + line("AAAAAAA= "), "canonical"),
        (NOTE + line("AAAA-A_="), "canonical"),
        (NOTE + line(""), "too short"),
        (NOTE.replace(b"gym", b"g\xffm"), "UTF-8"),
    ],
)
def test_what_is_not_a_note_is_refused(note: bytes, problem: str) -> None:
    """Most of these hold one good signature, so only the shape of the rest can be refused."""
    with pytest.raises(NoteMalformed, match=problem):
        open_note(note, KEYS)


def test_a_note_may_have_so_many_lines_and_no_more() -> None:
    most = NOTE + line("AAAAAAA=") * (SIGNATURES_MAX - 1)
    assert len(open_note(most, KEYS).unknown) == SIGNATURES_MAX - 1
    with pytest.raises(NoteMalformed, match="too many"):
        open_note(most + line("AAAAAAA="), KEYS)


def test_a_note_may_be_so_large_and_no_larger() -> None:
    room = NOTE_SIZE_MAX_BYTES - len(sign_note(b"\n", [LOG], now_s=NOW_S))
    note = sign_note(b"x" * room + b"\n", [LOG], now_s=NOW_S)
    assert len(note) == NOTE_SIZE_MAX_BYTES
    open_note(note, KEYS)
    body = b"x" * (room + 1) + b"\n"
    with pytest.raises(NoteMalformed, match="too large"):
        open_note(body + b"\n" + sign_line(body, LOG, now_s=NOW_S).text, KEYS)
    with pytest.raises(NoteMalformed, match="too large"):
        parse_lines(line("A" * NOTE_SIZE_MAX_BYTES))


def test_a_note_of_strangers_only_is_rejected() -> None:
    with pytest.raises(SignatureRejected, match="No known key"):
        open_note(sign_note(BODY, [STRANGER], now_s=NOW_S), KEYS)
    with pytest.raises(SignatureRejected, match="No known key"):
        open_note(NOTE, [])


def test_half_of_a_known_key_is_a_stranger() -> None:
    """The same name with another id, and the same id with another name: both lines are left unchecked."""
    signed = sign_line(BODY, LOG, now_s=NOW_S)
    halves = [SignatureLine(ORIGIN, b"\x00\x00\x00\x00", b"junk"), SignatureLine("x.example", signed.key_id, b"junk")]
    opened = open_note(add_lines(NOTE, halves), KEYS)
    assert opened.unknown == tuple(halves)


def test_one_wrong_line_of_a_known_key_rejects_the_whole_note() -> None:
    other = Checkpoint(ORIGIN, 8, bytes(32)).body()
    for signer in (LOG_PQ, WITNESS, WITNESS_PQ):
        note = add_lines(NOTE, [sign_line(other, signer, now_s=NOW_S)])
        with pytest.raises(SignatureRejected, match="wrong"):
            open_note(note, KEYS)
        open_note(note, [LOG.verifier_key])


def test_two_lines_of_one_known_key_reject_the_note_and_of_a_stranger_do_not() -> None:
    with pytest.raises(SignatureRejected, match="two lines"):
        open_note(NOTE + LINE, KEYS)
    stranger = sign_line(BODY, STRANGER, now_s=NOW_S).text
    assert len(open_note(NOTE + stranger * 2, KEYS).unknown) == 2


@pytest.mark.parametrize("signer", [LOG, WITNESS, WITNESS_PQ])
def test_a_signature_cut_short_or_made_longer_is_rejected(signer) -> None:
    whole = sign_line(BODY, signer, now_s=NOW_S)
    for payload in (whole.payload[:-1], whole.payload + b"\x00", whole.payload[:3]):
        changed = SignatureLine(whole.name, whole.key_id, payload)
        with pytest.raises(SignatureRejected, match="wrong"):
            open_note(BODY + b"\n" + changed.text, KEYS)


def test_a_line_added_again_takes_the_place_of_the_older_one() -> None:
    note = add_lines(NOTE, [sign_line(BODY, WITNESS, now_s=NOW_S)])
    note = add_lines(note, [sign_line(BODY, WITNESS, now_s=NOW_S + 60), sign_line(BODY, WITNESS_PQ, now_s=NOW_S)])
    opened = open_note(note, KEYS)
    assert [each.timestamp_s for each in opened.verified] == [None, NOW_S + 60, NOW_S]


def test_lines_are_added_only_to_a_note_and_only_so_many() -> None:
    with pytest.raises(NoteMalformed, match="blank line"):
        add_lines(BODY, [sign_line(BODY, WITNESS, now_s=NOW_S)])
    crowd = [SignatureLine(f"{number}.example", bytes(4), b"s") for number in range(SIGNATURES_MAX)]
    with pytest.raises(NoteMalformed, match="too many"):
        add_lines(NOTE, crowd)


def test_the_lines_a_witness_answers_are_read() -> None:
    lines = [sign_line(BODY, signer, now_s=NOW_S) for signer in (WITNESS, WITNESS_PQ)]
    assert list(parse_lines(b"".join(each.text for each in lines))) == lines
    for raw in (b"", b"\n", lines[0].text[:-1], b"\n" + lines[0].text, lines[0].text + b"\n"):
        with pytest.raises(NoteMalformed):
            parse_lines(raw)


def test_a_plain_signature_is_over_the_text_and_not_over_the_time() -> None:
    signer = NoteSigner("a.example", ed25519_key("a"))
    assert signer.sign(BODY, now_s=1) == signer.sign(BODY, now_s=2) == ed25519_key("a").sign(BODY)
