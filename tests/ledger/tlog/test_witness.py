"""A witness cosigns what grew from what it cosigned last, and says in one status why it does not (tlog-witness)."""

import pytest
from signers import LOG, NOW_S, ORIGIN, STRANGER
from trees import Tree

from tallystick_ledger.encoding import to_base64
from tallystick_ledger.tlog.checkpoint import Checkpoint
from tallystick_ledger.tlog.merkle import EMPTY_ROOT, prove_consistency, root_at
from tallystick_ledger.tlog.note import Signer, sign_note
from tallystick_ledger.tlog.witness import (
    REQUEST_SIZE_MAX_BYTES,
    AddCheckpoint,
    WitnessRefused,
    judge,
    parse_add_checkpoint,
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
    assert judge(request(0, head(5)), keys=KEYS, seen={}) == head(5)


def test_a_checkpoint_that_grew_is_cosigned() -> None:
    assert judge(request(5, head(9)), keys=KEYS, seen=seen(5)) == head(9)


def test_the_same_checkpoint_is_cosigned_again() -> None:
    assert judge(request(5, head(5)), keys=KEYS, seen=seen(5)) == head(5)


def test_a_log_that_was_empty_may_begin() -> None:
    assert judge(request(0, head(3)), keys=KEYS, seen={ORIGIN: head(0, root=EMPTY_ROOT)}) == head(3)


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
        judge(asked, keys=KEYS, seen=memory)
    assert refused.value.status == status


def test_a_conflict_says_what_was_seen() -> None:
    with pytest.raises(WitnessRefused) as refused:
        judge(request(4, head(9)), keys=KEYS, seen=seen(5))
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
        judge(AddCheckpoint(0, (), b"not a note"), keys=KEYS, seen={})
    assert refused.value.status == 400


def test_sixty_three_hashes_are_taken() -> None:
    assert len(parse_add_checkpoint(b"old 5\n" + HASH * 63 + b"\nnote").proof) == 63
