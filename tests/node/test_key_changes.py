"""Keys change while trust stays: rotation with an overlap, revocation, and what partners and auditors see."""

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx
import pytest
from sqlalchemy import delete, select, update
from streamed import streamed
from town import Company, Membership, Town, agree, at, consent, evidence, fitness_program, link, town
from witnesses import NodeStand, ask, grown

from tallystick.audit import DirectorySource, audit, open_web
from tallystick.descriptor import (
    Descriptor,
    DescriptorOlder,
    Role,
    open_descriptor,
    public_key,
    require_newer,
    sign_descriptor,
)
from tallystick_ledger.errors import SignatureRejected
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.note import CosignatureSigner, NoteSigner, open_note, sign_note
from tallystick_ledger.tlog.witness import SignSubtree
from tallystick_node.clock import SetClock
from tallystick_node.config import load_settings
from tallystick_node.errors import PartnerUnknown, SettingsInvalid
from tallystick_node.flows.logs import descriptors
from tallystick_node.flows.logs.descriptors import Couriers
from tallystick_node.keys.changes import KeyFolder, Reason, any_ended, end_keys, revoke_key, rotate_key
from tallystick_node.keys.files import SecretFiles
from tallystick_node.keys.ring import NodeKeys, load_keys
from tallystick_node.operator.partners import add_partner, list_partners, remove_partner
from tallystick_node.outbox import WRONG_ANSWERS_MAX
from tallystick_node.setup import create_node, open_key_folder, open_node
from tallystick_node.storage.tables import CLAIMS, HEADS, KEYS_LOGGED, PARTNERS

DAY_S = 86_400
NOW_S = 1_800_000_000
CLOSES = "2027-04-16 01:00"
SINCE = {"since": "2027-03-01T09:00:00-05:00"}
ROTATED: tuple[Role, ...] = ("log", "log-pq", "witness", "witness-pq", "claim", "receipt", "http", "webhook", "seal")


def rotate(company: Company, role: Role, *, overlap_days: int = 30) -> NodeKeys:
    with open_key_folder(company.folder, clock=company.clock) as place:
        return rotate_key(place, role, overlap_days=overlap_days)


def revoke(company: Company, role: Role, *, since_s: int, reason: Reason = "compromised") -> NodeKeys:
    with open_key_folder(company.folder, clock=company.clock) as place:
        return revoke_key(place, role, since_s=since_s, reason=reason)


def known(company: Company, partner: Company) -> Descriptor:
    """Return what a company has on record of a partner."""
    return company.node.partners.known(partner.host)


def head(company: Company) -> bytes:
    return (company.log / "checkpoint").read_bytes()


def keys_beside(company: Company, name: str = "log.vkey") -> list[VerifierKey]:
    return [VerifierKey.parse(line) for line in (company.folder / name).read_text().splitlines()]


def audited(*companies: Company) -> None:
    report = audit([DirectorySource(str(each.log)) for each in companies])
    assert report.holds, report.findings


def served(company: Company) -> str:
    return httpx.get(f"{company.url}/.well-known/tallystick").text


@pytest.fixture
def story(tmp_path: Path) -> Iterator[tuple[Town, Membership]]:
    """Ana trained enough in March; her claim leaves when the month closes in April."""
    with town(tmp_path) as made:
        gym, insurer = made.company("gym.example"), made.company("insurer.example")
        agree(made, insurer, gym)
        person = consent(link(gym, insurer, at_gym="ana", at_insurer="ana-ins", town=made), made)
        made.clock.at_s = at("2027-03-01 10:00")
        person.confirm_membership("2027-03-01T09:00")
        person.train(made, dict.fromkeys(range(1, 14), 45))
        made.settle()
        yield made, person


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Town, Company, Company]]:
    """A gym and an insurer that have agreed on nothing yet."""
    with town(tmp_path) as made:
        yield made, made.company("gym.example"), made.company("insurer.example")


@pytest.fixture
def gym(tmp_path: Path) -> Iterator[Company]:
    """A gym without partners."""
    with town(tmp_path) as made:
        yield made.company("gym.example")


def states_of_claims(company: Company) -> list[str]:
    return [row.state for row in company.node.rows(select(CLAIMS.c.state))]


def test_every_role_is_rotated_on_both_sides_and_nobody_notices(story: tuple[Town, Membership]) -> None:
    made, ana = story
    gym, insurer = ana.gym, ana.insurer
    follower, fingerprint = keys_beside(gym), gym.keys.fingerprint
    for company in (gym, insurer):
        for role in ROTATED:
            rotate(company, role)
    made.settle()
    # The partners were told, and followers who know the old key alone go on.
    assert {key.id for key in known(insurer, gym).keys} == {key.id for key in gym.node.keys.ring.keys}
    assert open_note(head(gym), follower).verified
    assert len(keys_beside(gym)) == len(keys_beside(gym, "log-pq.vkey")) == 2
    audited(gym, insurer)
    # A new link is sealed to the new keys, and the claim of March is signed by them.
    consent(link(gym, insurer, at_gym="ben", at_insurer="ben-ins", town=made), made)
    made.go_past_release(CLOSES)
    assert states_of_claims(insurer) == ["accepted"]
    # The overlap ends: the new key signs alone, whoever learned of it in time still follows, the old secret is gone.
    assert gym.node.keys.fingerprint == fingerprint
    made.clock.at_s += 31 * DAY_S
    gym.app().events.record(subject="ana", type="membership.activated", data=SINCE)
    made.settle()
    assert len(keys_beside(gym)) == 1
    assert keys_beside(gym) != follower
    assert {each.key for each in open_note(head(gym), gym.node.keys.log_keys("gym.example/log/2027")).verified} == {
        *keys_beside(gym),
        *keys_beside(gym, "log-pq.vkey"),
    }
    assert not any_ended(gym.node.keys.ring, now_s=made.clock.at_s)
    assert len(list((gym.folder / "keys").glob("*.key"))) == len(ROTATED) + 1
    audited(gym, insurer)


def test_a_partner_that_was_away_is_told_when_it_returns(pair: tuple[Town, Company, Company]) -> None:
    made, gym, insurer = pair
    gym.stop()
    rotate(insurer, "http", overlap_days=0)
    insurer.app().programs.publish(fitness_program())
    made.settle()
    gym.start()
    assert len(known(gym, insurer).keys) == 10
    made.clock.at_s += 60
    made.settle()
    assert len(known(gym, insurer).keys) == 11
    assert gym.app().programs.list().programs


def test_a_partner_whose_answers_do_not_verify_is_asked_for_its_keys(pair: tuple[Town, Company, Company]) -> None:
    """The gym's word of its new key got lost: its first answer under it makes the insurer ask."""
    made, gym, insurer = pair
    made.companies = {"insurer.example": insurer}  # the gym does not work by itself, so it tells nobody
    rotate(gym, "http", overlap_days=0)
    gym.node.refresh_keys()
    assert known(insurer, gym).key("http").id != gym.node.keys.id("http")
    insurer.app().programs.publish(fitness_program())
    made.settle()
    assert known(insurer, gym).key("http").id == gym.node.keys.id("http")
    made.clock.at_s += 60
    made.settle()
    assert gym.app().programs.list().programs
    made.companies["gym.example"] = gym


@pytest.mark.parametrize(
    ("stolen", "became"),
    [("after it was sent", ["delivered"]), ("before it was logged", ["expired", "delivered"])],
    ids=["after", "before"],
)
def test_a_claim_under_a_revoked_key_counts_only_if_it_was_logged_before_the_theft_and_is_else_issued_anew(
    story: tuple[Town, Membership], stolen: str, became: list[str]
) -> None:
    """The insurer was away when the claim was sent; its proof shows a head of that time."""
    made, ana = story
    gym, insurer = ana.gym, ana.insurer
    insurer.stop()
    made.go_to(CLOSES)
    logged_s = made.clock.at_s
    made.release()
    stolen_s = made.clock.at_s + 60 if stolen == "after it was sent" else logged_s - 60
    key = gym.keys.id("claim")
    made.clock.at_s += DAY_S
    revoke(gym, "claim", since_s=stolen_s)
    made.settle()
    insurer.start()
    for _ in range(3):
        made.clock.at_s += 3_600
        made.settle()
    assert key not in known(insurer, gym).ed25519("claim")
    made.release()
    assert states_of_claims(gym) == became
    assert states_of_claims(insurer) == ["accepted"]
    assert len(insurer.app().rewards.find("ana-ins").rewards) == 1
    audited(gym, insurer)


def test_a_claim_whose_key_a_partner_has_lost_waits_until_it_has_it_again(story: tuple[Town, Membership]) -> None:
    """The insurer's database was put back to before the gym changed its key, which the gym cannot know. Once the claim
    is refused, the key is brought again, and the claim after it."""
    made, ana = story
    gym, insurer = ana.gym, ana.insurer
    before = insurer.node.partners.token(gym.host)
    rotate(gym, "claim")
    made.settle()
    put_back = update(PARTNERS).where(PARTNERS.c.host == gym.host).values(descriptor=before)
    insurer.node.writer.submit(lambda transaction: transaction.execute(put_back)).result(10)
    made.go_past_release(CLOSES)
    assert (states_of_claims(gym), states_of_claims(insurer)) == (["issued"], [])
    made.clock.at_s += 3_600
    made.settle()
    assert (states_of_claims(gym), states_of_claims(insurer)) == (["delivered"], ["accepted"])
    audited(gym, insurer)


Change = Callable[[Company, int], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda gym, now_s: revoke(gym, "receipt", since_s=now_s - 60),
        lambda gym, _: rotate(gym, "receipt", overlap_days=1),
    ],
    ids=["revoked", "ended"],
)
def test_what_was_signed_before_its_key_was_given_up_still_counts_when_it_arrives(
    story: tuple[Town, Membership], change: Change
) -> None:
    made, person = story
    gym, insurer = made.companies["gym.example"], made.companies["insurer.example"]
    insurer.stop()
    gym.app().receipts.withdraw(person.receipt, subject="ana")
    made.settle()
    made.clock.at_s += 3_600
    change(gym, made.clock.at_s)
    made.clock.at_s += 2 * DAY_S
    made.settle()
    insurer.start()
    made.clock.at_s += 3_700
    made.settle()
    assert [each.state for each in insurer.app().receipts.find(subject="ana-ins").receipts] == ["withdrawn"]
    assert gym.app().receipts.unacknowledged().steps == ()
    audited(gym, insurer)


def test_an_answer_that_was_lost_counts_although_its_key_was_given_up_since(story: tuple[Town, Membership]) -> None:
    made, person = story
    gym, insurer = made.companies["gym.example"], made.companies["insurer.example"]
    gym.recorder.lose_answers_to = "/peer/v1/receipts/withdrawn"
    gym.app().receipts.withdraw(person.receipt, subject="ana")
    made.settle()
    made.clock.at_s += 3_600
    revoke(insurer, "receipt", since_s=made.clock.at_s - 60)
    made.settle()
    gym.recorder.lose_answers_to = None
    made.clock.at_s += 3_700
    made.settle()
    assert gym.app().receipts.unacknowledged().steps == ()
    audited(gym, insurer)


def test_what_a_stolen_key_may_have_signed_holds_up_no_other_withdrawal(story: tuple[Town, Membership]) -> None:
    made, person = story
    gym, insurer = made.companies["gym.example"], made.companies["insurer.example"]
    ben = consent(link(gym, insurer, at_gym="ben", at_insurer="ben-ins", town=made), made)
    insurer.stop()
    gym.app().receipts.withdraw(person.receipt, subject="ana")
    made.settle()
    revoke(gym, "receipt", since_s=made.clock.at_s - 3_600)
    insurer.start()
    made.clock.at_s += 3_700
    made.settle()
    gym.app().receipts.withdraw(ben.receipt, subject="ben")
    made.settle()
    assert [each.state for each in insurer.app().receipts.find(subject="ben-ins").receipts] == ["withdrawn"]
    (step,) = gym.app().receipts.unacknowledged().steps
    assert (step.receipt, step.refused) == (person.receipt, False)


def test_a_partner_that_knows_a_new_key_late_is_told_all_in_order(pair: tuple[Town, Company, Company]) -> None:
    """What stands in front of the insurer answers 404 when the gym brings its keys, and they are not known for a while:
    the receipt is refused again and again, the withdrawal waits behind it, and both arrive."""
    made, gym, insurer = pair
    agree(made, insurer, gym)
    person = link(gym, insurer, at_gym="ana", at_insurer="ana-ins", town=made)
    person.receipt = insurer.app().receipts.request(person.link).receipt
    made.settle()
    gym.recorder.unknown = "/.well-known/tallystick"
    rotate(gym, "receipt")
    made.settle()
    gym.app().receipts.give(person.receipt, subject="ana", evidence=evidence())
    for attempt in range(WRONG_ANSWERS_MAX):
        made.clock.at_s += 5 * 2**attempt
        made.settle()
    gym.app().receipts.withdraw(person.receipt, subject="ana")
    made.settle()
    assert [each.state for each in insurer.app().receipts.find(subject="ana-ins").receipts] == ["requested"]
    gym.recorder.unknown = None
    for _ in range(2):
        made.clock.at_s += 3_700
        made.settle()
    assert [each.state for each in insurer.app().receipts.find(subject="ana-ins").receipts] == ["withdrawn"]
    assert gym.app().receipts.unacknowledged().steps == ()
    audited(gym, insurer)


def test_a_revoked_log_key_signs_no_more_and_a_new_one_stands_in_its_place(pair: tuple[Town, Company, Company]) -> None:
    made, gym, insurer = pair
    stolen = keys_beside(gym)
    changed = revoke(gym, "log", since_s=made.clock.at_s)
    made.settle()
    assert stolen[0] not in [each.key for each in open_note(head(gym), [*keys_beside(gym), *stolen]).verified]
    assert keys_beside(gym)[0].public_key == changed.public("log")
    assert stolen[0] not in known(insurer, gym).log_keys(stolen[0].name)
    assert not list((gym.folder / "keys").glob("log.key"))
    gym.stop()
    gym.start()
    audited(gym, insurer)
    with httpx.Client() as http:
        known_by = {"api_key": gym.secret, "expected_fingerprint": changed.fingerprint}
        report = audit([open_web(gym.url, http=http, year=2027, **known_by)])
    assert report.holds, report.findings


# Descriptors that travel


def test_an_older_descriptor_is_refused_by_whatever_way_it_comes(pair: tuple[Town, Company, Company]) -> None:
    made, gym, insurer = pair
    old = served(gym)
    revoke(gym, "http", since_s=made.clock.at_s)
    made.settle()
    new = served(gym)
    assert insurer.node.partners.token(gym.host) == new
    refused = httpx.post(f"{insurer.url}/.well-known/tallystick", content=old)
    assert (refused.status_code, refused.json()["code"]) == (401, "descriptor_older")
    with pytest.raises(DescriptorOlder):
        add_partner(insurer.folder, old, expected_fingerprint=gym.keys.fingerprint, clock=made.clock)
    again = httpx.post(f"{insurer.url}/.well-known/tallystick", content=new)
    assert again.status_code == 204
    assert insurer.node.partners.token(gym.host) == new


def test_a_descriptor_that_comes_compressed_is_not_unpacked(pair: tuple[Town, Company, Company]) -> None:
    made, gym, insurer = pair
    old = insurer.node.partners.token(gym.host)
    made.clock.at_s += 100
    changed = rotate(gym, "http")
    token = changed.descriptor(load_settings(gym.folder))

    async def fetch(answer: httpx.Response) -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)) as http:
            couriers = Couriers(insurer.node, http)
            couriers.doubt(gym.host)
            await couriers.exchange(gym.host)

    twice = gzip.compress(gzip.compress(token.encode()))
    asyncio.run(fetch(streamed(twice, encoding="gzip, gzip")))
    assert insurer.node.partners.token(gym.host) == old
    asyncio.run(fetch(streamed(token.encode())))
    assert insurer.node.partners.token(gym.host) == token


@pytest.mark.parametrize(
    ("old", "new", "is_taken"),
    [
        ("https://gym.example", "https://new.gym.example:8443", True),
        ("https://gym.example", "http://gym.example", False),
        ("https://gym.example", "https://169.254.169.254/latest", False),
        ("https://gym.example", "https://[::1]", False),
        ("https://gym.example", "https://localhost", False),
        ("http://127.0.0.1:1", "http://169.254.169.254/latest", False),
        ("http://127.0.0.1:1", "http://127.0.0.1:2", True),
    ],
)
def test_a_partner_does_not_move_its_node_into_somebody_s_network(
    pair: tuple[Town, Company, Company], old: str, new: str, is_taken: bool
) -> None:
    _, gym, _ = pair
    told = open_descriptor(gym.descriptor, expected_fingerprint=gym.keys.fingerprint)
    before, after = (
        sign_descriptor(
            told.model_copy(update={"url": url, "issued_at": told.issued_at + later}),
            identity=gym.keys.ed25519("identity"),
        )
        for later, url in enumerate((old, new))
    )
    if is_taken:
        assert require_newer(after, before, expected_fingerprint=gym.keys.fingerprint).url == new
        return
    with pytest.raises(SignatureRejected, match="only an operator"):
        require_newer(after, before, expected_fingerprint=gym.keys.fingerprint)


def test_a_descriptor_of_nobody_and_what_is_none_are_refused(
    pair: tuple[Town, Company, Company], tmp_path: Path
) -> None:
    _, _, insurer = pair
    create_node(
        tmp_path / "thief", host="gym.example", url="http://thief", bind="a:1", sandbox=True, clock=insurer.clock
    )
    forged = (tmp_path / "thief" / "descriptor.jwt").read_text()
    before = insurer.node.partners.token("gym.example")
    for content, status in ((forged, 404), ("x", 422), ("é", 422), ("a.b.c", 422)):
        answer = httpx.post(f"{insurer.url}/.well-known/tallystick", content=content.encode())
        assert answer.status_code == status, answer.text
    assert insurer.node.partners.token("gym.example") == before


def test_a_descriptor_of_nobody_is_opened_once_however_many_partners_there_are(
    pair: tuple[Town, Company, Company], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may bring one, and none is held against a partner whose identity has not signed it."""
    _, gym, insurer = pair
    create_node(tmp_path / "new", host="bank.example", url="http://b", bind="a:1", sandbox=True, clock=insurer.clock)
    strangers = (tmp_path / "new" / "descriptor.jwt").read_text().strip()
    rows = [SimpleNamespace(host=gym.host, descriptor="", fingerprint=gym.keys.fingerprint)] * 100
    held: list[str] = []
    monkeypatch.setattr(descriptors, "require_newer", lambda token, *_, **__: held.append(token))
    with pytest.raises(PartnerUnknown):
        descriptors.require_taken(rows, strangers)
    assert held == []
    monkeypatch.setattr(descriptors, "clashes", lambda *_: False)
    descriptors.require_taken(rows[:1], gym.descriptor)
    assert held == [gym.descriptor]


def test_a_rotated_identity_is_another_fingerprint_that_two_people_compare(pair: tuple[Town, Company, Company]) -> None:
    made, gym, insurer = pair
    changed = rotate(gym, "identity")
    assert changed.fingerprint != gym.keys.fingerprint
    assert not (gym.folder / "keys" / "identity.key").exists()
    made.settle()
    assert open_descriptor(served(gym), expected_fingerprint=changed.fingerprint).host == gym.host
    assert known(insurer, gym).key("identity").public != served(gym)
    assert list_partners(insurer.folder) == [(gym.host, gym.keys.fingerprint)]
    add_partner(insurer.folder, served(gym), expected_fingerprint=changed.fingerprint, clock=made.clock)
    assert list_partners(insurer.folder) == [(gym.host, changed.fingerprint)]
    audited(gym, insurer)


def test_a_removed_partner_is_sent_nothing_and_nothing_is_taken_from_it(pair: tuple[Town, Company, Company]) -> None:
    made, gym, insurer = pair
    insurer.stop()
    gym.app().programs.list()
    remove_partner(gym.folder, "insurer.example")
    insurer.start()
    insurer.app().programs.publish(fitness_program())
    made.settle()
    assert gym.app().programs.list().programs == ()
    assert list_partners(gym.folder) == []
    with pytest.raises(PartnerUnknown):
        remove_partner(gym.folder, "insurer.example")


# The folder


@pytest.fixture
def place(tmp_path: Path) -> KeyFolder:
    """The keys of a node that is not running."""
    clock = SetClock(NOW_S)
    create_node(tmp_path, host="gym.example", url="http://gym", bind="a:1", sandbox=True, clock=clock)
    with open_key_folder(tmp_path, clock=clock) as opened:
        return opened


def clock_of(place: KeyFolder) -> SetClock:
    return cast(SetClock, place.clock)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_old_key_is_kept_until_its_end_and_then_destroyed(place: KeyFolder) -> None:
    old = place.load()
    new = rotate_key(place, "seal", overlap_days=1)
    assert [name for name, _ in new.seals()] == [new.id("seal"), old.id("seal")]
    assert not end_keys(place)
    clock_of(place).at_s += DAY_S + 300
    assert end_keys(place)
    assert [name for name, _ in place.load().seals()] == [new.id("seal")]
    assert not end_keys(place)


def test_a_second_rotation_within_an_overlap_leaves_three_keys_that_count(place: KeyFolder) -> None:
    for _ in range(2):
        clock_of(place).at_s += 10
        rotate_key(place, "log", overlap_days=7)
    assert len(place.load().log_signers("gym.example/log/2027", now_s=place.now_s)) == 3


def test_issued_at_grows_even_if_the_clock_does_not(place: KeyFolder) -> None:
    issued = [place.load().ring.issued_at]
    for days_back in (0, 0, 5):
        clock_of(place).at_s -= days_back * DAY_S
        if days_back:
            break
        issued.append(rotate_key(place, "http", overlap_days=1).ring.issued_at)
    assert issued == sorted(set(issued))


@pytest.mark.parametrize("days", [-1, 367])
def test_an_overlap_out_of_its_bounds_changes_nothing(place: KeyFolder, days: int) -> None:
    before = content(place.folder)
    with pytest.raises(SettingsInvalid, match="overlap"):
        rotate_key(place, "log", overlap_days=days)
    assert content(place.folder) == before


@pytest.mark.parametrize(
    ("role", "since_s", "key"),
    [
        ("log", NOW_S - 1, None),
        ("log", NOW_S + 1, None),
        ("log", NOW_S, "log-00000000"),
        ("identity", NOW_S, None),
        ("root", NOW_S, None),
    ],
)
def test_a_revocation_that_is_none_changes_nothing(place: KeyFolder, role: Role, since_s: int, key: str | None) -> None:
    before = content(place.folder)
    with pytest.raises(SettingsInvalid):
        revoke_key(place, role, since_s=since_s, reason="lost", key=key)
    assert content(place.folder) == before


def test_an_older_key_is_revoked_and_the_present_one_stays(place: KeyFolder) -> None:
    old = place.load().id("claim")
    present = rotate_key(place, "claim", overlap_days=7).id("claim")
    changed = revoke_key(place, "claim", since_s=NOW_S, reason="lost", key=old)
    assert changed.id("claim") == present
    assert [key.revoked_since_s for key in changed.ring.keys if key.role == "claim"] == [NOW_S, None]
    with pytest.raises(SettingsInvalid, match="revoked already"):
        revoke_key(place, "claim", since_s=NOW_S, reason="lost", key=old)


def test_a_time_before_the_present_key_began_names_the_key_of_that_time(place: KeyFolder) -> None:
    """A theft is noticed after the rotation: the key that was stolen is the one before, and the good one stays."""
    stolen = place.load().id("claim")
    clock_of(place).at_s += DAY_S
    rotate_key(place, "claim", overlap_days=7)
    before = content(place.folder)
    with pytest.raises(SettingsInvalid, match="began after that time") as refused:
        revoke_key(place, "claim", since_s=NOW_S, reason="compromised")
    assert f"--key: {stolen}." in refused.value.remedy
    assert content(place.folder) == before


def test_of_two_changes_at_once_one_is_refused(place: KeyFolder) -> None:
    class Meanwhile(SecretFiles):
        def write(self, name: str, text: str, *, sealed: bool | None = None) -> None:
            with pytest.raises(SettingsInvalid, match="Somebody else"):
                rotate_key(place, "http", overlap_days=1)
            super().write(name, text, sealed=sealed)

    slow = replace(place, files=Meanwhile(place.folder, random_bytes=place.random_bytes))
    rotate_key(slow, "http", overlap_days=1)
    assert len(place.load().ring.keys) == 11


def test_a_rotation_that_stops_before_the_list_is_replaced_has_not_happened(place: KeyFolder) -> None:
    """The power fails when the new secret is on disk: nothing names it, and the next rotation goes through."""
    before = place.load()
    (place.folder / "keys.json").chmod(0o400)
    beside = place.folder / ".keys.json.new"
    beside.mkdir()
    with pytest.raises(OSError, match=r"keys\.json"):
        rotate_key(place, "log", overlap_days=1)
    beside.rmdir()
    assert place.load() == before
    assert rotate_key(place, "log", overlap_days=1).id("log") != before.id("log")


def test_a_descriptor_lists_the_newest_keys_that_fit_and_always_those_in_use(place: KeyFolder) -> None:
    for _ in range(30):
        clock_of(place).at_s += 1
        keys = rotate_key(place, "log-pq", overlap_days=0)
    described = open_descriptor(
        keys.descriptor(load_settings(place.folder.parent)), expected_fingerprint=keys.fingerprint
    )
    listed = {key.id for key in described.keys}
    assert {key.id for key in keys.ring.keys if key.is_current} < listed < {key.id for key in keys.ring.keys}


def test_a_running_node_goes_on_with_the_keys_it_has_where_the_new_ones_cannot_be_read(gym: Company) -> None:
    path = gym.folder / "keys" / "keys.json"
    good = path.read_text()
    path.write_text("{}")
    gym.node.writer.submit(lambda transaction: transaction.append("event", {"commitment": "A" * 43})).result(10)
    gym.work()
    assert gym.node.publisher.published_size == gym.node.rows(select(HEADS.c.size))[0].size
    path.write_text(good)
    rotate(gym, "log")
    gym.work()
    assert len(keys_beside(gym)) == 2


def test_a_list_of_keys_that_is_none_opens_nothing(place: KeyFolder) -> None:
    path = place.folder / "keys.json"
    good = path.read_text()
    for bad in (
        "",
        "{}",
        good.replace('"v": 1', '"v": 2'),
        good.replace('"log"', '"root"'),
        good.replace("public", "p"),
    ):
        path.write_text(bad)
        with pytest.raises(SettingsInvalid):
            load_keys(place.folder)


def test_a_secret_that_is_not_of_the_key_in_the_list_opens_nothing(place: KeyFolder) -> None:
    (place.folder / "log.key").write_text((place.folder / "claim.key").read_text())
    with pytest.raises(SettingsInvalid, match="another than the list"):
        load_keys(place.folder)


def test_a_node_of_before_there_was_a_list_opens_and_its_log_begins_to_tell(gym: Company) -> None:
    gym.stop()
    (gym.folder / "keys" / "keys.json").unlink()
    gym.start()
    assert len(gym.node.rows(select(KEYS_LOGGED))) == 10
    rotate(gym, "log")
    gym.work()
    assert (gym.folder / "keys" / "keys.json").exists()
    audited(gym)


def test_a_list_of_keys_that_got_lost_is_not_passed_over(place: KeyFolder) -> None:
    rotate_key(place, "log", overlap_days=0)
    (place.folder / "keys.json").unlink()
    with pytest.raises(SettingsInvalid, match="list of keys is missing"):
        load_keys(place.folder)


def test_keys_from_an_old_backup_do_not_bring_a_revoked_one_back(gym: Company) -> None:
    backup = content(gym.folder / "keys")
    revoke(gym, "log", since_s=gym.clock.at_s)
    gym.work()
    gym.stop()
    for name, raw in backup.items():
        (gym.folder / "keys" / name).write_bytes(raw)
        (gym.folder / "keys" / name).chmod(0o600)
    with pytest.raises(SettingsInvalid, match="older than the log"):
        open_node(gym.folder, clock=gym.clock)


def test_a_log_of_before_keys_were_told_begins_to_tell_once(gym: Company) -> None:
    size = gym.node.publisher.published_size
    gym.stop()
    gym.start()
    assert gym.node.publisher.published_size == size
    gym.node.writer.submit(lambda transaction: transaction.execute(delete(KEYS_LOGGED))).result(10)
    gym.stop()
    gym.start()
    assert gym.node.publisher.published_size == size + 10


def test_a_descriptor_that_lists_the_key_of_another_partner_is_not_taken(pair: tuple[Town, Company, Company]) -> None:
    """Else what the insurer signs would pass for what the track sent."""
    made, gym, insurer = pair
    track = made.company("track.example")
    known_before = gym.node.partners.token("track.example")
    described = open_descriptor(known_before, expected_fingerprint=track.keys.fingerprint)
    stolen = known(gym, insurer).key("http")
    listed = described.model_copy(update={"keys": (*described.keys, stolen), "issued_at": described.issued_at + 1})
    forged = sign_descriptor(listed, identity=track.keys.ed25519("identity"))
    refused = httpx.post(f"{gym.url}/.well-known/tallystick", content=forged)
    assert (refused.status_code, refused.json()["code"]) == (401, "signature_invalid")
    assert gym.node.partners.token("track.example") == known_before


def test_a_key_counts_for_what_comes_now_only_while_it_is_neither_over_nor_revoked() -> None:
    """And for what is shown to be older, as it did then."""
    raw = bytes(range(32))
    good = public_key("http", raw, from_s=NOW_S, until_s=NOW_S + DAY_S)
    gone = good.model_copy(update={"revoked_since_s": NOW_S + 100})
    assert [good.is_live(NOW_S + later_s) for later_s in (-301, -300, 0, DAY_S + 299, DAY_S + 300)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert not gone.is_live(NOW_S + 99)
    assert (gone.is_good_at(NOW_S + 99), gone.is_good_at(NOW_S + 100)) == (True, False)
    told = Descriptor(v=1, host="gym.example", url="http://gym", livemode=False, issued_at=NOW_S, keys=(gone,))
    assert (told.live(NOW_S + 99).keys, told.ed25519("http")) == ((), {})
    assert list(told.good_at(NOW_S + 99).ed25519("http")) == [gone.id]


def test_a_stolen_witness_key_that_is_revoked_makes_the_new_one_sign_nothing(tmp_path: Path) -> None:
    """Its thief, with a log that lies, writes it under an older head, and asks for the line over all of that."""
    with town(tmp_path) as story:
        gym, insurer = story.company("gym.example"), story.company("insurer.example")
        story.settle()
        size = gym.node.publisher.published_size
        seen = ask(NodeStand(insurer), grown(gym, 0, size))  # it has followed the log up to there, or cosigns it all
        if seen.status_code == 409:
            seen = ask(NodeStand(insurer), grown(gym, int(seen.content), size))
        assert seen.status_code == 200
        stolen = CosignatureSigner("insurer.example/witness", insurer.keys.ed25519("witness"))
        revoke(insurer, "witness", since_s=story.clock.at_s)
        story.settle()
        fork = Checkpoint(gym.node.settings.log_origin, size - 1, hashlib.sha256(b"another history").digest())
        lying = NoteSigner(fork.origin, gym.keys.ed25519("log"))
        note = sign_note(fork.body(), [lying, stolen], now_s=story.clock.at_s)
        asked = SignSubtree(0, fork.size, fork.root, (), note)
        assert httpx.post(f"{insurer.url}/witness/sign-subtree", content=asked.encode()).status_code == 403


def test_an_export_after_the_logs_key_was_changed_is_checked_under_the_new_one(story: tuple[Town, Membership]) -> None:
    """The client has known the gym for a while; it learns of the new key as with any other reply."""
    made, ana = story
    app = ana.gym.app()
    app.subjects.export("ana")
    rotate(ana.gym, "log", overlap_days=0)
    rotate(ana.gym, "log-pq", overlap_days=0)
    made.settle()
    another = ana.gym.app(ana.gym.key("events:write"))
    another.events.record(subject="ana", type="membership.activated", data=SINCE)
    made.settle()
    assert len(app.subjects.export("ana").events) > 0
