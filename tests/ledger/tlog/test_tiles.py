"""Tiles and bundles: their paths as the specification spells them, and their bytes."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import shared
from trees import Tree

from tallystick_ledger.errors import TileMalformed
from tallystick_ledger.tlog.blob import ENTRY_SIZE_MAX_BYTES, join_entries, split_entries
from tallystick_ledger.tlog.merkle import SIZE_MAX
from tallystick_ledger.tlog.tiles import (
    INDEX_MAX,
    LEVEL_MAX,
    TILE_WIDTH,
    BundlePath,
    TilePath,
    decode_bundle,
    encode_bundle,
    parse_path,
    paths_between,
    paths_for,
    split_tile,
)

TREE = Tree(700)
places = st.one_of(
    st.builds(TilePath, st.integers(0, LEVEL_MAX), st.integers(0, INDEX_MAX), st.integers(1, TILE_WIDTH)),
    st.builds(BundlePath, st.integers(0, INDEX_MAX), st.integers(1, TILE_WIDTH)),
)


@pytest.mark.parametrize(
    ("place", "path"),
    [
        (TilePath(0, 1_234_067, 256), "tile/0/x001/x234/067"),
        (TilePath(2, 0, 1), "tile/2/000.p/1"),
        (TilePath(63, 999, 255), "tile/63/999.p/255"),
        (TilePath(0, 1000, 256), "tile/0/x001/000"),
        (BundlePath(0, 5), "tile/entries/000.p/5"),
        (BundlePath(273, 256), "tile/entries/273"),
    ],
)
def test_paths_are_spelled_as_the_specification_spells_them(place: TilePath | BundlePath, path: str) -> None:
    assert place.path == path
    assert parse_path(path) == place


def test_published_index_paths_agree() -> None:
    examples = json.loads(shared("vectors/c2sp_note_examples.json").read_text())["tlog_tiles_index_path"]
    for index, path in examples.items():
        assert TilePath(0, int(index), TILE_WIDTH).path == f"tile/0/{path}"


@given(places)
def test_every_path_is_read_back(place: TilePath | BundlePath) -> None:
    assert parse_path(place.path) == place


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/00/000",
        "tile/01/000",
        "tile/-1/000",
        "tile/64/000",
        "tile/\u0660/000",
        "tile/0/x000/067",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/257",
        "tile/0/000.p/",
        "tile/0/../000",
        "tile/entries/x000/000",
        "tile/entries/000.p/256",
        "tile/entry/000",
        "tile/0/x999/x999/x999/x999/x999/999",
        "tile/entries/x999/x999/x999/x999/x999/999",
        "tile/0/" + "x001/" * 6 + "000",
    ],
)
def test_any_other_spelling_is_refused(path: str) -> None:
    with pytest.raises(TileMalformed):
        parse_path(path)


@pytest.mark.parametrize(("level", "index", "width"), [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)])
def test_a_tile_out_of_range_cannot_be_named(level: int, index: int, width: int) -> None:
    with pytest.raises(TileMalformed, match="out of range"):
        TilePath(level, index, width)
    if level == 0:
        with pytest.raises(TileMalformed, match="out of range"):
            BundlePath(index, width)


def test_the_log_of_70000_entries_serves_the_published_tiles() -> None:
    numbers = json.loads(shared("vectors/c2sp_note_examples.json").read_text())["tlog_tiles_size_70000"]
    tiles = [place for place in paths_for(70_000) if isinstance(place, TilePath)]
    full = Counter(place.level for place in tiles if place.width == TILE_WIDTH)
    partial = {place.level: place.width for place in tiles if place.width < TILE_WIDTH}
    assert full == {0: numbers["level0_full"], 1: numbers["level1_full"]}
    assert partial == {level: numbers[f"level{level}_partial"] for level in range(3)}


@pytest.mark.parametrize(
    ("size", "paths"),
    [
        (0, []),
        (1, ["tile/entries/000.p/1", "tile/0/000.p/1"]),
        (256, ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]),
        (257, ["tile/entries/000", "tile/entries/001.p/1", "tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"]),
    ],
)
def test_a_small_log_serves_these(size: int, paths: list[str]) -> None:
    assert [place.path for place in paths_for(size)] == paths


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_what_a_log_adds_is_what_it_served_not_before(one: int, other: int) -> None:
    old_size, new_size = sorted((one, other))
    before, after = set(paths_for(old_size)), set(paths_for(new_size))
    added = list(paths_between(old_size, new_size))
    assert set(added) == after - before
    assert len(set(added)) == len(added)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=TILE_WIDTH))
def test_a_bundle_gives_its_entries_back(entries: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(entries), count=len(entries)) == entries


def test_a_bundle_is_lengths_and_entries() -> None:
    assert encode_bundle([b"", b"ab"]) == b"\x00\x00\x00\x02ab"
    longest = b"e" * ENTRY_SIZE_MAX_BYTES
    assert decode_bundle(encode_bundle([longest]), count=1) == [longest]


@pytest.mark.parametrize("entries", [[], [b""] * 257, [b"e" * (ENTRY_SIZE_MAX_BYTES + 1)]])
def test_what_does_not_fit_a_bundle_is_refused(entries: list[bytes]) -> None:
    with pytest.raises(TileMalformed, match=r"256 entries|65,535"):
        encode_bundle(entries)


@pytest.mark.parametrize(
    ("raw", "count", "problem"),
    [
        (b"\x00\x01a", 2, "ends before"),
        (b"\x00\x01a\x00", 2, "ends before"),
        (b"\x00\x02a", 1, "ends before"),
        (b"\x00", 1, "ends before"),
        (b"\x00\x02ab" * 4 + b"\x00\x02a", 5, "ends before"),
        (b"\x00\x01a\x00", 1, "goes on"),
        (b"", 0, "1 to 256"),
        (b"\x00\x00" * 257, 257, "1 to 256"),
    ],
)
def test_a_bundle_of_another_shape_is_refused(raw: bytes, count: int, problem: str) -> None:
    with pytest.raises(TileMalformed, match=problem):
        decode_bundle(raw, count=count)


def test_a_tile_is_split_into_its_hashes() -> None:
    assert split_tile(b"a" * 32 + b"b" * 32, width=2) == [b"a" * 32, b"b" * 32]
    for raw, width in ((b"a" * 33, 1), (b"a" * 32, 2), (b"", 0), (b"a" * 32 * 257, 257)):
        with pytest.raises(TileMalformed, match="wide"):
            split_tile(raw, width=width)


def test_the_largest_tree_has_a_last_tile() -> None:
    assert parse_path(TilePath(0, SIZE_MAX // TILE_WIDTH, 255).path).index == INDEX_MAX


def test_a_bundle_that_looks_as_if_all_its_entries_were_of_one_length() -> None:
    """Both are as long as four entries of two bytes, and have each a length byte where those would have one."""
    entries = [b"ab", b"cd\x00", b"x", b"yz"]
    assert decode_bundle(encode_bundle(entries), count=4) == entries
    with pytest.raises(TileMalformed, match="ends before"):
        decode_bundle(b"\x00\x02ab\x01\x02cd\x00\x02ef\x00\x02gh", count=4)


def test_a_commit_holds_fewer_entries_than_a_bundle_or_more() -> None:
    for entries in ([], [b"alone"], [b"alike"] * (TILE_WIDTH + 1)):
        assert split_entries(join_entries(entries), count=len(entries)) == entries
