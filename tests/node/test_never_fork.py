"""A log that others know otherwise is not written any more: it is read, it says so, and a successor goes on (P1)."""

import asyncio
import hashlib
import secrets
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
from hosts import Host
from town import Backup, Company, Town, agree, consent, link, town
from typer.testing import CliRunner

from tallystick.audit import DirectorySource, audit
from tallystick.errors import NodeFailed
from tallystick.tls import tls_context
from tallystick_ledger.entry import parse_entry
from tallystick_ledger.errors import PolicyUnmet
from tallystick_ledger.opening import parse_opening
from tallystick_ledger.tlog.head import Checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.keys import COSIGNATURE_ED25519, VerifierKey
from tallystick_ledger.tlog.note import NoteSigner, sign_note, unchecked_text
from tallystick_node.backups.node import back_up, put_back
from tallystick_node.cli import app as cli
from tallystick_node.clock import CLOCK_BACK_MAX_S, SetClock
from tallystick_node.config import CLOCK_VARIABLE, load_settings
from tallystick_node.errors import ClockBehind, LogReadOnly, LogUnasked, SettingsInvalid
from tallystick_node.keys.changes import revoke_key
from tallystick_node.log.own_heads import ASK_DEADLINE_S
from tallystick_node.log.successor import begin_successor
from tallystick_node.log.transaction import Transaction
from tallystick_node.operator.clock import accept_clock
from tallystick_node.operator.partners import add_partner, remove_partner
from tallystick_node.setup import create_node, open_key_folder

RUNNER = CliRunner()


def witnessed_by(company: Company, witness: Company, **settings: object) -> None:
    """Close the company, name a witness that must cosign, and open it again."""
    company.stop()
    logs = [f"log {(company.folder / name).read_text().strip()}" for name in ("log.vkey", "log-pq.vkey")]
    key = VerifierKey(f"{witness.host}/witness", COSIGNATURE_ED25519, witness.keys.public("witness"))
    lines = [*logs, f"witness w {key.text} {witness.url}/witness", "quorum w", ""]
    (company.folder / "witness.policy").write_text("\n".join(lines))
    named = {"witness_policy": "witness.policy", **settings}
    (company.folder / "node.toml").write_text(load_settings(company.folder).model_copy(update=named).text())
    company.start()


def write(company: Company, text: str) -> None:
    """Append an entry that means nothing."""
    asyncio.run(company.node.written(lambda transaction: note(transaction, text)))


def note(transaction: Transaction, text: str) -> None:
    transaction.append("program", {"note": text})


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Town, Company, Company]]:
    """A gym whose heads the insurer must cosign; they have an agreement."""
    with town(tmp_path) as story:
        gym, insurer = story.company("gym.example"), story.company("insurer.example")
        witnessed_by(gym, insurer)
        agree(story, insurer, gym)
        yield story, gym, insurer


def backed_up(story: Town, company: Company) -> Backup:
    """Back the company up while it is closed; open it again, and let it go on."""
    company.stop()
    backup = company.back_up()
    company.start()
    write(company, "what the backup does not have")
    story.settle()
    company.stop()
    return backup


def test_a_sealed_backup_forks_nothing_either_also_where_the_published_log_is_lost(
    pair: tuple[Town, Company, Company], tmp_path: Path
) -> None:
    """The policy comes back with the rows, and with it whom to ask."""
    story, gym, _insurer = pair
    back_up(gym.folder, tmp_path / "gym.backup", clock=story.clock)
    write(gym, "what the backup does not have")
    story.settle()
    gym.stop()
    gym.lose_rows()
    shutil.rmtree(gym.log)
    (gym.folder / "witness.policy").unlink()
    put_back(gym.folder, tmp_path / "gym.backup", clock=story.clock)
    gym.start()
    with pytest.raises(LogReadOnly):
        write(gym, "another past")


def readyz(company: Company) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{company.url}/readyz", verify=tls_context()).json()
    return answer


def refused(company: Company) -> None:
    """The company's app is told that nothing is written, and that it may come back."""
    with pytest.raises(NodeFailed) as failed:
        company.app().programs.publish({"program": "x"} | {})
    assert (failed.value.code, failed.value.status) == ("log_read_only", 503)


def test_a_node_restored_from_an_old_backup_is_read_only_before_its_first_head(
    pair: tuple[Town, Company, Company],
) -> None:
    story, gym, _insurer = pair
    backup = backed_up(story, gym)
    gym.restore(backup)
    before = (gym.log / "checkpoint").read_bytes()
    gym.start()
    with pytest.raises(LogReadOnly):
        write(gym, "another past")
    gym.work()
    assert (gym.log / "checkpoint").read_bytes() == before
    told = readyz(gym)
    assert (told["status"], told["log"]) == ("read_only", "gym.example/log/2027")
    assert "successor" in told["remedy"]
    # What it has is still read, and proven.
    assert [each.program["program"] for each in gym.app().programs.list().programs] == ["ins-fit"]
    assert gym.node.prove("2027", 0) is not None
    assert httpx.get(f"{gym.url}/log/2027/checkpoint").content == before
    auditor = gym.key("audit:read")
    bundle = max(gym.log.glob("tile/entries/000.p/*")).relative_to(gym.log)
    headers = {"Authorization": f"Bearer {auditor}"}
    assert httpx.get(f"{gym.url}/log/2027/{bundle}", headers=headers).status_code == 200
    assert httpx.get(f"{gym.url}/v1/proofs/0", headers=headers).status_code == 200
    for asked, body in (("entries", {"indexes": [0, 1]}), ("range", {"start": 0, "end": 2})):
        assert httpx.post(f"{gym.url}/v1/proofs/{asked}", headers=headers, json=body).status_code == 200, asked


def test_a_partner_that_only_follows_the_log_knows_better_as_well(tmp_path: Path) -> None:
    """Nobody is named as a witness, as by the tutorial; the insurer has cosigned nothing of the gym's."""
    with town(tmp_path) as story:
        gym, insurer = story.company("gym.example"), story.company("insurer.example")
        agree(story, insurer, gym)
        gym.stop()
        backup = gym.back_up()
        gym.start()
        write(gym, "what the backup does not have")
        story.settle()
        story.clock.at_s += 3_600
        story.settle()  # each follows the other's log
        gym.stop()
        gym.restore(backup)
        shutil.rmtree(gym.log)  # as in a folder of its own, where nothing was published yet
        gym.start()
        told = readyz(gym)
        assert (told["status"], told["log"]) == ("read_only", "gym.example/log/2027")
        with pytest.raises(LogReadOnly):
            write(gym, "another past")


def test_a_node_whose_first_head_waits_is_not_ready_and_says_where_to_look(pair: tuple[Town, Company, Company]) -> None:
    """Its published log was lost, and the witness without whom nothing is published is away."""
    _, gym, insurer = pair
    gym.stop()
    insurer.stop()
    shutil.rmtree(gym.log)
    gym.start()
    told = readyz(gym)
    assert (told["status"], told["code"], told["retryable"]) == (503, "not_ready", True)
    assert "the node's own log" in told["remedy"]


def test_it_stays_read_only_after_a_restart_while_nobody_can_be_asked(pair: tuple[Town, Company, Company]) -> None:
    story, gym, insurer = pair
    gym.restore(backed_up(story, gym))
    gym.start()
    gym.stop()
    insurer.stop()
    gym.start()
    with pytest.raises(LogReadOnly):
        write(gym, "another past")


def test_a_partner_that_is_no_witness_of_the_policy_is_asked_as_well(tmp_path: Path) -> None:
    """The insurer has cosigned the gym's head once; the gym's settings name no witness any more."""
    with town(tmp_path) as story:
        gym, insurer = story.company("gym.example"), story.company("insurer.example")
        witnessed_by(gym, insurer)
        agree(story, insurer, gym)
        backup = backed_up(story, gym)
        gym.restore(backup)
        plain = load_settings(gym.folder).model_copy(update={"witness_policy": ""})
        (gym.folder / "node.toml").write_text(plain.text())
        gym.start()
        assert readyz(gym)["status"] == "read_only"


def test_a_successor_goes_on_and_its_opening_says_from_where_and_what_was_lost(
    pair: tuple[Town, Company, Company],
) -> None:
    story, gym, insurer = pair
    person = consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
    backup = backed_up(story, gym)
    seen = gym_head(insurer)
    gym.restore(backup)
    done = begin_successor(gym.folder, clock=story.clock)
    assert (done.last.origin, done.origin) == ("gym.example/log/2027", "gym.example/log/2027-2")
    assert done.abandoned is not None
    assert (done.abandoned.size, done.abandoned.root) == seen
    assert done.last.size < done.abandoned.size
    gym.start()
    story.settle()
    assert readyz(gym)["status"] == "ready"
    proven = gym.node.prove("2027-2", 0)
    assert proven is not None
    opening = parse_opening(parse_entry(proven.entry.encode()).body)
    assert (opening.predecessor, opening.abandoned) == (done.last, done.abandoned)
    # What was open is open still: the customer's receipt is live, and a visit is recorded under it.
    assert gym.app().receipts.get(person.receipt).state == "given"
    story.clock.at_s += 12 * 3600
    person.visit("2027-02-27 18:00", 40)
    story.settle()
    new = gym.folder / "shards" / "2027-2" / "log"
    report = audit([DirectorySource(str(new)), DirectorySource(str(gym.log)), DirectorySource(str(insurer.log))])
    assert report.holds, report.findings
    assert httpx.get(f"{gym.url}/log/2027-2/checkpoint").content == (new / "checkpoint").read_bytes()
    assert httpx.get(f"{gym.url}/log/2027/checkpoint").status_code == 200


def gym_head(insurer: Company) -> tuple[int, bytes]:
    """Return the gym's head as the insurer cosigned it last."""
    digest = hashlib.sha256(b"gym.example/log/2027").hexdigest()
    raw = httpx.get(f"{insurer.url}/witness/{digest}/checkpoint").content
    head = parse_checkpoint_body(unchecked_text(raw))
    return head.size, head.root


def test_a_second_successor_does_not_take_the_name_of_the_first(pair: tuple[Town, Company, Company]) -> None:
    """The operator restores the same backup again, from before the successor."""
    story, gym, _insurer = pair
    backup = backed_up(story, gym)
    gym.restore(backup)
    assert begin_successor(gym.folder, clock=story.clock).origin == "gym.example/log/2027-2"
    gym.start()
    story.settle()
    gym.stop()
    gym.restore(backup)
    assert begin_successor(gym.folder, clock=story.clock).origin == "gym.example/log/2027-3"


@pytest.mark.parametrize("stand_in", ["nobody", "a proxy that has never heard of it"])
def test_a_successor_is_not_begun_while_somebody_who_may_know_one_is_away(
    pair: tuple[Town, Company, Company], stand_in: str
) -> None:
    """The backup of a read-only node is put back after its successor was begun: nothing here knows that."""
    story, gym, insurer = pair
    gym.node.writer.make_read_only(gym.node.publisher.published[1]).result()
    gym.stop()
    backup = gym.back_up()
    assert begin_successor(gym.folder, clock=story.clock).origin == "gym.example/log/2027-2"
    gym.start()
    story.settle()
    gym.stop()
    gym.restore(backup)
    insurer.stop()
    proxy = nullcontext() if stand_in == "nobody" else Host(insurer.port)
    with proxy, pytest.raises(LogUnasked, match=r"insurer\.example/witness"):
        begin_successor(gym.folder, clock=story.clock)
    insurer.start()
    assert begin_successor(gym.folder, clock=story.clock).origin == "gym.example/log/2027-3"


def test_a_log_that_may_go_on_gets_no_successor(pair: tuple[Town, Company, Company]) -> None:
    _story, gym, _insurer = pair
    gym.stop()
    with pytest.raises(SettingsInvalid, match="Nobody says"):
        begin_successor(gym.folder, clock=gym.clock)
    told = RUNNER.invoke(cli, ["successor", str(gym.folder)])
    assert isinstance(told.exception, SettingsInvalid)


def test_the_operator_is_told_what_the_successor_goes_on_from(pair: tuple[Town, Company, Company]) -> None:
    story, gym, _insurer = pair
    gym.restore(backed_up(story, gym))
    clock = story.folder / "clock"
    clock.write_text(str(story.clock.at_s))
    told = RUNNER.invoke(cli, ["successor", str(gym.folder)], env={CLOCK_VARIABLE: str(clock)})
    assert told.exit_code == 0, told.output
    assert "gym.example/log/2027 ends here with" in told.output
    assert "what is in it is lost here" in told.output
    assert "gym.example/log/2027-2 goes on" in told.output


def test_a_database_that_is_older_than_the_published_folder_is_read_only(tmp_path: Path) -> None:
    """Only the database was restored; nobody else has seen anything."""
    with town(tmp_path) as story:
        gym = story.company("gym.example")
        gym.stop()
        backup = gym.back_up()
        gym.start()
        write(gym, "more")
        gym.work()
        gym.stop()
        gym.restore(backup, rows_alone=True)
        gym.start()
        with pytest.raises(LogReadOnly):
            write(gym, "another past")
        assert readyz(gym)["status"] == "read_only"
        assert gym.node.prove("2027", 1) is not None
        gym.stop()
        done = begin_successor(gym.folder, clock=story.clock)
        assert done.abandoned is not None
        assert done.abandoned.size == done.last.size + 1
        gym.start()
        write(gym, "and on")


@pytest.mark.sqlite  # two folders with one PostgreSQL behind them write one log
def test_a_copy_of_a_folder_is_caught_by_the_witness_at_the_latest(pair: tuple[Town, Company, Company]) -> None:
    """Two nodes with one log's keys: both look alike until the first of them has gone on."""
    story, gym, insurer = pair
    gym.stop()
    copied = shutil.copytree(gym.folder, story.folder / "copy")
    gym.start()
    twin = Company.__new__(Company)
    twin.__dict__ = {**gym.__dict__, "folder": copied, "_server": None, "_clients": {}}
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        twin.port = probe.getsockname()[1]
    twin.url = f"http://127.0.0.1:{twin.port}"
    twin.start()
    write(gym, "the one")
    write(twin, "the other")
    gym.work()
    with pytest.raises(Exception, match="witness"):
        twin.work()
    assert readyz(twin)["status"] == "read_only"
    assert gym_head(insurer)[0] == gym.node.publisher.published_size
    twin.stop()


def test_a_dead_partner_delays_a_start_by_a_bounded_time(tmp_path: Path) -> None:
    """It accepts connections, and never says anything."""
    with town(tmp_path) as story, closing(socket.socket()) as dead:
        gym, insurer = story.company("gym.example"), story.company("insurer.example")
        insurer.stop()
        gym.stop()
        dead.bind(("127.0.0.1", insurer.port))
        dead.listen()
        started = threading.Event()
        starting = threading.Thread(target=lambda: (gym.start(), started.set()))
        starting.start()
        assert started.wait(ASK_DEADLINE_S + 5)
        starting.join()
        assert readyz(gym)["not_asked"] == "insurer.example"
        write(gym, "and on it goes")


def test_who_did_not_answer_is_asked_again(pair: tuple[Town, Company, Company]) -> None:
    """The witness was away when the old backup was started; once it is back the log is read-only."""
    story, gym, insurer = pair
    gym.restore(backed_up(story, gym))
    insurer.stop()
    gym.start()
    write(gym, "nobody could say no")
    with pytest.raises(PolicyUnmet):
        gym.node.publisher.publish()
    insurer.start()
    asyncio.run(gym.jobs.ask())
    with pytest.raises(LogReadOnly):
        write(gym, "now somebody does")
    assert "not_asked" not in readyz(gym)


def test_a_node_may_be_told_to_wait_for_a_word(pair: tuple[Town, Company, Company]) -> None:
    _story, gym, insurer = pair
    insurer.stop()
    witnessed_by(gym, insurer, writes_wait_for_word=True)
    with pytest.raises(LogUnasked):
        write(gym, "too early")
    insurer.start()
    asyncio.run(gym.jobs.ask())
    write(gym, "now")


def hostile_partner(story: Town, company: Company, host: Host) -> None:
    """The company trusts a partner whose node says what `host` says."""
    keys = create_node(
        story.folder / "liar", host="liar.example", url=host.url, bind="127.0.0.1:1", sandbox=True, clock=story.clock
    )
    descriptor = (story.folder / "liar" / "descriptor.jwt").read_text()
    add_partner(company.folder, descriptor, expected_fingerprint=keys.fingerprint, clock=story.clock)


def test_nobody_s_404_is_no_word(pair: tuple[Town, Company, Company]) -> None:
    """A partner, or a proxy in front of it, says that it has seen nothing, while the honest witness is away."""
    story, gym, insurer = pair
    with Host() as liar:
        hostile_partner(story, gym, liar)
        witnessed_by(gym, insurer, writes_wait_for_word=True)
        gym.restore(backed_up(story, gym))
        insurer.stop()
        gym.start()
        with pytest.raises(LogUnasked):
            write(gym, "another past")
        assert readyz(gym)["not_asked"] == "insurer.example/witness, liar.example"
        insurer.start()
        asyncio.run(gym.jobs.ask())
        with pytest.raises(LogReadOnly):
            write(gym, "another past")


def test_with_a_policy_its_quorum_gives_the_word_and_no_other_partner(pair: tuple[Town, Company, Company]) -> None:
    story, gym, insurer = pair
    bank = story.company("bank.example")
    witnessed_by(gym, insurer, writes_wait_for_word=True)
    insurer.stop()
    gym.stop()
    gym.start()
    with pytest.raises(LogUnasked):
        write(gym, "the bank alone has cosigned it")
    assert bank.is_open
    assert readyz(gym)["not_asked"] == "insurer.example/witness"


def test_who_has_seen_nothing_of_a_log_gives_its_word_by_cosigning_it(tmp_path: Path) -> None:
    """No policy names anybody, so nobody has cosigned anything; still a node that waits for a word gets one.

    What is no word is a 404 that nobody signs.
    """
    with town(tmp_path) as story, Host() as liar:
        gym, insurer = story.company("gym.example"), story.company("insurer.example")
        hostile_partner(story, gym, liar)
        gym.stop()
        insurer.stop()
        waiting = load_settings(gym.folder).model_copy(update={"writes_wait_for_word": True})
        (gym.folder / "node.toml").write_text(waiting.text())
        gym.start()
        with pytest.raises(LogUnasked):
            write(gym, "too early")
        insurer.start()
        asyncio.run(gym.jobs.ask())
        write(gym, "now")
        assert gym_head(insurer) == (gym.node.publisher.published_size, gym.node.publisher.published[0].root)
        insurer.stop()
        asyncio.run(gym.jobs.ask())
        write(gym, "and on, since this process has had its word")


def test_a_new_node_begins_once_a_partner_that_waits_for_it_knows_it(tmp_path: Path) -> None:
    """Its log is empty, and that too is cosigned: a database that was lost looks the same to it."""
    with town(tmp_path) as story:
        insurer = story.company("insurer.example")
        gym = Company(tmp_path / "gym", "gym.example", story.clock, secrets.token_bytes)
        story.companies[gym.host] = gym
        gym.trust(insurer)
        waiting = load_settings(gym.folder).model_copy(update={"writes_wait_for_word": True})
        (gym.folder / "node.toml").write_text(waiting.text())
        gym.start()
        with pytest.raises(LogUnasked):
            write(gym, "the insurer does not know the gym yet")
        insurer.trust(gym)
        asyncio.run(gym.jobs.ask())
        write(gym, "now")


def revoke_log_keys(story: Town, company: Company) -> None:
    """The company's log keys were stolen, and are revoked from now on."""
    with open_key_folder(company.folder, clock=story.clock) as place:
        for role in ("log", "log-pq"):
            revoke_key(place, role, since_s=story.clock.at_s, reason="compromised")


def test_a_key_that_was_stolen_and_revoked_stops_no_log_and_uses_up_no_successor_s_name(tmp_path: Path) -> None:
    """Its thief is a partner, and shows a head under it: another one that the gym may have signed, or a longer one."""
    with town(tmp_path) as story, Host() as thief:
        gym = story.company("gym.example")
        hostile_partner(story, gym, thief)
        story.clock.at_s += 10
        stolen = gym.node.keys.ed25519("log")
        revoke_log_keys(story, gym)
        gym.work()
        names = ["2027", *(f"2027-{number}" for number in range(2, 5))]
        for size in (3, 2**40):
            for name in names:
                signer = NoteSigner(f"gym.example/log/{name}", stolen)
                head = Checkpoint(signer.verifier_key.name, size, hashlib.sha256(b"never was").digest())
                digest = hashlib.sha256(head.origin.encode()).hexdigest()
                thief.shown_at[f"/witness/{digest}/checkpoint"] = sign_note(head.body(), [signer], now_s=0)
            gym.stop()
            gym.start()
            write(gym, "and on")
            assert gym.node.evidence.count == 0
        gym.node.writer.make_read_only(gym.node.publisher.published[1]).result()
        gym.stop()
        with pytest.raises(LogUnasked, match=r"liar\.example"):
            begin_successor(gym.folder, clock=story.clock)
        remove_partner(gym.folder, "liar.example")
        assert begin_successor(gym.folder, clock=story.clock).origin == "gym.example/log/2027-2"


def test_what_a_chosen_witness_cosigned_before_a_key_was_revoked_still_counts(
    pair: tuple[Town, Company, Company],
) -> None:
    story, gym, insurer = pair
    backup = backed_up(story, gym)
    story.clock.at_s += 10
    revoke_log_keys(story, gym)
    keys = shutil.copytree(gym.folder / "keys", story.folder / "keys of today")
    gym.restore(backup)
    shutil.rmtree(gym.folder / "keys")
    shutil.copytree(keys, gym.folder / "keys")
    with open_key_folder(gym.folder, clock=story.clock) as place:
        (key, *_) = place.load().log_signers("gym.example/log/2027", now_s=story.clock.at_s)
    policy = (gym.folder / "witness.policy").read_text()
    (gym.folder / "witness.policy").write_text(f"log {key.verifier_key.text}\n{policy}")
    gym.start()
    assert insurer.is_open
    assert readyz(gym)["status"] == "read_only"


def test_a_clock_that_is_set_back_a_little_makes_no_entry_earlier(tmp_path: Path) -> None:
    with town(tmp_path) as story:
        gym = story.company("gym.example")
        opened_at_s = story.clock.at_s
        story.clock.at_s -= CLOCK_BACK_MAX_S
        write(gym, "five minutes ago")
        assert last_at_s(gym) == opened_at_s


def last_at_s(company: Company) -> int:
    company.work()
    proven = company.node.proofs.entry(company.node.publisher.published_size - 1)
    assert proven is not None
    return parse_entry(proven.entry.encode()).at_s


def test_a_clock_that_is_set_back_far_stops_writing_until_it_is_right(tmp_path: Path) -> None:
    with town(tmp_path) as story:
        gym = story.company("gym.example")
        opened_at_s = story.clock.at_s
        story.clock.at_s = opened_at_s - CLOCK_BACK_MAX_S - 1
        with pytest.raises(ClockBehind, match="5 minutes behind"):
            write(gym, "too early")
        gym.stop()
        gym.start()  # it is remembered
        with pytest.raises(ClockBehind):
            write(gym, "too early")
        story.clock.at_s = opened_at_s
        write(gym, "the clock is right again")


def test_an_operator_may_accept_a_clock_that_was_ahead(tmp_path: Path) -> None:
    with town(tmp_path) as story:
        gym = story.company("gym.example")
        story.clock.at_s += 86_400
        write(gym, "a day ahead")
        story.clock.at_s -= 86_400
        with pytest.raises(ClockBehind):
            write(gym, "right, and refused")
        assert accept_clock(gym.folder, clock=story.clock) == 86_400
        write(gym, "right")
        assert last_at_s(gym) == story.clock.at_s
        assert accept_clock(gym.folder, clock=story.clock) == 0


def test_nobody_stops_a_log_by_a_time_that_it_signs(
    pair: tuple[Town, Company, Company], caplog: pytest.LogCaptureFixture
) -> None:
    """The insurer's clock, or its will, is a hundred years ahead when it cosigns the gym's head."""
    story, gym, insurer = pair
    ahead_s = 100 * 365 * 86_400
    insurer.node.clock = insurer.node.writer._clock = SetClock(story.clock.at_s + ahead_s)
    write(gym, "cosigned in a hundred years")
    gym.node.publisher.publish()
    gym.stop()
    gym.start()
    write(gym, "and on, by our own clock")
    assert last_at_s(gym) == story.clock.at_s
    assert f"{ahead_s} seconds ahead of our clock" in caplog.text


def test_a_clock_that_is_ahead_of_a_witness_is_said(pair: tuple[Town, Company, Company]) -> None:
    story, gym, insurer = pair
    insurer.node.clock = insurer.node.writer._clock = SetClock(story.clock.at_s)
    story.clock.at_s += 4_000
    assert "clock_ahead_s" not in readyz(gym)
    write(gym, "an hour ahead")
    gym.node.publisher.publish()
    assert 3_900 < int(readyz(gym)["clock_ahead_s"]) < 4_100
