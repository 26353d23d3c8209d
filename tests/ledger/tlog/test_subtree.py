"""Subtrees: which runs of leaves are one, that a leaf stands in it, and that it stands in a larger tree."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import shared
from trees import Tree

from tallystick_ledger.errors import BadInput, ProofRejected
from tallystick_ledger.tlog.merkle import root_at
from tallystick_ledger.tlog.subtree import (
    check_subtree_consistency,
    check_subtree_inclusion,
    is_subtree,
    prove_subtree_consistency,
    prove_subtree_inclusion,
    subtree_hash,
)

SIZE = 70
TREE = Tree(SIZE)
SUBTREES = [(start, end) for end in range(1, SIZE + 1) for start in range(end) if is_subtree(start, end)]


def cases(folder: str) -> list[tuple[str, dict[str, Any]]]:
    top = shared("vectors/transparency-dev-merkle/testdata")
    found = [(str(path.relative_to(top)), json.loads(path.read_text())) for path in (top / folder).rglob("*.json")]
    assert found
    return [(name, case) for name, case in sorted(found) if "start" in case]


def unpack(texts: list[str] | None) -> list[bytes]:
    return [base64.b64decode(text) for text in texts or []]


def judged_otherwise(folder: str, judge: Any) -> list[str]:
    otherwise = []
    for name, case in cases(folder):
        try:
            judge(case)
        except ProofRejected:
            accepted = False
        else:
            accepted = True
        if accepted == case["wantErr"]:
            otherwise.append(name)
    return otherwise


def test_the_published_subtree_inclusion_proofs_are_judged_as_published() -> None:
    def judge(case: dict[str, Any]) -> None:
        root, leaf = unpack([case["root"], case["leafHash"]])
        place = {"index": case["leafIdx"], "start": case["start"], "end": case["end"]}
        check_subtree_inclusion(unpack(case["proof"]), leaf_hash=leaf, root=root, **place)

    assert judged_otherwise("subtreeinclusion", judge) == []


def test_the_published_subtree_consistency_proofs_are_judged_as_published() -> None:
    """All but seven, which we refuse on purpose: six take a subtree without leaves to stand in any tree, as an empty
    tree is of no use as evidence, and one takes two equal "roots" of 12 bytes."""

    def judge(case: dict[str, Any]) -> None:
        subtree, root = unpack([case["root1"], case["root2"]])
        place = {"start": case["start"], "end": case["end"], "size": case["size"]}
        check_subtree_consistency(unpack(case["proof"]), subtree=subtree, root=root, **place)

    otherwise = judged_otherwise("subtreeconsistency", judge)
    assert len(otherwise) == 7
    assert [name for name in otherwise if "subtree-is-empty" not in name] == [
        "subtreeconsistency/additional/sizes-are-equal-one-and-proof-is-empty.json"
    ]


@pytest.mark.parametrize(
    ("start", "end", "so"),
    [(0, 1, True), (0, 7, True), (4, 7, True), (4, 8, True), (6, 8, True), (3, 5, False), (2, 5, False), (5, 5, False),
     (6, 5, False), (-1, 1, False), (0, 2**63 - 1, True), (0, 2**63, False)],
)  # fmt: skip
def test_a_run_of_leaves_is_a_subtree_if_it_begins_where_a_complete_one_would(start: int, end: int, so: bool) -> None:
    assert is_subtree(start, end) is so


@given(st.sampled_from(SUBTREES), st.data())
def test_every_leaf_of_a_subtree_is_shown_to_stand_in_it(place: tuple[int, int], data: st.DataObject) -> None:
    start, end = place
    index = data.draw(st.integers(start, end - 1))
    proof = prove_subtree_inclusion(index, start=start, end=end, read=TREE.read)
    root = subtree_hash(start, end, TREE.read)
    check_subtree_inclusion(proof, leaf_hash=TREE.leaves[index], index=index, start=start, end=end, root=root)


@given(st.sampled_from(SUBTREES), st.data())
def test_every_subtree_is_shown_to_stand_in_every_larger_tree(place: tuple[int, int], data: st.DataObject) -> None:
    start, end = place
    size = data.draw(st.integers(end, SIZE))
    proof = prove_subtree_consistency(start, end, size=size, read=TREE.read)
    heads = {"subtree": subtree_hash(start, end, TREE.read), "root": root_at(size, TREE.read)}
    check_subtree_consistency(proof, start=start, end=end, size=size, **heads)
    for lie in ([*proof, bytes(32)], proof[:-1], [bytes(32), *proof[1:]]):
        if lie != proof:
            with pytest.raises(ProofRejected):
                check_subtree_consistency(lie, start=start, end=end, size=size, **heads)


def test_what_is_no_subtree_is_neither_hashed_nor_proven() -> None:
    with pytest.raises(BadInput):
        subtree_hash(3, 5, TREE.read)
    with pytest.raises(BadInput):
        prove_subtree_inclusion(8, start=0, end=8, read=TREE.read)
    with pytest.raises(BadInput):
        prove_subtree_consistency(0, 8, size=7, read=TREE.read)


WIDE = TREE.leaves[0] + TREE.leaves[1]


@pytest.mark.parametrize(
    ("proof", "start", "end", "size", "subtree", "root", "problem"),
    [
        ([], 0, 1, 2, TREE.leaves[0], TREE.leaves[0], "shorter"),
        ([TREE.leaves[1]], 0, 1, 1, TREE.leaves[0], TREE.leaves[0], "longer"),
        ([], 0, 2, 1, TREE.leaves[0], TREE.leaves[0], "beyond"),
        ([], 0, 1, 1, WIDE, WIDE, "32 bytes"),
        ([], 0, 1, 1, TREE.leaves[1], TREE.leaves[0], "another"),
        ([], 0, 1, 1, TREE.leaves[0], TREE.leaves[1], "another"),
    ],
)
def test_a_proof_of_another_shape_is_rejected(
    proof: list[bytes], start: int, end: int, size: int, subtree: bytes, root: bytes, problem: str
) -> None:
    with pytest.raises(ProofRejected, match=problem):
        check_subtree_consistency(proof, start=start, end=end, subtree=subtree, size=size, root=root)
