"""The proof service: what auditors and apps are shown of the published log, and how much of it, and in whose sight."""

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from hostile import Scene, app, log_size, nothing_changes, refused
from sqlalchemy import select
from town import Company

from tallystick import Client, NotFound
from tallystick.descriptor import open_descriptor
from tallystick.wire import PROVEN_MAX, EntryProof
from tallystick_ledger.encoding import from_base64, to_base64, to_base64url
from tallystick_ledger.errors import SignatureRejected
from tallystick_ledger.tlog.checkpoint import Checkpoint, open_checkpoint
from tallystick_ledger.tlog.hashing import leaf_hash
from tallystick_ledger.tlog.head import parse_checkpoint_body
from tallystick_ledger.tlog.merkle import check_inclusion
from tallystick_ledger.tlog.proof import parse_proof
from tallystick_ledger.tlog.subtree import subtree_hash
from tallystick_ledger.tlog.tiles import TILE_WIDTH
from tallystick_node.app import LOG_READERS_MAX
from tallystick_node.log import proof_service as proofs
from tallystick_node.log.proof_service import ProofService
from tallystick_node.log.transaction import Transaction
from tallystick_node.storage.tables import AUDIT_READS

ORIGIN = "gym.example/log/2027"
GROWN = 2 * TILE_WIDTH + 60
"""Enough for two full tiles, a partial one, and a tile above them."""


@pytest.fixture(scope="module")
def gym(scene: Scene) -> Company:
    """The gym, its log grown past two tiles and published."""
    node, size = scene.gym.node, log_size(scene.gym)

    def grow(transaction: Transaction) -> None:
        for _ in range(GROWN - size):
            transaction.append("event", {"commitment": to_base64url(node.random_bytes(32))})

    node.writer.submit(grow).result(10)
    scene.story.settle()
    return scene.gym


def head_of(company: Company) -> Checkpoint:
    return company.node.publisher.published[0]


def reads(company: Company) -> list[str]:
    return [row.path for row in company.node.rows(select(AUDIT_READS).order_by(AUDIT_READS.c.id))]


def auditor(company: Company) -> Client:
    return company.app(company.key("audit:read"))


def visitor(company: Company) -> Client:
    """An app that may read no entry."""
    return company.app(company.key("programs:read"))


# Entries, for auditors


def test_an_auditor_reads_scattered_entries_under_one_head_and_each_read_is_recorded(gym: Company) -> None:
    told = auditor(gym).proofs.entries([500, 0, 257, 0])
    assert [each.index for each in told.inclusions] == [500, 0, 257, 0]
    assert json.loads(told.inclusions[1].entry or "")["kind"] == "opening"
    assert told.inclusions[1] == told.inclusions[3]
    assert reads(gym)[-1] == "entries 500,0,257,0"


@pytest.mark.parametrize(("start", "end"), [(0, 1), (0, PROVEN_MAX), (200, 300), (GROWN - 1, GROWN), (511, 513)])
def test_an_auditor_reads_entries_side_by_side_with_one_proof_for_all(gym: Company, start: int, end: int) -> None:
    told = auditor(gym).proofs.range(start, end)
    reader = gym.node.publisher.reader(GROWN)
    assert [entry.encode() for entry in told.entries] == [reader.entry(index) for index in range(start, end)]
    assert len(told.hashes) <= 2 * GROWN.bit_length()
    assert reads(gym)[-1] == f"entries {start} to {end - 1}"


def test_what_is_refused_is_not_read_and_not_recorded(gym: Company) -> None:
    size = head_of(gym).size
    with nothing_changes(gym):
        refused(app(gym, f"/v1/proofs/{size}", method="GET"), 404, "not_found")
        refused(app(gym, "/v1/proofs/entries", {"indexes": [0, size]}), 404, "not_published")
        refused(app(gym, "/v1/proofs/range", {"start": size - 1, "end": size + 1}), 404, "not_published")
        refused(app(gym, "/v1/proofs/range", {"start": 5, "end": 5}), 404, "not_published")
        refused(app(gym, "/v1/proofs/range", {"start": 9, "end": 5}), 404, "not_published")
        refused(app(gym, "/v1/proofs/range", {"start": 0, "end": PROVEN_MAX + 1}), 422, "limit_reached")
        refused(app(gym, "/v1/proofs/range", {"start": 0, "end": 2**63 - 1}), 422, "limit_reached")
        refused(app(gym, "/v1/proofs/entries", {"indexes": [0] * (PROVEN_MAX + 1)}), 422, "invalid_input")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("entries", {"indexes": []}),
        ("entries", {"indexes": [-1]}),
        ("entries", {"indexes": ["0"]}),
        ("entries", {"indexes": [0.0]}),
        ("entries", {"indexes": [True]}),
        ("inclusion", {"indexes": [2**63 - 1]}),
        ("inclusion", {"indexes": [2**64]}),
        ("range", {"start": -1, "end": 1}),
        ("range", {"start": 0, "end": 2**63}),
        ("range", {"start": 0}),
        ("consistency", {"old_size": 0}),
        ("consistency", {"old_size": 2**63}),
        ("consistency", {"old_size": 1, "new_size": 2**64}),
        ("subtree", {"start": 0, "end": 0}),
        ("subtree", {"start": 3, "end": 5}),
        ("subtree", {"start": 5, "end": 5}),
        ("subtree", {"start": 8, "end": 5}),
    ],
)
def test_places_and_sizes_that_no_log_has_are_refused(gym: Company, path: str, body: dict[str, object]) -> None:
    with nothing_changes(gym):
        refused(app(gym, f"/v1/proofs/{path}", body), 422, "invalid_input")


def test_entries_larger_than_one_answer_are_refused_before_any_is_shown(
    gym: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = {"start": 0, "end": 20}
    size_bytes = sum(len(gym.node.publisher.reader(GROWN).entry(index)) for index in range(20))
    monkeypatch.setattr(proofs, "ENTRIES_SIZE_MAX_BYTES", size_bytes)
    assert app(gym, "/v1/proofs/range", ask).status_code == 200
    monkeypatch.setattr(proofs, "ENTRIES_SIZE_MAX_BYTES", size_bytes - 1)
    with nothing_changes(gym):
        refused(app(gym, "/v1/proofs/range", ask), 422, "limit_reached")
        refused(app(gym, "/v1/proofs/entries", {"indexes": list(range(20))}), 422, "limit_reached")


# Hashes, for every app


def test_an_app_renews_the_proof_it_got_with_its_reply_and_reads_no_entry(scene: Scene, gym: Company) -> None:
    """What came with the reply leads to a head that only the log signed; the published one bears both signatures."""
    kind, data = "membership.activated", {"since": "2027-02-27T09:00:00-05:00"}
    (first,) = gym.app().events.record(subject="ana-at-gym", type=kind, data=data).proofs
    scene.story.settle()
    before = reads(gym)
    renewed = visitor(gym).proofs.renew(first)
    assert (renewed.index, renewed.entry) == (first.index, first.entry)
    assert signers_of(gym, first) == 1
    assert signers_of(gym, renewed) == 2
    assert reads(gym) == before


def signers_of(company: Company, stated: EntryProof) -> int:
    """Return how many of the log's two keys have signed the head of a proof."""
    signed = 0
    note = parse_proof(stated.proof.encode()).checkpoint
    for key in open_descriptor(company.descriptor, expected_fingerprint=company.keys.fingerprint).log_keys(ORIGIN):
        try:
            open_checkpoint(note, origin=ORIGIN, keys=[key])
            signed += 1
        except SignatureRejected:
            pass
    return signed


def test_an_app_is_shown_that_the_log_it_knew_is_the_start_of_the_log_as_it_is(gym: Company) -> None:
    client, now = visitor(gym), head_of(gym)
    reader = gym.node.publisher.reader(now.size)
    for size in (1, 256, 300, now.size):
        old = Checkpoint(now.origin, size, subtree_hash(0, size, reader))
        assert client.proofs.consistency(old).new_size == now.size
        assert client.proofs.consistency(old, now).new_size == now.size
    middle = Checkpoint(now.origin, 400, subtree_hash(0, 400, reader))
    assert client.proofs.consistency(Checkpoint(now.origin, 256, subtree_hash(0, 256, reader)), middle).new_size == 400


def test_heads_that_are_not_published_are_not_compared(gym: Company) -> None:
    size = head_of(gym).size
    for ask in ({"old_size": size + 1}, {"old_size": 1, "new_size": size + 1}, {"old_size": 2, "new_size": 1}):
        with nothing_changes(gym):
            refused(app(gym, "/v1/proofs/consistency", ask), 404, "not_published")
    with pytest.raises(NotFound, match="does not cover"):
        visitor(gym).proofs.consistency(Checkpoint(head_of(gym).origin, size + 1, bytes(32)))


def test_an_app_is_shown_a_subtree_and_that_it_stands_in_the_log(gym: Company) -> None:
    client = visitor(gym)
    for start, end in ((0, 1), (256, 300), (256, 512), (512, 520), (0, GROWN)):
        told = client.proofs.subtree(start, end)
        assert told.hash == to_base64(subtree_hash(start, end, gym.node.publisher.reader(GROWN)))
    size = head_of(gym).size
    refused(app(gym, "/v1/proofs/subtree", {"start": 0, "end": size + 1}), 404, "not_published")


# What is kept, and what is broken


def test_tiles_are_read_once_for_all_requests_and_the_cache_stays_within_its_bound(gym: Company) -> None:
    fetched: list[str] = []
    publisher = gym.node.publisher

    class Watched:
        """The publisher, with every file it is asked for written down."""

        published = publisher.published

        def file(self, path: str) -> bytes | None:
            fetched.append(path)
            return publisher.file(path)

    roomy = ProofService(Watched())  # type: ignore[arg-type]
    for index in (*range(0, GROWN, 50), *range(0, GROWN, 50)):
        roomy.inclusions([index], with_entries=False)
    assert len(fetched) == len(set(fetched))
    assert not any("entries" in path for path in fetched)
    two_tiles_bytes = 2 * 17_000
    cramped = ProofService(Watched(), cache_size_max_bytes=two_tiles_bytes)  # type: ignore[arg-type]
    fetched.clear()
    for index in (*range(0, GROWN, 50), *range(0, GROWN, 50)):
        assert cramped.inclusions([index], with_entries=False) == roomy.inclusions([index], with_entries=False)
    assert len(fetched) > len(set(fetched))  # what it has no room for is read again


def test_many_ask_at_once_while_the_log_grows_and_every_proof_fits_its_own_head(gym: Company) -> None:
    node, failed, done = gym.node, list[Exception](), threading.Event()
    leaf = leaf_hash(gym.node.publisher.reader(GROWN).entry(100))

    def grow(transaction: Transaction) -> None:
        for _ in range(37):
            transaction.append("event", {"commitment": to_base64url(node.random_bytes(32))})

    def ask() -> None:
        try:
            while not done.is_set():
                told = node.proofs.inclusions([100], with_entries=False)
                head = parse_checkpoint_body(told.checkpoint.encode().partition(b"\n\n")[0] + b"\n")
                proof = parse_proof(node.proofs.entry(100).proof.encode())  # type: ignore[union-attr]
                assert proof.index == 100
                hashes = [from_base64(each) for each in told.inclusions[0].hashes]
                check_inclusion(hashes, leaf_hash=leaf, index=100, size=head.size, root=head.root)
        except Exception as error:  # noqa: BLE001  # a thread's failure is the test's
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(8):
        node.writer.submit(grow).result(10)
        node.publisher.publish()
    done.set()
    for thread in threads:
        thread.join()
    assert failed == []


@contextmanager
def damaged(path: Path, content: bytes | None) -> Iterator[None]:
    """Remove a file, or replace it, for the while."""
    before = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("left", [None, 0, 20, 8_191])
def test_a_tile_that_is_gone_or_cut_short_is_the_node_s_own_trouble(gym: Company, left: int | None) -> None:
    tile = gym.log / "tile/0/000"
    gym.node.shards.current.proofs = ProofService(gym.node.publisher)  # nothing kept
    with damaged(tile, None if left is None else tile.read_bytes()[:left]), nothing_changes(gym):
        refused(app(gym, "/v1/proofs/entries", {"indexes": [0]}), 503, "log_unreadable")
        refused(app(gym, "/v1/proofs/0", method="GET"), 503, "log_unreadable")
        refused(app(gym, "/v1/proofs/inclusion", {"indexes": [0]}), 503, "log_unreadable")
        refused(app(gym, "/v1/proofs/range", {"start": 0, "end": 3}), 503, "log_unreadable")
        refused(app(gym, "/v1/proofs/consistency", {"old_size": 3}), 503, "log_unreadable")
        refused(app(gym, "/v1/proofs/subtree", {"start": 0, "end": 3}), 503, "log_unreadable")
    assert auditor(gym).proofs.get(0).index == 0


def test_a_store_that_fails_is_the_node_s_own_trouble(gym: Company) -> None:
    gym.node.shards.current.proofs = ProofService(gym.node.publisher)  # nothing kept
    tile = gym.log / "tile/0/000"
    with damaged(tile, None):
        tile.symlink_to(tile)  # a file that can be found and not be read, whoever asks
        refused(httpx.get(f"{gym.url}/log/2027/tile/0/000"), 503, "log_unreadable")
        refused(app(gym, "/v1/proofs/inclusion", {"indexes": [0]}), 503, "log_unreadable")
        assert httpx.get(f"{gym.url}/log/2027/checkpoint").status_code == 200
        tile.unlink()


def test_a_file_that_is_long_in_coming_holds_up_nobody_else(gym: Company) -> None:
    tile = gym.log / "tile/0/000"
    content = tile.read_bytes()
    with damaged(tile, None), ThreadPoolExecutor(2 * LOG_READERS_MAX) as many:
        os.mkfifo(tile)  # whoever reads it waits for its writer
        asked = [
            many.submit(httpx.get, f"{gym.url}/log/2027/tile/0/000", timeout=60) for _ in range(2 * LOG_READERS_MAX)
        ]
        with tile.open("wb") as written:  # which waits for its first reader
            wait(asked, timeout=1)
            assert httpx.get(f"{gym.url}/healthz").status_code == 200
            assert httpx.get(f"{gym.url}/log/2027/checkpoint").status_code == 200
            assert httpx.post(f"{gym.url}/.well-known/tallystick", content=b"x").status_code == 422
            tile.unlink()
            tile.write_bytes(content)  # for those that have not begun to read
            written.write(content)
        assert any(each.result().content == content for each in asked)


@pytest.mark.parametrize("left", [None, 0, 1, 300])
def test_a_bundle_that_is_gone_or_cut_short_is_told_as_such(gym: Company, left: int | None) -> None:
    bundle = gym.log / "tile/entries/000"
    with damaged(bundle, None if left is None else bundle.read_bytes()[:left]), nothing_changes(gym):
        refused(app(gym, "/v1/proofs/range", {"start": 0, "end": 3}), 503, "log_unreadable")
        assert app(gym, "/v1/proofs/inclusion", {"indexes": [0]}).status_code == 200
