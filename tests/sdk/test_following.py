"""A log is followed from its public files: growth is shown, a fork is evidence, and nothing is believed unshown."""

from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path

import httpx
import pytest
from logs import log_signers
from signers import NOW_S, STRANGER, ed25519_key
from trees import Tree, leaf, node

from tallystick.errors import NodeUnreachable, ReplyForged
from tallystick.evidence import parse_evidence
from tallystick.following import REQUESTS_A_LOOK_MAX, TILE_SIZE_MAX_BYTES, Follower, LogSite
from tallystick.growth import LedgerForked
from tallystick_ledger.errors import NoteMalformed, SignatureRejected
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.merkle import EMPTY_ROOT, root_at
from tallystick_ledger.tlog.note import NoteSigner, Signer, sign_note

ORIGIN = "gym.example/log/2027"
SIGNERS = log_signers(ORIGIN)
KEYS = [signer.verifier_key for signer in SIGNERS]
SIZE = 1_400
TREE = Tree(SIZE)


class Branch(Tree):
    """The same log with another entry at a place."""

    def __init__(self, size: int, *, changed: int) -> None:
        super().__init__(size)
        self.leaves[changed] = leaf(b"another past")
        self._levels = [self.leaves]
        while len(below := self._levels[-1]) > 1:
            self._levels.append([node(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])


def note_of(size: int, tree: Tree = TREE, *, root: bytes | None = None, signers: tuple[Signer, ...] = SIGNERS) -> bytes:
    shown = root if root is not None else root_at(size, tree.read) if size else EMPTY_ROOT
    return sign_note(Checkpoint(ORIGIN, size, shown).body(), signers, now_s=NOW_S)


class Site:
    """A log as its host serves it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.answer: Callable[[httpx.Request], httpx.Response] = self.serve
        self.http = httpx.Client(transport=httpx.MockTransport(lambda request: self.answer(request)))

    def serve(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/log/2027/")
        self.asked.append(path)
        raw = self.files.get(path)
        return httpx.Response(404) if raw is None else httpx.Response(200, stream=httpx.ByteStream(raw))

    def show(self, size: int, tree: Tree = TREE, note: bytes | None = None) -> None:
        """Publish the log at a size."""
        shown = copy(tree)
        shown.size = size
        self.files = {path: raw for path, raw in shown.files().items() if "entries" not in path}
        self.files["checkpoint"] = note_of(size, tree) if note is None else note


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.http.close()


@pytest.fixture
def follower(site: Site, tmp_path: Path) -> Follower:
    return Follower("http://gym/log/2027/", origin=ORIGIN, keys=KEYS, file=tmp_path / "gym.head", http=site.http)


def test_a_log_is_followed_as_it_grows_and_its_last_head_remembered_over_a_restart(
    site: Site, follower: Follower, tmp_path: Path
) -> None:
    for size in (1, 2, 255, 256, 257, 700, SIZE):
        site.show(size)
        assert follower.look().checkpoint.size == size
        again = Follower("http://gym/log/2027", origin=ORIGIN, keys=KEYS, file=tmp_path / "gym.head", http=site.http)
        last = again.last()
        assert last is not None
        assert last.note == site.files["checkpoint"]
        assert set(last.keys) == set(KEYS)
    assert [path.name for path in tmp_path.iterdir()] == ["gym.head"]


def test_no_entry_is_asked_for_and_few_tiles(site: Site, follower: Follower) -> None:
    site.show(700)
    follower.look()
    site.show(SIZE)
    site.asked.clear()
    follower.look()
    assert len(site.asked) < 8
    assert not any("entries" in path for path in site.asked)


def test_a_head_that_stays_costs_one_request(site: Site, follower: Follower) -> None:
    site.show(700)
    first = follower.look()
    site.asked.clear()
    assert follower.look() == first
    assert site.asked == ["checkpoint"]


@pytest.mark.parametrize(("older", "newer"), [(1, 2), (5, 9), (256, 257), (300, 700), (512, 1400), (1399, 1400)])
def test_a_log_that_goes_on_from_another_past_is_convicted(
    site: Site, follower: Follower, older: int, newer: int
) -> None:
    site.show(older)
    follower.look()
    site.show(newer, Branch(SIZE, changed=older - 1))
    with pytest.raises(LedgerForked) as forked:
        follower.look()
    verdict = parse_evidence(forked.value.proof.encode()).check(KEYS)
    assert (verdict.origin, verdict.sizes) == (ORIGIN, (older, newer))
    last = follower.last()
    assert last is not None
    assert last.checkpoint.size == older  # what was remembered stays


def test_a_log_with_two_roots_for_one_size_is_convicted(site: Site, follower: Follower) -> None:
    site.show(5)
    follower.look()
    site.show(5, note=note_of(5, root=bytes(32)))
    with pytest.raises(LedgerForked) as forked:
        follower.look()
    assert forked.value.proof.check(KEYS).sizes == (5, 5)


def test_a_log_that_hides_its_fork_behind_tiles_of_no_tree_is_not_believed(site: Site, follower: Follower) -> None:
    """Lower tiles of the first branch under upper tiles of the second lead to both roots, but not by one proof."""
    site.show(300)
    follower.look()
    branch = Branch(SIZE, changed=3)
    site.show(SIZE, branch)
    site.files["tile/0/000"] = TREE.files()["tile/0/000"]
    site.files["tile/0/001"] = b"".join(TREE.leaves[256:512])
    site.files["tile/1/000.p/5"] = b"".join(TREE.read(8, at) for at in range(5))
    with pytest.raises(ReplyForged) as refused:
        follower.look()
    assert refused.value.code == "growth_unproven"


@pytest.mark.parametrize(
    "raw", [b"", bytes(31), bytes(TILE_SIZE_MAX_BYTES), None], ids=["empty", "short", "wide", "none"]
)
def test_a_tile_of_another_width_shows_nothing(site: Site, follower: Follower, raw: bytes | None) -> None:
    site.show(257)
    follower.look()
    site.show(300)
    path = "tile/0/001.p/44"
    if raw is None:
        del site.files[path]
    else:
        site.files[path] = raw
    with pytest.raises(ReplyForged) as refused:
        follower.look()
    assert refused.value.code == "growth_unproven"


def test_a_cache_that_shows_an_older_head_for_a_while_is_no_lie(site: Site, follower: Follower) -> None:
    site.show(700)
    follower.look()
    site.files["checkpoint"] = note_of(300)
    assert follower.look().checkpoint.size == 700


def test_a_log_that_was_rolled_back_is_told_from_one_that_is_cached(site: Site, follower: Follower) -> None:
    site.show(700)
    follower.look()
    site.show(300)
    with pytest.raises(ReplyForged) as refused:
        follower.look()
    assert refused.value.code == "log_rolled_back"
    site.show(700, note=note_of(300, Branch(SIZE, changed=3)))
    with pytest.raises(LedgerForked):
        follower.look()


def test_an_empty_log_is_the_beginning_of_every_other(site: Site, follower: Follower) -> None:
    site.show(0)
    assert follower.look().checkpoint.size == 0
    site.show(5)
    assert follower.look().checkpoint.size == 5
    site.show(0)
    with pytest.raises(ReplyForged) as caught:
        follower.look()
    assert caught.value.code == "log_rolled_back"


@pytest.mark.parametrize(
    "note",
    [
        note_of(9, signers=(STRANGER,)),
        note_of(9).replace(b"\n9\n", b"\n8\n"),
        note_of(9).replace(b"\n9\n", b"\n18446744073709551616\n"),
        note_of(9).replace(b"\n9\n", b"\n9\x0b"),
        note_of(9).replace(b"=\n", b"\n", 1),
        b"",
    ],
    ids=["another's", "changed", "2^64", "0x0B", "not canonical", "empty"],
)
def test_what_the_log_has_not_signed_is_not_believed(site: Site, follower: Follower, note: bytes) -> None:
    site.show(9, note=note)
    with pytest.raises(ReplyForged):
        follower.look()
    assert follower.last() is None


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: httpx.Response(200, stream=httpx.ByteStream(bytes(10_000_000))),
        lambda _: httpx.Response(500),
        lambda _: httpx.Response(404),
        lambda _: httpx.Response(302, headers={"Location": "http://elsewhere"}),
    ],
    ids=["10 MB", "500", "404", "elsewhere"],
)
def test_a_log_that_cannot_be_read_now_is_looked_at_later(
    site: Site, follower: Follower, answer: Callable[[httpx.Request], httpx.Response]
) -> None:
    site.show(9)
    follower.look()
    site.answer = answer
    with pytest.raises(NodeUnreachable):
        follower.look()
    site.answer = site.serve
    assert follower.look().checkpoint.size == 9


def test_a_log_that_answers_drop_by_drop_is_left(site: Site) -> None:
    at_s = 0.0

    def drops() -> Iterator[bytes]:
        nonlocal at_s
        while True:
            at_s += 10
            yield b"x"

    site.answer = lambda _: httpx.Response(200, content=drops())
    with pytest.raises(NodeUnreachable, match="ReadTimeout"):
        LogSite("http://gym", http=site.http, monotonic_s=lambda: at_s).checkpoint()


def test_a_log_that_makes_its_reader_ask_for_ever_is_left(site: Site) -> None:
    site.files = {"checkpoint": b"x"}
    look = LogSite("http://gym/log/2027", http=site.http)
    for _ in range(REQUESTS_A_LOOK_MAX):
        look.checkpoint()
    with pytest.raises(NodeUnreachable, match="too often"):
        look.checkpoint()


def test_a_memory_that_is_damaged_is_not_begun_again_in_silence(site: Site, follower: Follower, tmp_path: Path) -> None:
    site.show(9)
    follower.look()
    file = tmp_path / "gym.head"
    whole = file.read_bytes()
    for damaged in (b"", whole[:40], whole.replace(b"\n9\n", b"\n8\n")):
        file.write_bytes(damaged)
        with pytest.raises((NoteMalformed, SignatureRejected)):
            follower.look()
        assert file.read_bytes() == damaged


@pytest.mark.parametrize("size", [10, 20])
def test_a_log_that_revokes_the_key_of_its_first_history_is_convicted_all_the_same(
    site: Site, tmp_path: Path, size: int
) -> None:
    new = [NoteSigner(ORIGIN, ed25519_key("the key of the second history"))]

    def follower_of(keys: list[VerifierKey]) -> Follower:
        return Follower("http://gym/log/2027", origin=ORIGIN, keys=keys, file=tmp_path / "gym.head", http=site.http)

    site.show(10)
    follower_of(KEYS).look()
    other = Branch(SIZE, changed=3)
    site.show(size, other, note_of(size, other, signers=tuple(new)))
    with pytest.raises(LedgerForked) as caught:
        follower_of([new[0].verifier_key]).look()
    evidence = parse_evidence(caught.value.proof.encode())
    assert evidence.check(evidence.keys).accuses
    assert set(evidence.keys) == {*KEYS, new[0].verifier_key}
