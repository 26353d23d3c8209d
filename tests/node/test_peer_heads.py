"""Partners' logs anchor each other: what each has seen stands in its own ledger, forks are caught, idle logs rest."""

import asyncio
import hashlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from hosts import Host
from signers import NOW_S, ed25519_key
from sqlalchemy import select
from town import Company, Town, agree, at, town

from tallystick.audit import DirectorySource, audit
from tallystick.evidence import parse_evidence
from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.entry import Entry, parse_entry
from tallystick_ledger.peer_head import PeerHead, parse_peer_head
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.merkle import EMPTY_ROOT
from tallystick_ledger.tlog.note import NoteSigner, Signer, open_note, sign_note
from tallystick_node.config import load_settings
from tallystick_node.flows.logs.peer_heads import PeerHeads
from tallystick_node.log.missed import MISSED_FOR_S
from tallystick_node.operator.partners import add_partner
from tallystick_node.setup import create_node
from tallystick_node.storage.tables import FOLLOWED

INTERVAL_S = 300


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path) as made:
        yield made


@pytest.fixture
def pair(story: Town) -> tuple[Company, Company]:
    return story.company("gym.example"), story.company("insurer.example")


def entries(company: Company) -> list[Entry]:
    size = company.node.publisher.published_size
    reader = company.node.publisher.reader(size)
    return [parse_entry(reader.entry(index)) for index in range(size)]


def seen_by(company: Company) -> list[PeerHead]:
    """Return the heads of others in a company's ledger."""
    return [parse_peer_head(entry.body) for entry in entries(company) if entry.kind == "peer_head"]


def write(company: Company, what: str) -> None:
    """Something happens at a company."""
    commitment = to_base64url(hashlib.sha256(what.encode()).digest())
    asyncio.run(company.node.written(lambda transaction: transaction.append("event", {"commitment": commitment})))


def rest(story: Town, *, rounds: int) -> list[list[int]]:
    """Let time pass, an interval a round; return how long the logs were after each."""
    sizes: list[list[int]] = []
    for _ in range(rounds):
        story.clock.at_s += INTERVAL_S
        story.settle()
        sizes.append([each.node.publisher.published_size for each in story.companies.values()])
    return sizes


def log_key(company: Company) -> VerifierKey:
    return VerifierKey.parse((company.folder / "log.vkey").read_text().strip())


def test_each_ledger_holds_the_other_s_head_under_the_other_s_own_signature(
    story: Town, pair: tuple[Company, Company]
) -> None:
    gym, insurer = pair
    agree(story, insurer, gym)
    for company, other in ((gym, insurer), (insurer, gym)):
        heads = seen_by(company)
        assert heads
        for head in heads:
            opened = open_note(head.note, [log_key(other)])
            assert (len(opened.lines), head.checkpoint.origin) == (1, other.node.settings.log_origin)
        assert audit([DirectorySource(str(company.log))]).holds


def test_two_idle_logs_stop_growing(story: Town, pair: tuple[Company, Company]) -> None:
    """Each anchor is a new head for the other to anchor; still it ends."""
    gym, insurer = pair
    agree(story, insurer, gym)
    *_, before, last = rest(story, rounds=8)
    assert before == last
    for what in ("one", "two", "three"):
        write(gym, what)
        grown = rest(story, rounds=6)
        assert grown[-1] == grown[-3]
        assert sum(grown[-1]) - sum(last) <= 2  # the entry itself, and one anchor of what the insurer's log had become
        last = grown[-1]


@pytest.mark.usefixtures("pair")
def test_three_idle_logs_stop_growing(story: Town) -> None:
    bank = story.company("bank.example")
    sizes = rest(story, rounds=8)
    assert sizes[-1] == sizes[-4]
    write(bank, "news")
    grown = rest(story, rounds=6)
    assert grown[-1] == grown[-3]
    assert sum(grown[-1]) - sum(sizes[-1]) <= 3
    assert {head.checkpoint.origin for head in seen_by(bank)} == {"gym.example/log/2027", "insurer.example/log/2027"}


def test_news_brings_what_the_partner_s_log_has_become(story: Town, pair: tuple[Company, Company]) -> None:
    gym, insurer = pair
    rest(story, rounds=4)
    write(insurer, "news")
    rest(story, rounds=4)
    before, size = seen_by(gym), insurer.node.publisher.published_size
    assert before[-1].checkpoint.size < size
    write(gym, "news too")
    rest(story, rounds=4)
    (new,) = seen_by(gym)[len(before) :]
    assert new.checkpoint.size == size


def test_a_partner_is_looked_at_once_an_interval(story: Town, pair: tuple[Company, Company]) -> None:
    gym, insurer = pair
    rest(story, rounds=3)
    size = gym.node.publisher.published_size
    story.clock.at_s += INTERVAL_S - 1
    write(gym, "news")
    write(insurer, "news")
    story.settle()
    assert gym.node.publisher.published_size == size + 1
    story.clock.at_s += 1
    story.settle()
    assert gym.node.publisher.published_size == size + 2


def test_a_node_that_is_told_to_follows_nobody(story: Town, pair: tuple[Company, Company]) -> None:
    gym, _ = pair
    rest(story, rounds=3)
    gym.stop()
    settings = load_settings(gym.folder).model_copy(update={"follow_interval_s": 0})
    (gym.folder / "node.toml").write_text(settings.text())
    gym.start()
    before = len(seen_by(gym))
    write(gym, "news")
    rest(story, rounds=3)
    assert len(seen_by(gym)) == before


def test_a_partner_that_shows_another_past_is_caught_with_both_heads(
    story: Town, pair: tuple[Company, Company], caplog: pytest.LogCaptureFixture
) -> None:
    gym, insurer = pair
    rest(story, rounds=3)
    gym.stop()
    backup = gym.back_up()
    gym.start()
    write(gym, "what the insurer has seen")
    rest(story, rounds=2)
    gym.stop()
    insurer.stop()  # else it would be asked, and the gym would write nothing more
    gym.restore(backup)
    gym.start()
    write(gym, "another past")
    write(gym, "and more of it")
    write(gym, "until it is longer")
    gym.work()
    insurer.start()
    write(insurer, "news")
    before = len(seen_by(insurer))
    rest(story, rounds=3)
    assert "has signed two histories" in caplog.text
    (kept,) = (insurer.folder / "evidence").iterdir()
    evidence = parse_evidence(kept.read_bytes())
    assert evidence.check([log_key(gym)]).accuses
    assert httpx.get(f"{insurer.url}/readyz").json()["evidence"] == "kept"
    # Both histories stand in the insurer's ledger, as the gym signed them, and it looks no further.
    assert seen_by(insurer)[before:][-1].checkpoint.size == evidence.check([log_key(gym)]).sizes[1]
    size = insurer.node.publisher.published_size
    insurer.stop()
    insurer.start()
    rest(story, rounds=2)
    assert insurer.node.publisher.published_size == size
    assert audit([DirectorySource(str(insurer.log))]).holds


def test_a_partner_that_keeps_silent_delays_no_other(
    story: Town, pair: tuple[Company, Company], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection and says nothing: whoever looks at it waits, and nobody else."""
    monkeypatch.setattr("tallystick.following.READ_TIMEOUT_S", 1.0)
    gym, _ = pair
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        folder = tmp_path / "mute"
        keys = create_node(folder, host="mute.example", url=url, bind="127.0.0.1:1", sandbox=True, clock=story.clock)
        descriptor = (folder / "descriptor.jwt").read_text()
        add_partner(gym.folder, descriptor, expected_fingerprint=keys.fingerprint, clock=story.clock)
        peers = PeerHeads(gym.node)

        async def both() -> list[str]:
            order: list[str] = []

            async def look(host: str) -> None:
                await peers.look(host)
                order.append(host)

            await asyncio.gather(look("mute.example"), look("insurer.example"))
            return order

        assert asyncio.run(both()) == ["insurer.example", "mute.example"]
        peers.close()


def test_a_partner_that_is_away_is_followed_again_when_it_returns(story: Town, pair: tuple[Company, Company]) -> None:
    gym, insurer = pair
    rest(story, rounds=3)
    insurer.stop()
    story.clock.at_s += INTERVAL_S
    gym.work()
    insurer.start()
    write(insurer, "back again")
    rest(story, rounds=2)
    write(gym, "news")
    rest(story, rounds=2)
    assert seen_by(gym)[-1].checkpoint.size >= insurer.node.publisher.published_size - 1


def test_a_new_year_s_logs_anchor_each_other_and_come_to_rest(story: Town, pair: tuple[Company, Company]) -> None:
    gym, insurer = pair
    rest(story, rounds=3)
    story.clock.at_s = at("2028-01-02 09:00")
    sizes = rest(story, rounds=8)
    assert gym.node.publisher.origin == "gym.example/log/2028"
    assert sizes[-1] == sizes[-3]
    for company, other in ((gym, insurer), (insurer, gym)):
        assert [head.checkpoint.origin for head in seen_by(company)][:2] == [
            f"{other.host}/log/{year}" for year in (2027, 2028)
        ]


@dataclass
class Liar:
    """A partner of the gym's that shows whatever it likes."""

    story: Town
    gym: Company
    host: Host
    origin: str
    log: Signer
    pq: Signer

    def shows(self, root: str, *signers: Signer, size: int = 10, extension: str = "") -> tuple[str, int]:
        """Show a head; return how the gym follows the log then, and how many files of evidence it has."""
        root_hash = hashlib.sha256(root.encode()).digest() if size else EMPTY_ROOT
        head = Checkpoint(self.origin, size, root_hash, (extension,) if extension else ())
        return self.serves(sign_note(head.body(), signers, now_s=self.story.clock.at_s))

    def serves(self, note: bytes) -> tuple[str, int]:
        """Serve these bytes, or no log at all."""
        self.host.shown_at = {"/log/2027/checkpoint": note} if note else {}
        self.story.clock.at_s += INTERVAL_S
        self.gym.work()
        (row,) = self.gym.node.rows(select(FOLLOWED))
        return row.state, self.gym.node.evidence.count


@pytest.fixture
def liar(story: Town, tmp_path: Path) -> Iterator[Liar]:
    gym = story.company("gym.example")
    with Host() as host:
        keys = create_node(
            tmp_path / "liar", host="liar.example", url=host.url, bind="a:1", sandbox=True, clock=story.clock
        )
        token = (tmp_path / "liar" / "descriptor.jwt").read_text()
        add_partner(gym.folder, token, expected_fingerprint=keys.fingerprint, clock=story.clock)
        origin = "liar.example/log/2027"
        yield Liar(story, gym, host, origin, *keys.head_signers(origin, now_s=story.clock.at_s))


def test_a_head_that_cannot_be_anchored_is_remembered_all_the_same(liar: Liar) -> None:
    assert liar.shows("one", liar.log, extension="x" * 5_000) == ("following", 0)
    assert liar.shows("two", liar.log, extension="x" * 5_000) == ("forked", 1)
    assert seen_by(liar.gym) == []


def test_a_fork_signed_with_ml_dsa_alone_is_recorded_once(liar: Liar) -> None:
    assert liar.shows("one", liar.log) == ("following", 0)
    assert liar.shows("two", liar.pq) == ("forked", 1)
    assert liar.shows("three", liar.pq) == ("forked", 1)


def test_a_fork_is_remembered_also_where_its_evidence_cannot_be_kept(liar: Liar) -> None:
    (liar.gym.folder / "evidence").write_text("no folder can be made here, as on a disk that is full")
    assert liar.shows("one", liar.log) == ("following", 0)
    assert liar.shows("two", liar.log) == ("forked", 0)


def test_a_log_that_is_taken_away_or_emptied_is_told_of(liar: Liar, caplog: pytest.LogCaptureFixture) -> None:
    ten = sign_note(Checkpoint(liar.origin, 10, bytes(32)).body(), [liar.log], now_s=NOW_S)
    liar.serves(ten)
    for empty, code in ((b"", "log_gone"), (None, "log_rolled_back")):
        caplog.clear()
        assert (liar.shows("", liar.log, size=0) if empty is None else liar.serves(empty)) == ("following", 0)
        assert caplog.messages == [f"following {liar.origin}: {code}"]
    caplog.clear()
    liar.serves(ten)
    assert caplog.messages == [f"following {liar.origin}: as it should be"]


@pytest.mark.parametrize(
    ("shown", "code", "found"),
    [
        (b"", "log_gone", "found no log in its place"),
        pytest.param(
            b"smaller",
            "log_rolled_back",
            "found a head of 4 entries in its place, which the log has signed too",
            marks=pytest.mark.long,
        ),
        pytest.param(
            b"unsigned",
            "reply_forged",
            "found something else in its place, which the log has not signed",
            marks=pytest.mark.long,
        ),
    ],
)
def test_what_a_log_had_shown_and_shows_no_more_is_kept_once_it_was_missed_for_an_hour(
    liar: Liar, caplog: pytest.LogCaptureFixture, shown: bytes, code: str, found: str
) -> None:
    def missed() -> object:
        return httpx.get(f"{liar.gym.url}/readyz").json().get("logs_missed")

    small = Checkpoint(liar.origin, 4, bytes(32)).body()
    less = {
        b"": b"",
        b"smaller": sign_note(small, [liar.log], now_s=NOW_S),
        b"unsigned": sign_note(small, [NoteSigner(liar.origin, ed25519_key("another"))], now_s=NOW_S),
    }[shown]
    assert liar.shows("ten", liar.log) == ("following", 0)
    for _ in range(MISSED_FOR_S // INTERVAL_S):
        assert liar.serves(less) == ("following", 0)
        assert missed() == f"{liar.origin} ({code})"
    assert "critical" not in str({each.levelname.lower() for each in caplog.records})
    assert liar.serves(less) == ("following", 1)
    assert f"the log {liar.origin} does not show any more what it has signed: {code}" in caplog.messages
    (kept,) = (liar.gym.folder / "evidence").iterdir()
    verdict = parse_evidence(kept.read_bytes()).check([liar.log.verifier_key])
    assert not verdict.accuses
    assert found in verdict.problem
    assert liar.serves(less) == ("following", 1), "it is kept once"
    assert liar.shows("ten", liar.log) == ("following", 1)
    assert missed() is None


@pytest.mark.long
def test_a_log_that_was_away_in_between_is_not_missed_for_an_hour(liar: Liar) -> None:
    assert liar.shows("ten", liar.log) == ("following", 0)
    for _ in range(2):
        for _ in range(MISSED_FOR_S // INTERVAL_S):
            assert liar.serves(b"") == ("following", 0)
        assert liar.shows("ten", liar.log) == ("following", 0)
