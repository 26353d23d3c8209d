"""Tree hashes and proofs, against published vectors, against the definition, and against lies."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import shared
from trees import Tree, leaf, node, root_of

from tallystick_ledger.errors import BadInput, ProofRejected
from tallystick_ledger.tlog.hashing import leaf_hash, leaf_hashes, node_hash
from tallystick_ledger.tlog.merkle import (
    EMPTY_ROOT,
    PROOF_HASHES_MAX,
    SIZE_MAX,
    Frontier,
    Prover,
    check_consistency,
    check_inclusion,
    prove_consistency,
    prove_inclusion,
    range_hash,
    root_at,
)

TREE = Tree(300)
A, B, C, D = (leaf(letter) for letter in (b"a", b"b", b"c", b"d"))
WIDE = b"w" * 33

ALIKE = [A]  # hashes of complete subtrees, by level, where every leaf is A
while len(ALIKE) < 64:
    ALIKE.append(node(ALIKE[-1], ALIKE[-1]))


def read_alike(level: int, index: int) -> bytes:
    """Read a tree of any size, of which every leaf is A."""
    assert (index + 1) << level <= SIZE_MAX
    return ALIKE[level]


def cases(folder: str) -> list[tuple[str, dict]]:
    top = shared("vectors/transparency-dev-merkle/testdata")
    found = [(str(path.relative_to(top)), json.loads(path.read_text())) for path in (top / folder).rglob("*.json")]
    assert found
    return found


def unpack(texts: list[str] | None) -> list[bytes]:
    return [base64.b64decode(text) for text in texts or []]


def test_the_published_inclusion_proofs_are_judged_as_published() -> None:
    judged_otherwise = []
    for name, case in cases("inclusion"):
        root, claimed = unpack([case["root"], case["leafHash"]])
        try:
            check_inclusion(
                unpack(case["proof"]), leaf_hash=claimed, index=case["leafIdx"], size=case["treeSize"], root=root
            )
        except ProofRejected:
            judged_otherwise += [] if case["wantErr"] else [name]
        else:
            judged_otherwise += [name] if case["wantErr"] else []
    assert judged_otherwise == []


def test_the_published_consistency_proofs_are_judged_as_published() -> None:
    """All but one: it takes two equal "roots" of 12 bytes for consistent; ours have 32 bytes or are refused."""
    judged_otherwise = []
    for name, case in cases("consistency"):
        old_root, new_root = unpack([case["root1"], case["root2"]])
        try:
            check_consistency(
                unpack(case["proof"]),
                old_size=case["size1"],
                old_root=old_root,
                new_size=case["size2"],
                new_root=new_root,
            )
        except ProofRejected:
            judged_otherwise += [] if case["wantErr"] else [name]
        else:
            judged_otherwise += [name] if case["wantErr"] else []
    assert judged_otherwise == ["consistency/additional/sizes-are-equal-one-and-proof-is-empty.json"]


def test_the_classic_tree_of_eight_leaves_has_its_published_hashes() -> None:
    tree = json.loads(shared("vectors/rfc6962_8leaf_tree.json").read_text())
    leaves = leaf_hashes([bytes.fromhex(text) for text in tree["leaf_inputs_hex"]])
    levels = [[bytes.fromhex(text) for text in level] for level in tree["level_hashes_hex"]]
    assert leaves == levels[0]
    for size, text in enumerate(tree["roots_by_size_hex"]):
        assert Frontier.empty().extend(leaves[:size]).root() == bytes.fromhex(text)
        assert root_at(size, lambda level, index: levels[level][index]) == bytes.fromhex(text)


def test_leaf_and_node_hashes_are_kept_apart_by_their_first_byte() -> None:
    assert leaf_hash(b"") != EMPTY_ROOT
    assert leaf_hash(A + B) != node_hash(A, B) == node(A, B)
    assert leaf_hashes([b"a", b"b"]) == [leaf_hash(b"a"), leaf_hash(b"b")] == [A, B]


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_frontier_grown_in_any_two_steps_has_the_root_of_the_definition(first: int, second: int) -> None:
    first, second = sorted((first, second))
    grown = Frontier.empty().extend(TREE.leaves[:first]).extend(TREE.leaves[first:second])
    assert grown == Frontier.at(second, TREE.read)
    assert grown.root() == root_at(second, TREE.read) == root_of(TREE.leaves[:second])


@pytest.mark.parametrize(("size", "peaks"), [(-1, ()), (SIZE_MAX + 1, (A,)), (3, (A,)), (0, (A,)), (1, (WIDE,))])
def test_a_frontier_of_another_shape_is_refused(size: int, peaks: tuple[bytes, ...]) -> None:
    with pytest.raises(BadInput, match="frontier"):
        Frontier(size, peaks)


def test_a_frontier_takes_only_hashes_of_32_bytes() -> None:
    with pytest.raises(BadInput, match="leaf hash"):
        Frontier.empty().extend([A, WIDE])


def test_a_frontier_does_not_outgrow_the_largest_tree() -> None:
    full = Frontier(SIZE_MAX, (A,) * 63)
    with pytest.raises(BadInput, match="frontier"):
        full.extend([A])


@given(st.integers(1, 300), st.data())
def test_every_inclusion_proof_is_accepted_and_for_its_own_place_only(size: int, data: st.DataObject) -> None:
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    proof, root = prove_inclusion(index, size=size, read=TREE.read), root_of(TREE.leaves[:size])
    check_inclusion(proof, leaf_hash=TREE.leaves[index], index=index, size=size, root=root)
    if other != index:
        with pytest.raises(ProofRejected):
            check_inclusion(proof, leaf_hash=TREE.leaves[other], index=index, size=size, root=root)
        with pytest.raises(ProofRejected):
            check_inclusion(proof, leaf_hash=TREE.leaves[index], index=other, size=size, root=root)


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_every_consistency_proof_is_accepted_and_no_hash_of_it_can_change(
    one: int, other: int, data: st.DataObject
) -> None:
    old_size, new_size = sorted((one, other))
    proof = prove_consistency(old_size, new_size=new_size, read=TREE.read)
    old_root, new_root = root_of(TREE.leaves[:old_size]), root_of(TREE.leaves[:new_size])
    check_consistency(proof, old_size=old_size, old_root=old_root, new_size=new_size, new_root=new_root)
    if proof:
        proof[data.draw(st.integers(0, len(proof) - 1))] = A
        with pytest.raises(ProofRejected):
            check_consistency(proof, old_size=old_size, old_root=old_root, new_size=new_size, new_root=new_root)


@settings(max_examples=20)
@given(st.integers(0, SIZE_MAX - 1), st.integers(1, SIZE_MAX))
def test_every_leaf_of_the_largest_trees_has_a_proof_within_the_bound(index: int, size: int) -> None:
    index %= size
    proof = prove_inclusion(index, size=size, read=read_alike)
    assert len(proof) <= PROOF_HASHES_MAX
    check_inclusion(proof, leaf_hash=A, index=index, size=size, root=root_at(size, read_alike))


@settings(max_examples=20)
@given(st.integers(1, 2**62), st.integers(1, 2**62))
def test_the_largest_trees_have_consistency_proofs_within_the_bound(one: int, other: int) -> None:
    old_size, new_size = sorted((one, other))
    proof = prove_consistency(old_size, new_size=new_size, read=read_alike)
    assert len(proof) <= PROOF_HASHES_MAX
    old_root, new_root = root_at(old_size, read_alike), root_at(new_size, read_alike)
    check_consistency(proof, old_size=old_size, old_root=old_root, new_size=new_size, new_root=new_root)


@given(st.integers(0, 8), st.integers(0, 300), st.data())
def test_the_hash_of_an_aligned_range_is_that_of_its_leaves(level: int, index: int, data: st.DataObject) -> None:
    start = (index << level) % 256
    start -= start % (1 << level)
    end = data.draw(
        st.integers(start + (1 << level) // 2 + 1, min(300, start + (1 << level))) if level else st.just(start + 1)
    )
    assert range_hash(start, end, TREE.read) == root_of(TREE.leaves[start:end])


@pytest.mark.parametrize(("start", "end"), [(0, 0), (3, 2), (-2, 0), (1, 3), (2, 5), (4, 9), (0, SIZE_MAX + 1)])
def test_a_range_that_is_no_subtree_is_refused(start: int, end: int) -> None:
    with pytest.raises(BadInput, match="subtree"):
        range_hash(start, end, read_alike)


@pytest.mark.parametrize(("index", "size"), [(-1, 2), (2, 2), (0, 0)])
def test_a_leaf_outside_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(BadInput, match="outside"):
        prove_inclusion(index, size=size, read=read_alike)


@pytest.mark.parametrize("size", [-1, SIZE_MAX + 1])
def test_nothing_is_proved_in_a_tree_of_a_size_that_none_has(size: int) -> None:
    with pytest.raises(BadInput, match="No tree has that size"):
        Prover(size, read_alike)


@given(st.integers(1, 300))
def test_one_prover_makes_every_proof_of_its_head(size: int) -> None:
    """What it remembers of the right edge for one proof serves the next ones."""
    prover, root = Prover(size, TREE.read), root_of(TREE.leaves[:size])
    for index in range(size):
        check_inclusion(prover.inclusion(index), leaf_hash=TREE.leaves[index], index=index, size=size, root=root)
    for old_size in range(1, size + 1, 7):
        old_root = root_of(TREE.leaves[:old_size])
        proof = prover.consistency(old_size)
        check_consistency(proof, old_size=old_size, old_root=old_root, new_size=size, new_root=root)


@pytest.mark.parametrize(("old_size", "new_size"), [(0, 2), (-1, 2), (3, 2)])
def test_an_empty_or_larger_tree_is_not_proved_to_be_older(old_size: int, new_size: int) -> None:
    with pytest.raises(BadInput, match="older"):
        prove_consistency(old_size, new_size=new_size, read=read_alike)


@pytest.mark.parametrize(
    ("lie", "index", "size", "root", "problem"),
    [
        ([], 0, 2, A, "shorter"),  # a leaf posing as the root of two
        ([B], 0, 1, node(B, A), "longer"),  # a root of two posing as a root of one
        ([WIDE], 0, 2, node(A, WIDE), "not 32 bytes"),
        ([], 1, 1, A, "outside"),  # the only leaf of a tree, claimed at a place it has not
        ([], -1, 1, A, "outside"),
        (ALIKE[:63], 0, SIZE_MAX + 1, ALIKE[63], "outside"),  # a tree that none may have, all of whose leaves are A
        ([A] * 64, 0, 2**64, A, "outside"),
        ([B], 0, 2, node(B, A), "different root"),
    ],
)
def test_an_inclusion_proof_of_another_shape_is_rejected(
    lie: list[bytes], index: int, size: int, root: bytes, problem: str
) -> None:
    """Each lie leads to the right root, so only the guard named can catch it."""
    with pytest.raises(ProofRejected, match=problem):
        check_inclusion(lie, leaf_hash=A, index=index, size=size, root=root)


def test_hashes_of_another_width_are_rejected_even_where_they_agree() -> None:
    """One vector for each: a leaf that is its own root, and an older tree that is the newer one."""
    with pytest.raises(ProofRejected, match="32 bytes"):
        check_inclusion([], leaf_hash=b"", index=0, size=1, root=b"")
    with pytest.raises(ProofRejected, match="32 bytes"):
        check_consistency([], old_size=1, old_root=b"", new_size=1, new_root=b"")


def test_a_tree_beyond_the_largest_is_rejected() -> None:
    """The 64 hashes lead to the right root."""
    root = A
    for _ in range(64):
        root = node(root, B)
    with pytest.raises(ProofRejected, match="outside"):
        check_inclusion([B] * 64, leaf_hash=A, index=0, size=SIZE_MAX + 2, root=root)
    with pytest.raises(ProofRejected, match="larger"):
        check_consistency([B] * 64, old_size=1, old_root=A, new_size=SIZE_MAX + 2, new_root=root)


OLD_3, NEW_4 = node(C, A), node(C, node(A, B))


@pytest.mark.parametrize(
    ("lie", "old_size", "old_root", "new_size", "new_root", "problem"),
    [
        ([], 2, A, 1, A, "larger than the newer"),
        ([], 0, EMPTY_ROOT, 1, A, "empty"),
        ([], 0, EMPTY_ROOT, 0, EMPTY_ROOT, "empty"),
        ([WIDE], 1, A, 2, node(A, WIDE), "not 32 bytes"),
        ([B], 2, A, 2, A, "not empty"),
        ([], 2, A, 2, B, "different roots"),
        ([], 3, A, 4, A, "shorter"),  # no hash to start from
        ([], 1, A, 2, A, "shorter"),  # the old root posing as the new one
        ([A, B, C, D], 3, node(D, OLD_3), 4, node(D, NEW_4), "longer"),
        ([A, B, C], 3, D, 4, NEW_4, "different old root"),
        ([A, B, C], 3, OLD_3, 4, D, "different new root"),
    ],
)
def test_a_consistency_proof_of_another_shape_is_rejected(
    lie: list[bytes], old_size: int, old_root: bytes, new_size: int, new_root: bytes, problem: str
) -> None:
    """Each lie leads to both roots, or to all but the one named, so only the guard named can catch it."""
    with pytest.raises(ProofRejected, match=problem):
        check_consistency(lie, old_size=old_size, old_root=old_root, new_size=new_size, new_root=new_root)


def test_the_honest_proof_those_lies_are_made_from_is_accepted() -> None:
    check_consistency([A, B, C], old_size=3, old_root=OLD_3, new_size=4, new_root=NEW_4)
