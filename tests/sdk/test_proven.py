"""Answers of the proof service are believed as far as they lead to a head that the node's own log signed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sdk.stand_in import DESCRIPTOR, KEYS, LOG_SIGNER, NOW_S, ORIGIN
from trees import Tree, root_of

from tallystick.calls import ProofCalls
from tallystick.core import Call
from tallystick.errors import ReplyForged
from tallystick.verify import HeadMemory, Verifier
from tallystick.wire import PROVEN_MAX, EntryProof
from tallystick_ledger.encoding import canonical_json, from_base64, to_base64
from tallystick_ledger.errors import BadInput
from tallystick_ledger.tlog.checkpoint import Checkpoint
from tallystick_ledger.tlog.merkle import Prover
from tallystick_ledger.tlog.note import NoteSigner, sign_note
from tallystick_ledger.tlog.proof import check_proof, parse_proof
from tallystick_ledger.tlog.subtree import prove_subtree_consistency, subtree_hash

SIZE = 70
TREE = Tree(SIZE)
PROVER = Prover(SIZE, TREE.read)


def head(size: int = SIZE, *, origin: str = ORIGIN) -> Checkpoint:
    return Checkpoint(origin, size, root_of(TREE.leaves[:size]))


def note(checkpoint: Checkpoint, *, signer: NoteSigner = LOG_SIGNER) -> str:
    return sign_note(checkpoint.body(), [signer], now_s=NOW_S).decode()


def texts(hashes: list[bytes]) -> list[str]:
    return [to_base64(each) for each in hashes]


def inclusions(*indexes: int, entries: bool = True) -> dict[str, Any]:
    """What an honest node answers."""
    return {
        "checkpoint": note(head()),
        "inclusions": [
            {
                "index": index,
                "hashes": texts(PROVER.inclusion(index)),
                "entry": TREE.entries[index].decode() if entries else None,
            }
            for index in indexes
        ],
    }


def entry_range(start: int, end: int) -> dict[str, Any]:
    entries = [entry.decode() for entry in TREE.entries[start:end]]
    return {
        "checkpoint": note(head()),
        "start": start,
        "entries": entries,
        "hashes": texts(PROVER.range(start, end)),
    }


def consistency(old: int, new: int = SIZE) -> dict[str, Any]:
    hashes = texts(Prover(new, TREE.read).consistency(old))
    return {"checkpoint": note(head()), "old_size": old, "new_size": new, "hashes": hashes}


def subtree(start: int, end: int) -> dict[str, Any]:
    return {
        "checkpoint": note(head()),
        "start": start,
        "end": end,
        "hash": to_base64(subtree_hash(start, end, TREE.read)),
        "hashes": texts(prove_subtree_consistency(start, end, size=SIZE, read=TREE.read)),
    }


def believe(call: Call[Any], told: dict[str, Any]) -> Any:
    """Read and check an answer as a client does."""
    reply = call.parse(canonical_json(told))
    call.check(reply, Verifier(DESCRIPTOR, HeadMemory()))
    return reply


def refuse(call: Call[Any], told: dict[str, Any], problem: str = "") -> None:
    with pytest.raises(ReplyForged, match=problem):
        believe(call, told)


@settings(max_examples=25)
@given(st.integers(0, SIZE - 1), st.data())
def test_honest_answers_are_believed(start: int, data: st.DataObject) -> None:
    end = data.draw(st.integers(start + 1, SIZE))
    calls = ProofCalls()
    assert len(believe(calls.entries([start, end - 1]), inclusions(start, end - 1)).inclusions) == 2
    assert len(believe(calls.range(start, end), entry_range(start, end)).entries) == end - start
    assert believe(calls.consistency(head(end)), consistency(end)).old_size == end
    assert believe(calls.consistency(head(start + 1), head(end)), consistency(start + 1, end)).new_size == end
    believe(calls.subtree(0, end), subtree(0, end))


CALLS = {
    "entries": (ProofCalls().entries([3, 69]), inclusions(3, 69)),
    "range": (ProofCalls().range(3, 40), entry_range(3, 40)),
    "consistency": (ProofCalls().consistency(head(44)), consistency(44)),
    "subtree": (ProofCalls().subtree(8, 13), subtree(8, 13)),
}
every_call = pytest.mark.parametrize(("call", "honest"), CALLS.values(), ids=CALLS)


@every_call
def test_a_head_that_the_log_did_not_sign_proves_nothing(call: Call[Any], honest: dict[str, Any]) -> None:
    """Signed by another role's key under the log's name, of another log, by nobody, or no head at all."""
    receipt_key = NoteSigner(ORIGIN, KEYS["receipt"])
    other = "insurer.example/log/2027"
    for checkpoint, problem in (
        (note(head(), signer=receipt_key), "does not lead"),
        (note(head(origin=other), signer=NoteSigner(other, KEYS["log"])), "somebody else"),
        (note(head()).partition("\n\n")[0] + "\n\n", "does not lead"),
        ("", "somebody else"),
        (note(head()).replace("\n", "\x0b", 1), "somebody else|does not lead"),
    ):
        refuse(call, {**honest, "checkpoint": checkpoint}, problem)


@every_call
def test_a_signed_head_of_another_tree_is_not_led_to(call: Call[Any], honest: dict[str, Any]) -> None:
    believe(call, honest)
    for other in (Checkpoint(ORIGIN, SIZE, bytes(32)), head(SIZE - 1)):
        refuse(call, {**honest, "checkpoint": note(other)}, "does not lead|other sizes")


@every_call
def test_a_hash_more_less_changed_cut_or_spelled_otherwise_is_refused(call: Call[Any], honest: dict[str, Any]) -> None:
    spot = honest if "hashes" in honest else honest["inclusions"][0]
    hashes: list[str] = spot["hashes"]
    first = hashes[0]
    for lie in (
        [*hashes, first],
        hashes[1:],
        hashes[::-1],
        [to_base64(bytes(32)), *hashes[1:]],
        [to_base64(from_base64(first)[:31]), *hashes[1:]],
        [first.rstrip("="), *hashes[1:]],
        [first[:-2] + chr(ord(first[-2]) + 1) + "=", *hashes[1:]],  # the same bytes, spelled with stray bits
        [first + "\n", *hashes[1:]],
        [" " + first, *hashes[1:]],
        ["\u00e9" * 44, *hashes[1:]],
    ):
        told = {**honest, "hashes": lie}
        if spot is not honest:
            told = {**honest, "inclusions": [{**spot, "hashes": lie}, *honest["inclusions"][1:]]}
        refuse(call, told, "does not lead")


@every_call
def test_more_hashes_than_any_proof_has_are_refused_unread(call: Call[Any], honest: dict[str, Any]) -> None:
    many = ["not even base64"] * 200
    told = {**honest, "hashes": many}
    if "inclusions" in honest:
        told = {**honest, "inclusions": [{**each, "hashes": many} for each in honest["inclusions"]]}
    refuse(call, told, "more hashes than any")


def test_other_places_than_those_asked_for_are_refused_though_proven() -> None:
    calls = ProofCalls()
    for told in (inclusions(3), inclusions(69, 3), inclusions(3, 69, 69), inclusions(3, 68), inclusions()):
        refuse(calls.entries([3, 69]), told, "other entries")
    for told in (entry_range(3, 39), entry_range(2, 40), entry_range(4, 41)):
        refuse(calls.range(3, 40), told, "other entries")
    for told in (consistency(43), consistency(44, 69)):
        refuse(calls.consistency(head(44)), told, "other sizes")
    refuse(calls.consistency(head(44), head(60)), consistency(44, 61), "other sizes")
    refuse(calls.subtree(8, 13), subtree(8, 14), "another subtree")


def test_another_entry_than_the_one_that_is_proven_is_refused() -> None:
    told = inclusions(3)
    for lie in (TREE.entries[4].decode(), "", TREE.entries[3].decode() + " "):
        refuse(ProofCalls().entries([3]), {**told, "inclusions": [{**told["inclusions"][0], "entry": lie}]}, "lead")
    refuse(ProofCalls().entries([3]), inclusions(3, entries=False), "does not show it")
    swapped = entry_range(3, 6)
    swapped["entries"].reverse()
    refuse(ProofCalls().range(3, 6), swapped, "does not lead")


def test_a_head_that_the_log_did_not_grow_from_is_refused() -> None:
    """The node shows its own, honest log; what the caller knew of it was another one."""
    known = Checkpoint(ORIGIN, 44, bytes(32))
    refuse(ProofCalls().consistency(known), consistency(44), "does not lead")
    refuse(ProofCalls().consistency(head(44), Checkpoint(ORIGIN, 60, bytes(32))), consistency(44, 60), "does not lead")
    refuse(ProofCalls().consistency(head(44, origin="gym.example/log/2026")), consistency(44), "different logs")


def test_a_subtree_of_another_hash_is_refused() -> None:
    refuse(ProofCalls().subtree(8, 13), {**subtree(8, 13), "hash": to_base64(bytes(32))}, "does not lead")


def test_a_renewed_proof_is_a_file_of_its_own() -> None:
    """It is checked as every proof of an entry is; here, that it is of the entry in hand, at its place."""
    stated = EntryProof(index=3, entry=TREE.entries[3].decode(), proof="")
    renewed = ProofCalls().renew(stated).parse(canonical_json(inclusions(3, entries=False)))
    check_proof(
        parse_proof(renewed.proof.encode()), entry=TREE.entries[3], origin=ORIGIN, keys=[LOG_SIGNER.verifier_key]
    )
    for told in (inclusions(4, entries=False), inclusions(3, 3, entries=False), inclusions()):
        with pytest.raises(ReplyForged, match="other entries"):
            ProofCalls().renew(stated).parse(canonical_json(told))
    refuse(ProofCalls().renew(stated), inclusions(3), "does not show its entry")  # no entry that a ledger holds


def test_what_no_node_would_answer_is_not_sent() -> None:
    for ask in (
        lambda: ProofCalls().entries([]),
        lambda: ProofCalls().entries([0] * (PROVEN_MAX + 1)),
        lambda: ProofCalls().entries([-1]),
        lambda: ProofCalls().range(0, 2**63),
        lambda: ProofCalls().consistency(Checkpoint(ORIGIN, 0, bytes(32))),
        lambda: ProofCalls().subtree(-1, 1),
    ):
        with pytest.raises(BadInput, match="not of its form"):
            ask()
