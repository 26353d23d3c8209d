"""Both ways to hash give the hashes of the definition, one message at a time and many at once."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import leaf, node

from tallystick_ledger.tlog import hashing
from tallystick_ledger.tlog.hashing import HASHLIB, SIDE_BY_SIDE, Hasher, leaf_hash, leaf_hashes, node_hash, node_hashes

LENGTHS = range(301)
"""Past four blocks of SHA-256: every place where its padding changes shape."""


@pytest.fixture(params=["hashlib", "stringzilla"])
def hasher(request: pytest.FixtureRequest) -> Iterator[Hasher]:
    found = {each.name: each for each in (HASHLIB, SIDE_BY_SIDE) if each}.get(request.param)
    if found is None:
        pytest.skip(f"needs {request.param}, an extra of its own")
    before = hashing.in_use()
    hashing.use(found)
    yield found
    hashing.use(before)


def message(size: int) -> bytes:
    return hashlib.shake_128(size.to_bytes(2, "big")).digest(size)


def test_a_message_of_any_length_has_the_hash_of_the_definition(hasher: Hasher) -> None:
    for size in LENGTHS:
        assert hasher.sha256(message(size)) == hashlib.sha256(message(size)).digest()
        assert leaf_hash(message(size)) == leaf(message(size))


@pytest.mark.usefixtures("hasher")
def test_entries_of_one_length_hash_alike_together_and_alone() -> None:
    for size in LENGTHS:
        entries = [bytes([at]) * size for at in range(20)]
        assert leaf_hashes(entries) == [leaf(entry) for entry in entries]


@pytest.mark.usefixtures("hasher")
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 255, 256, 257, 511, 512, 513, 1000])
def test_any_number_of_entries_and_of_nodes_is_hashed_in_order(count: int) -> None:
    entries = [message(at % 301) for at in range(count)]
    leaves = leaf_hashes(entries)
    assert leaves == [leaf(entry) for entry in entries]
    above = [node(left, right) for left, right in zip(leaves[::2], leaves[1::2], strict=False)]
    assert node_hashes(leaves) == node_hashes(b"".join(leaves)) == above


@given(st.lists(st.binary(max_size=300), max_size=40))
def test_entries_of_mixed_lengths_hash_alike_both_ways(entries: list[bytes]) -> None:
    if SIDE_BY_SIDE is None:
        pytest.skip("needs stringzilla, an extra of its own")
    assert SIDE_BY_SIDE.leaves(entries) == HASHLIB.leaves(entries) == [leaf(entry) for entry in entries]


@pytest.mark.usefixtures("hasher")
def test_a_large_entry_among_small_ones_is_hashed_whole() -> None:
    entries = [message(65_535) if at == 5 else message(at) for at in range(32)]
    assert leaf_hashes(entries) == [leaf(entry) for entry in entries]


@pytest.mark.usefixtures("hasher")
def test_entries_hash_from_where_they_lie_in_a_bundle() -> None:
    bundle = memoryview(message(300))
    pieces = [bundle[start : start + 10] for start in range(0, 300, 10)]
    assert leaf_hashes(pieces) == [leaf(bytes(piece)) for piece in pieces]


@pytest.mark.usefixtures("hasher")
def test_a_node_hashes_its_halves_in_order() -> None:
    left, right = leaf(b"left"), leaf(b"right")
    assert node_hash(left, right) == node(left, right) != node_hash(right, left)


def test_hashing_changes_ways_when_told(hasher: Hasher) -> None:
    assert hashing.in_use() is hasher


@pytest.mark.parametrize(("block", "lanes"), [(True, False), (False, True)])
def test_a_library_that_hashes_otherwise_is_left_alone(block: bool, lanes: bool) -> None:
    """As on a processor its makers had not tried: wrong in one message only, alone or among others."""
    if SIDE_BY_SIDE is None:
        pytest.skip("needs stringzilla, an extra of its own")
    right, wrong = SIDE_BY_SIDE, bytes(32)
    broken = Hasher(
        "broken",
        lambda each: wrong if block and len(each) == 119 else right.sha256(each),
        lambda each: [*right.leaves(each)[:-1], wrong] if lanes else right.leaves(each),
        right.nodes,
    )
    assert hashing._agree(right, HASHLIB)
    assert not hashing._agree(broken, HASHLIB)


def test_without_the_library_hashlib_is_used() -> None:
    code = (
        "import sys; sys.modules['stringzilla'] = None\n"
        "from tallystick_ledger.tlog import hashing\n"
        "print(hashing.SIDE_BY_SIDE, hashing.in_use().name, hashing.leaf_hash(b'').hex())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said == ["None", "hashlib", leaf(b"").hex()]


def test_a_library_too_old_to_have_lanes_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stringzilla", SimpleNamespace(sha256=lambda text: hashlib.sha256(text).digest()))
    assert hashing._installed() is None
