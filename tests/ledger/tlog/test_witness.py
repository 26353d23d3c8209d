"""A witness cosigns what grew from what it cosigned last, and says in one status why it does not (tlog-witness)."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from signers import LOG, NOW_S, ORIGIN, STRANGER, WITNESS, WITNESS_PQ
from trees import Tree

from tallystick_ledger.encoding import to_base64
from tallystick_ledger.tlog.checkpoint import Checkpoint, subtree_message
from tallystick_ledger.tlog.merkle import EMPTY_ROOT, prove_consistency, range_hash, root_at
from tallystick_ledger.tlog.note import Signer, open_note, parse_lines, sign_note
from tallystick_ledger.tlog.subtree import prove_subtree_consistency
from tallystick_ledger.tlog.witness import (
    REQUEST_SIZE_MAX_BYTES,
    AddCheckpoint,
    Cosigned,
    SignSubtree,
    WitnessRefused,
    cosign,
    cosign_subtree,
    judge,
    open_request,
    parse_add_checkpoint,
    parse_sign_subtree,
)

TREE = Tree(9)
KEYS = {ORIGIN: [LOG.verifier_key]}


def head(size: int, *, root: bytes | None = None) -> Checkpoint:
    """Return the log's checkpoint of a size."""
    return Checkpoint(ORIGIN, size, root_at(size, TREE.read) if root is None else root)


def request(
    old: int, new: Checkpoint, proof: list[bytes] | None = None, *, signer: Signer = LOG, origin: str | None = None
) -> AddCheckpoint:
    """Return what a log sends: an honest proof where none is given."""
    if proof is None:
        proof = prove_consistency(old, new_size=new.size, read=TREE.read) if 0 < old <= new.size else []
    named = new if origin is None else Checkpoint(origin, new.size, new.root)
    return AddCheckpoint(old, tuple(proof), sign_note(named.body(), [signer], now_s=NOW_S))


def seen(size: int) -> dict[str, Checkpoint]:
    """Return the memory of a witness that has cosigned that size."""
    return {ORIGIN: head(size)}


def test_the_first_checkpoint_is_cosigned() -> None:
    assert judge(open_request(request(0, head(5)), keys=KEYS), seen={}) == head(5)


def test_a_checkpoint_that_grew_is_cosigned() -> None:
    assert judge(open_request(request(5, head(9)), keys=KEYS), seen=seen(5)) == head(9)


def test_the_same_checkpoint_is_cosigned_again() -> None:
    assert judge(open_request(request(5, head(5)), keys=KEYS), seen=seen(5)) == head(5)


def test_a_log_that_was_empty_may_begin() -> None:
    assert judge(open_request(request(0, head(3)), keys=KEYS), seen={ORIGIN: head(0, root=EMPTY_ROOT)}) == head(3)


@pytest.mark.parametrize(
    ("asked", "memory", "status"),
    [
        (request(0, head(5), origin="other.example/log"), {}, 404),
        (request(0, head(5), signer=STRANGER), {}, 403),
        (request(6, head(5)), seen(6), 400),
        (request(4, head(9)), seen(5), 409),
        (request(0, head(9)), seen(5), 409),
        (request(5, head(9)), {}, 409),
        (request(0, head(0, root=bytes(32))), {}, 422),
        (request(0, head(5), [bytes(32)]), {}, 422),
        (request(5, head(5, root=bytes(32)), []), seen(5), 422),
        (request(5, head(9), [bytes(32)]), seen(5), 422),
    ],
    ids=[
        "an unknown log",
        "signed by a stranger",
        "an old size beyond the new",
        "from another size",
        "as if nothing had been seen",
        "from a size never seen",
        "an empty log with leaves",
        "a proof from nothing",
        "another root at the same size",
        "a proof that leads nowhere",
    ],
)
def test_each_refusal_has_its_status(asked: AddCheckpoint, memory: dict[str, Checkpoint], status: int) -> None:
    with pytest.raises(WitnessRefused) as refused:
        judge(open_request(asked, keys=KEYS), seen=memory)
    assert refused.value.status == status


def test_a_conflict_says_what_was_seen() -> None:
    with pytest.raises(WitnessRefused) as refused:
        judge(open_request(request(4, head(9)), keys=KEYS), seen=seen(5))
    assert refused.value.seen_size == 5


def test_a_request_reads_as_it_was_written() -> None:
    asked = request(5, head(9))
    assert parse_add_checkpoint(asked.encode()) == asked
    assert asked.encode().startswith(b"old 5\n")


HASH = to_base64(bytes(32)).encode() + b"\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"old 5\n",
        b"new 5\n\nnote",
        b"old 05\n\nnote",
        b"old +5\n\nnote",
        b"old 9223372036854775808\n\nnote",
        b"old 5\n" + HASH * 64 + b"\nnote",
        b"old 5\nAAAA\n\nnote",
        b"old 5\n" + HASH.replace(b"=", b"") + b"\nnote",
        b"old 5\n" + HASH.replace(b"\n", b"\x0b") + b"\n\nnote",
        b"old 5\n\n" + bytes(REQUEST_SIZE_MAX_BYTES),
    ],
    ids=["empty", "no note", "no old size", "leading zero", "sign", "2^63", "64 hashes", "short hash", "no padding",
         "vertical tab", "too large"],
)  # fmt: skip
def test_what_is_no_request_is_malformed(raw: bytes) -> None:
    with pytest.raises(WitnessRefused) as refused:
        parse_add_checkpoint(raw)
    assert refused.value.status == 400


def test_a_note_that_is_none_is_malformed() -> None:
    with pytest.raises(WitnessRefused) as refused:
        judge(open_request(AddCheckpoint(0, (), b"not a note"), keys=KEYS), seen={})
    assert refused.value.status == 400


def test_sixty_three_hashes_are_taken() -> None:
    assert len(parse_add_checkpoint(b"old 5\n" + HASH * 63 + b"\nnote").proof) == 63


SIGNERS = (WITNESS, WITNESS_PQ)
OWN = [signer.verifier_key for signer in SIGNERS]


def said(asked: AddCheckpoint, last: Cosigned | None, *, now_s: int = NOW_S) -> Cosigned:
    return cosign(open_request(asked, keys=KEYS), last=last, signers=SIGNERS, now_s=now_s)


def test_the_answer_and_the_memory_carry_one_line_of_each_key() -> None:
    first = said(request(0, head(5)), None)
    opened = open_note(first.note, [LOG.verifier_key, *OWN])
    assert [each.timestamp_s for each in opened.verified] == [None, NOW_S, NOW_S]
    assert b"".join(line.text for line in opened.lines[1:]) == first.answer
    assert Cosigned.recall(first.note, at_s=NOW_S, keys=OWN) == first


def test_within_one_second_there_is_nothing_new_to_say() -> None:
    first = said(request(0, head(5)), None)
    assert said(request(5, head(5)), first) is first
    later = said(request(5, head(5)), first, now_s=NOW_S + 1)
    assert (later.at_s, later is first) == (NOW_S + 1, False)
    assert said(request(5, head(9)), first).checkpoint == head(9)


def test_the_time_of_a_cosignature_never_goes_back() -> None:
    """A smaller tree cannot have been the largest seen at a later time."""
    first = said(request(0, head(5)), None)
    assert said(request(5, head(9)), first, now_s=NOW_S - 100).at_s == NOW_S


def test_lines_of_others_are_neither_kept_nor_shown() -> None:
    asked = AddCheckpoint(0, (), sign_note(head(5).body(), [LOG, STRANGER, *[STRANGER] * 90], now_s=NOW_S))
    assert len(open_note(said(asked, None).note, [LOG.verifier_key, *OWN]).lines) == 3


def test_a_line_of_the_log_that_is_wrong_is_refused_with_403() -> None:
    whole = request(0, head(5)).note
    spoilt = whole[:-10] + (b"AAAA" if whole[-10:-6] != b"AAAA" else b"BBBB") + whole[-6:]
    with pytest.raises(WitnessRefused) as refused:
        said(AddCheckpoint(0, (), spoilt), None)
    assert refused.value.status == 403


def part_of(size: int, start: int, end: int, *, note: bytes | None = None) -> SignSubtree:
    whole = said(request(0, head(size)), None).note if note is None else note
    proof = prove_subtree_consistency(start, end, size=size, read=TREE.read)
    return SignSubtree(start, end, range_hash(start, end, TREE.read), tuple(proof), whole)


def test_a_part_is_signed_without_a_time() -> None:
    asked = part_of(9, 4, 8)
    assert parse_sign_subtree(asked.encode()) == asked
    (line,) = parse_lines(cosign_subtree(asked, keys=KEYS, own=OWN, last=head(9), signer=WITNESS_PQ))
    message = subtree_message(
        name=WITNESS_PQ.verifier_key.name, timestamp_s=0, origin=ORIGIN, start=4, end=8, root=asked.root
    )
    MLDSA44PublicKey.from_public_bytes(WITNESS_PQ.verifier_key.public_key).verify(line.payload[8:], message)
    assert line.payload[:8] == bytes(8)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (part_of(9, 4, 8, note=request(0, head(9)).note), 403),
        (part_of(9, 4, 8, note=request(0, head(9), origin="other.example/log").note), 404),
        (part_of(9, 4, 8, note=request(0, head(9), signer=STRANGER).note), 403),
        (part_of(9, 4, 8, note=b"not a note"), 400),
        (replace(part_of(9, 4, 8), start=8, end=16), 400),
        (replace(part_of(9, 4, 8), root=bytes(32)), 422),
        (replace(part_of(9, 4, 8), proof=(bytes(32),)), 422),
    ],
)
def test_no_other_part_is_signed(asked: SignSubtree, status: int) -> None:
    with pytest.raises(WitnessRefused) as refused:
        cosign_subtree(asked, keys=KEYS, own=OWN, last=head(9), signer=WITNESS_PQ)
    assert refused.value.status == status


def test_a_part_of_a_tree_that_is_not_remembered_is_not_signed() -> None:
    """Somebody has stolen the witness's key, and cosigned a tree with it that the witness has never seen."""
    asked = part_of(9, 4, 8)
    for last in (None, head(8), replace(head(9), root=bytes(32))):
        with pytest.raises(WitnessRefused, match="remembers") as refused:
            cosign_subtree(asked, keys=KEYS, own=OWN, last=last, signer=WITNESS_PQ)
        assert refused.value.status == 403
    assert cosign_subtree(asked, keys=KEYS, own=OWN, last=head(10, root=bytes(32)), signer=WITNESS_PQ)


@pytest.mark.parametrize(
    "raw",
    [
        b"subtree 4 8\n\nnote",
        b"subtree 4\n" + HASH + b"\nnote",
        b"subtree 5 8\n" + HASH + b"\nnote",
        b"subtree 8 4\n" + HASH + b"\nnote",
        b"subtree 04 8\n" + HASH + b"\nnote",
        b"subtree 4 8\n" + HASH * 65 + b"\nnote",
        b"old 4\n" + HASH + b"\nnote",
    ],
)
def test_what_asks_for_no_part_is_malformed(raw: bytes) -> None:
    with pytest.raises(WitnessRefused) as refused:
        parse_sign_subtree(raw)
    assert refused.value.status == 400
    assert len(parse_sign_subtree(b"subtree 4 8\n" + HASH * 64 + b"\nnote").proof) == 63
