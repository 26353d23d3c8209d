"""Range proofs: several entries side by side, in one proof, and nothing else in their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import Tree, node, root_of

from tallystick_ledger.errors import BadInput, ProofRejected
from tallystick_ledger.tlog.merkle import SIZE_MAX, Prover, prove_inclusion
from tallystick_ledger.tlog.ranges import RANGE_HASHES_MAX, check_range

TREE = Tree(300)
A, B, C, D = TREE.leaves[:4]
WIDE = A + B


@st.composite
def ranges(draw: st.DrawFn, size_max: int = 300) -> tuple[int, int, int]:
    size = draw(st.integers(1, size_max))
    start = draw(st.integers(0, size - 1))
    return start, draw(st.integers(start + 1, size)), size


def proven(start: int, end: int, size: int) -> tuple[list[bytes], list[bytes], bytes]:
    return Prover(size, TREE.read).range(start, end), TREE.leaves[start:end], root_of(TREE.leaves[:size])


def test_every_range_of_every_small_tree_is_shown_to_stand_in_it() -> None:
    for size in range(1, 18):
        for start in range(size):
            for end in range(start + 1, size + 1):
                proof, leaves, root = proven(start, end, size)
                check_range(proof, leaf_hashes=leaves, start=start, size=size, root=root)


@given(ranges())
def test_every_range_is_shown_to_stand_in_its_tree(place: tuple[int, int, int]) -> None:
    start, _, size = place
    proof, leaves, root = proven(*place)
    check_range(proof, leaf_hashes=leaves, start=start, size=size, root=root)
    assert len(proof) <= 2 * size.bit_length()


@given(st.integers(1, 300), st.data())
def test_the_range_proof_of_one_leaf_is_its_inclusion_proof(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    assert proven(index, index + 1, size)[0] == prove_inclusion(index, size=size, read=TREE.read)


@given(ranges(), st.data())
def test_a_range_proof_is_for_its_own_place_and_leaves_only(place: tuple[int, int, int], data: st.DataObject) -> None:
    """Entries in another order, one left out, added or swapped, moved along, or in a tree of another size."""
    start, _, size = place
    proof, leaves, root = proven(*place)
    at = data.draw(st.integers(0, len(leaves) - 1))
    foreign = data.draw(st.sampled_from(TREE.leaves))
    moved = data.draw(st.integers(0, 300))
    other_size = data.draw(st.integers(1, 300))
    lies: list[tuple[list[bytes], int, int]] = [
        (leaves[::-1], start, size),
        (leaves[:at] + leaves[at + 1 :], start, size),
        ([*leaves[:at], foreign, *leaves[at:]], start, size),
        ([*leaves[:at], foreign, *leaves[at + 1 :]], start, size),
        (leaves, moved, size),
    ]
    for claimed, where, tree_size in lies:
        if (claimed, where, tree_size) != (leaves, start, size):
            with pytest.raises(ProofRejected):
                check_range(proof, leaf_hashes=claimed, start=where, size=tree_size, root=root)
    if other_size != size:
        with pytest.raises(ProofRejected):
            check_range(proof, leaf_hashes=leaves, start=start, size=size, root=root_of(TREE.leaves[:other_size]))


@given(ranges(), st.data())
def test_a_proof_with_a_hash_more_less_other_or_elsewhere_is_rejected(
    place: tuple[int, int, int], data: st.DataObject
) -> None:
    start, _, size = place
    proof, leaves, root = proven(*place)
    extra = data.draw(st.sampled_from([*TREE.leaves[:3], root, bytes(32)]))
    at = data.draw(st.integers(0, len(proof)))
    order = data.draw(st.permutations(range(len(proof))))
    lies = [[*proof[:at], extra, *proof[at:]], [proof[each] for each in order]]
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        lies += [proof[:at] + proof[at + 1 :], [*proof[:at], bytes(32), *proof[at + 1 :]]]
    for lie in lies:
        if lie != proof:
            with pytest.raises(ProofRejected):
                check_range(lie, leaf_hashes=leaves, start=start, size=size, root=root)


@pytest.mark.parametrize(
    ("proof", "leaves", "start", "size", "root", "problem"),
    [
        ([], [A], 0, 2, A, "shorter"),  # a leaf posing as the root of two
        ([], [A, B], 0, 3, node(A, B), "shorter"),  # two leaves posing as the root of three
        ([B], [A], 0, 1, A, "longer"),
        ([C], [A, B], 0, 2, node(A, B), "longer"),
        ([], [], 0, 0, A, "empty"),
        ([A], [], 0, 1, A, "empty"),
        ([], [A], 1, 1, A, "beyond"),
        ([], [A, B], 0, 1, node(A, B), "beyond"),
        ([A], [B], -1, 2, node(A, B), "beyond"),
        ([], [A], 0, SIZE_MAX + 1, A, "beyond"),
        ([], [WIDE], 0, 1, WIDE, "32 bytes"),
        ([], [A, WIDE], 0, 2, node(A, WIDE[:32]), "32 bytes"),  # what hangs over is left out, as an odd hash is
        ([WIDE], [A], 0, 2, node(A, WIDE), "32 bytes"),
        ([], [A], 0, 1, A[:31], "32 bytes"),
        ([], [B], 0, 1, A, "different root"),
    ],
)
def test_a_proof_of_another_shape_is_rejected(
    proof: list[bytes], leaves: list[bytes], start: int, size: int, root: bytes, problem: str
) -> None:
    """Nearly every lie leads to the right root, so that only the guard named can catch it."""
    with pytest.raises(ProofRejected, match=problem):
        check_range(proof, leaf_hashes=leaves, start=start, size=size, root=root)


@pytest.mark.parametrize(("start", "end", "size"), [(0, 0, 1), (1, 1, 2), (2, 1, 3), (-1, 1, 2), (0, 3, 2), (0, 0, 0)])
def test_no_leaves_and_leaves_beyond_the_tree_have_no_proof(start: int, end: int, size: int) -> None:
    with pytest.raises(BadInput, match="range"):
        Prover(size, TREE.read).range(start, end)


def test_the_longest_range_proof_is_as_long_as_the_bound_says() -> None:
    """Two leaves around the middle of the largest tree: all but the two halves' own last level has two siblings."""
    middle = 1 << 62
    longest = max(len(Prover(SIZE_MAX, lambda *_: A).range(middle - 1, end)) for end in range(middle, middle + 3))
    assert longest == RANGE_HASHES_MAX
