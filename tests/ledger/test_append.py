"""A plan's proofs are those of the whole tree, though it reads none of the older one."""

from hypothesis import given
from hypothesis import strategies as st
from trees import Tree, leaf, root_of

from tallystick_ledger.append import plan_append
from tallystick_ledger.tlog.merkle import Frontier, check_inclusion, prove_inclusion

TREE = Tree(700)


@given(st.integers(0, 600), st.integers(0, 90), st.data())
def test_a_plan_proves_as_the_full_tree_does(before: int, count: int, data: st.DataObject) -> None:
    entries = TREE.entries[before : before + count]
    plan = plan_append(Frontier.at(before, TREE.read), entries)
    size = before + count
    assert plan.after.size == size
    assert plan.after.root() == root_of(TREE.leaves[:size])
    assert plan.after == plan.before.extend(plan.leaves)
    assert list(plan.leaves) == [leaf(entry) for entry in entries]
    indexes = data.draw(st.lists(st.integers(before, size - 1), max_size=5)) if count else []
    for index, proof in zip(indexes, plan.prove(indexes), strict=True):
        assert proof == prove_inclusion(index, size=size, read=TREE.read)
        check_inclusion(proof, leaf_hash=TREE.leaves[index], index=index, size=size, root=plan.after.root())


def test_every_proof_of_every_small_append() -> None:
    for before in range(18):
        for count in range(1, 18):
            plan = plan_append(Frontier.at(before, TREE.read), TREE.entries[before : before + count])
            indexes = range(before, before + count)
            expected = [prove_inclusion(index, size=before + count, read=TREE.read) for index in indexes]
            assert plan.prove(indexes) == expected


def test_appending_at_once_or_one_by_one_is_the_same() -> None:
    at_once = plan_append(Frontier.empty(), TREE.entries[:300]).after
    one_by_one = Frontier.empty()
    for entry in TREE.entries[:300]:
        one_by_one = plan_append(one_by_one, [entry]).after
    assert one_by_one == at_once


def test_a_plan_of_nothing_changes_nothing() -> None:
    plan = plan_append(Frontier.at(5, TREE.read), [])
    assert plan.after == plan.before
    assert plan.prove([]) == []


def test_a_plan_touches_nothing() -> None:
    frontier = Frontier.at(5, TREE.read)
    plan = plan_append(frontier, TREE.entries[5:9])
    assert (plan.before, frontier) == (Frontier.at(5, TREE.read), Frontier.at(5, TREE.read))
    assert plan.entries == tuple(TREE.entries[5:9])
