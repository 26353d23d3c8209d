"""A tree read back from its tiles, with what is kept of them bounded."""

import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import Tree, root_of

from tallystick_ledger.errors import BadInput, TileMalformed
from tallystick_ledger.tlog.merkle import (
    Prover,
    check_consistency,
    check_inclusion,
    prove_consistency,
    prove_inclusion,
    root_at,
)
from tallystick_ledger.tlog.reader import TILE_SIZE_BYTES, Tile, TileCache, TileReader
from tallystick_ledger.tlog.tiles import TILE_WIDTH

TREE = Tree(700)


def reader(files: dict[str, bytes], size: int, *, cache: TileCache | None = None) -> TileReader:
    return TileReader(files.__getitem__, size, cache=cache)


def counting(files: dict[str, bytes]) -> tuple[Callable[[str], bytes], Counter[str]]:
    """Return a fetch, and how often it was asked for each path."""
    fetched = Counter[str]()

    def fetch(path: str) -> bytes:
        fetched[path] += 1
        return files[path]

    return fetch, fetched


@settings(max_examples=40)
@given(st.integers(1, 700), st.data())
def test_a_tree_read_from_its_tiles_is_the_tree(size: int, data: st.DataObject) -> None:
    tree = Tree(size)
    read = TileReader(tree.files().__getitem__, size)
    assert root_at(size, read) == root_of(tree.leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = prove_inclusion(index, size=size, read=read)
    check_inclusion(proof, leaf_hash=tree.leaves[index], index=index, size=size, root=root_of(tree.leaves))
    assert read.entry(index) == tree.entries[index]


def test_a_tree_of_three_tile_levels_is_read_from_its_tiles() -> None:
    tree = Tree(66_000)
    read = reader(tree.files(), tree.size)
    root = root_of(tree.leaves)
    assert root_at(tree.size, read) == root
    for index in (0, 65_535, 65_536, 65_999):
        proof = prove_inclusion(index, size=tree.size, read=read)
        check_inclusion(proof, leaf_hash=tree.leaves[index], index=index, size=tree.size, root=root)
    check_consistency(
        prove_consistency(300, new_size=tree.size, read=read),
        old_size=300,
        old_root=root_of(tree.leaves[:300]),
        new_size=tree.size,
        new_root=root,
    )


def test_a_full_tile_stands_in_for_a_partial_one_that_was_deleted() -> None:
    """A log of 700 entries has deleted the partial tiles of its first 300, except the one that is not full yet."""
    files = {path: raw for path, raw in TREE.files().items() if path != "tile/1/000.p/2"}
    files["tile/1/000.p/1"] = Tree(300).files()["tile/1/000.p/1"]
    assert "tile/0/001.p/44" not in files
    read = reader(files, 300)
    assert root_at(300, read) == root_of(TREE.leaves[:300])
    assert read.entry(299) == TREE.entries[299]


def test_what_is_absent_is_said_to_be_absent() -> None:
    read = reader({}, 300)
    for ask in (lambda: read(0, 0), lambda: read(0, 299), lambda: read.entry(0), lambda: read.entry(299)):
        with pytest.raises(LookupError):
            ask()


def test_only_a_partial_tile_is_asked_for_a_second_time() -> None:
    asked: list[str] = []

    def fetch(path: str) -> bytes:
        asked.append(path)
        raise LookupError(path)

    read = TileReader(fetch, 300)
    for index in (0, 299):
        with pytest.raises(LookupError):
            read(0, index)
    assert asked == ["tile/0/000", "tile/0/001.p/44", "tile/0/001"]


def test_a_tile_of_another_width_is_refused_and_so_is_a_full_one_cut_short() -> None:
    with pytest.raises(TileMalformed, match="wide"):
        reader({"tile/0/000.p/2": b"a" * 96}, 2)(0, 0)
    with pytest.raises(TileMalformed, match="wide"):
        reader({"tile/0/000": b"a" * 64}, 2)(0, 0)
    with pytest.raises(TileMalformed, match="ends before"):
        reader({"tile/entries/000": b"\x00\x00" * 2}, 2).entry(0)


@pytest.mark.parametrize(("level", "index"), [(-1, 0), (0, -1), (0, 5), (1, 2), (3, 0), (70, 0)])
def test_only_complete_subtrees_of_the_tree_are_read(level: int, index: int) -> None:
    with pytest.raises(BadInput, match="no such complete subtree"):
        reader(Tree(5).files(), 5)(level, index)


@pytest.mark.parametrize("index", [-1, 5])
def test_only_entries_of_the_tree_are_read(index: int) -> None:
    with pytest.raises(BadInput, match="no such entry"):
        reader(Tree(5).files(), 5).entry(index)


def test_entries_of_one_bundle_are_fetched_together() -> None:
    files, fetched = TREE.files(), Counter[str]()

    def fetch(path: str) -> bytes:
        fetched[path] += 1
        return files[path]

    read = TileReader(fetch, TREE.size)
    assert [read.entry(index) for index in range(TREE.size)] == TREE.entries
    assert set(fetched.values()) == {1}


# What is kept


def test_the_tiles_used_last_are_kept_and_no_more_than_fit() -> None:
    fetch, fetched = counting(TREE.files())
    read = TileReader(fetch, TREE.size, cache=TileCache(2 * TILE_SIZE_BYTES))
    for index in (0, 256, 1, 257, 2):  # two tiles in turn: each is fetched once
        assert read(0, index) == TREE.leaves[index]
    assert fetched == {"tile/0/000": 1, "tile/0/001": 1}
    read(0, 512)  # a third: the one used longest ago, 001, makes room
    read(0, 3)
    assert fetched["tile/0/000"] == 1
    read(0, 258)
    assert fetched["tile/0/001"] == 2


def test_a_cache_too_small_for_a_tile_keeps_none_and_the_tree_is_read_all_the_same() -> None:
    fetch, fetched = counting(TREE.files())
    cache = TileCache(TILE_SIZE_BYTES - 1)
    read = TileReader(fetch, TREE.size, cache=cache)
    assert [read(0, index) for index in (0, 300, 1)] == [TREE.leaves[index] for index in (0, 300, 1)]
    assert fetched["tile/0/000"] == 2
    assert cache.size_bytes == 0


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, TILE_WIDTH)), max_size=60),
    st.integers(0, 8 * TILE_SIZE_BYTES),
)
def test_a_cache_never_takes_more_than_its_bound_and_finds_only_what_is_wide_enough(
    kept: list[tuple[int, int]], size_max_bytes: int
) -> None:
    cache = TileCache(size_max_bytes)
    for index, width in kept:
        cache.keep((0, index), Tile(bytes(32 * width)))
        assert 0 <= cache.size_bytes <= size_max_bytes
    found = [cache.find((0, index), width=1) for index in range(31)]
    assert cache.size_bytes == TILE_SIZE_BYTES * sum(tile is not None for tile in found)
    for index, tile in enumerate(found):
        if tile is not None:
            assert cache.find((0, index), width=tile.width) is tile
            assert cache.find((0, index), width=tile.width + 1) is None


def test_one_cache_serves_a_log_as_it_grows() -> None:
    """Each head reads its right edge anew where that grew, takes the rest from before, and older heads still stand."""
    fetch, fetched = counting(TREE.files() | Tree(300).files() | Tree(400).files())
    cache = TileCache()
    for size in (300, 400, 700, 300, 400):
        read = TileReader(fetch, size, cache=cache)
        assert root_at(size, read) == root_of(TREE.leaves[:size])
        prover = Prover(size, read)
        for index in (0, 255, 256, size - 1):
            check_inclusion(
                prover.inclusion(index), leaf_hash=TREE.leaves[index], index=index, size=size, root=root_at(size, read)
            )
    assert fetched["tile/0/000"] == fetched["tile/0/001.p/44"] == fetched["tile/0/001.p/144"] == 1
    assert fetched["tile/0/001"] == 1


def test_a_narrower_tile_does_not_push_out_a_wider_one() -> None:
    """Two threads read the same place for two heads, and the older head's comes last."""
    cache = TileCache()
    wide, narrow = Tile(bytes(64)), Tile(bytes(32))
    cache.keep((0, 0), wide)
    cache.keep((0, 0), narrow)
    assert cache.find((0, 0), width=1) is wide
    assert cache.size_bytes == TILE_SIZE_BYTES


def test_what_a_cache_says_it_takes_is_what_it_takes() -> None:
    """Every level folded, and every tile an object of its own: the bound is one of real memory."""
    bound_bytes = 40 * TILE_SIZE_BYTES
    cache = TileCache(bound_bytes)
    tracemalloc.start()
    try:
        before_bytes = tracemalloc.get_traced_memory()[0]
        for index in range(100):
            tile = Tile(index.to_bytes(32, "big") * TILE_WIDTH)
            tile.hash(7, 0)
            cache.keep((0, index), tile)
        taken_bytes = tracemalloc.get_traced_memory()[0] - before_bytes
    finally:
        tracemalloc.stop()
    assert cache.size_bytes == bound_bytes
    assert 0.8 * bound_bytes < taken_bytes <= bound_bytes


def test_many_threads_prove_through_one_small_cache() -> None:
    """Tiles come and go under them; each proof still leads to the root, and the cache still knows what it takes."""
    files, root = TREE.files(), root_of(TREE.leaves)
    cache = TileCache(2 * TILE_SIZE_BYTES, lock=threading.Lock())
    failed: list[Exception] = []

    def prove(first: int) -> None:
        try:
            prover = Prover(TREE.size, shared)
            for index in range(first, TREE.size, 8):
                index = index * 257 % TREE.size
                check_inclusion(
                    prover.inclusion(index), leaf_hash=TREE.leaves[index], index=index, size=TREE.size, root=root
                )
        except Exception as error:  # noqa: BLE001  # a thread's failure is the test's
            failed.append(error)

    shared = reader(files, TREE.size, cache=cache)
    threads = [threading.Thread(target=prove, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert 0 < cache.size_bytes <= 2 * TILE_SIZE_BYTES
