"""Status lists between nodes: a claim is used while its issuer's list says that it stands, and not without that word.

One April, told in order: the insurer cannot look up what the gym says of its claims, so none is used; two people stop;
the gym's list is lied about in every way; and only when the gym's own word is heard, a claim is taken.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from front import Front, Said, front
from hostile import HTTP, partner
from signers import ed25519_key
from sqlalchemy import select
from town import ANA_MARCH, Company, Membership, Town, agree, at, consent, link, town

from tallystick_consent.claims.claim import issue_claim, verify_claim
from tallystick_consent.claims.jws import sign_jws
from tallystick_consent.claims.status_list import (
    INVALID,
    VALID,
    Place,
    Status,
    encode_list,
    issue_status_token,
    pack,
    verify_status_token,
)
from tallystick_node.exchange import ANSWER_SIZE_MAX_BYTES
from tallystick_node.flows.claims.fetching import SILENT_FOR_S
from tallystick_node.flows.claims.issuing import claim_message
from tallystick_node.flows.claims.status import PLACES_COUNT, PLACES_USED_MAX, Places, revoke_claim
from tallystick_node.keys.ring import load_keys
from tallystick_node.log.transaction import Transaction
from tallystick_node.statuses import KEPT_MAX, LIFE_S, LIST_SIZE_BYTES, SIGNED_AGAIN_AFTER_S, TTL_S, OwnLists
from tallystick_node.storage.tables import CLAIMS, MESSAGES, STATUS_LISTS

MARCH_CLOSES = "2027-04-16 00:00"


@dataclass
class April:
    """A town on the day March closes, with five people who trained on twelve days of it."""

    story: Town
    gym: Company
    insurer: Company
    elsewhere: Front
    people: dict[str, Membership]
    stopped: set[str] = field(default_factory=set[str])

    @property
    def others(self) -> list[str]:
        """Those who have not stopped."""
        return [name for name in self.people if name not in self.stopped]

    def row(self, name: str) -> Any:
        """Return the gym's row of the one claim about a person."""
        row = self.gym.node.row(select(CLAIMS).where(CLAIMS.c.receipt == self.people[name].receipt))
        assert row is not None, "a claim was issued"
        return row

    def status(self, name: str) -> int:
        """Return what the gym's list, as anybody can read it, says of a person's claim."""
        row = self.row(name)
        answer = HTTP.get(f"{self.gym.url}/status/{row.status_list}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/statuslist+jwt")
        uri = f"https://gym.example/status/{row.status_list}"
        now_s = self.story.clock.at_s
        return verify_status_token(answer.text, uri=uri, keys=self.public(), now_s=now_s).statuses.at(row.status_index)

    def public(self) -> dict[str, Any]:
        keys = load_keys(self.gym.folder / "keys")
        return {keys.id("claim"): keys.ed25519("claim").public_key()}

    def taken(self) -> list[str]:
        """Return the receipts under which the insurer has taken a claim."""
        return [row.receipt for row in self.insurer.node.rows(select(CLAIMS.c.receipt))]

    def later(self) -> None:
        """Let time pass, so that whatever waits is tried, or tried again."""
        self.story.clock.at_s = self.story.last_release_s() + 2 * 3_600
        self.story.settle()


@pytest.fixture(scope="module")
def april(tmp_path_factory: pytest.TempPathFactory) -> Iterator[April]:
    with town(tmp_path_factory.mktemp("town")) as story, front() as elsewhere:
        insurer, gym = story.company("insurer.example"), story.company("gym.example")
        agree(story, insurer, gym)
        people = {
            name: consent(link(gym, insurer, at_gym=f"{name}-gym", at_insurer=f"{name}-ins", town=story), story)
            for name in ("ana", "ben", "cleo", "dov", "eve")
        }
        story.clock.at_s = at("2027-03-31 22:00")
        for person in people.values():
            person.confirm_membership("2027-03-01 09:00")
            for day, minutes in ANA_MARCH.items():
                person.visit(f"2027-03-{day:02} 18:00", minutes)
        gym.descriptor_url = elsewhere.url
        insurer.trust(gym)  # it believes that the gym lives there
        story.go_to(MARCH_CLOSES)
        story.clock.at_s = min(story.waiting_releases())
        story.settle()  # the first claim leaves, and is not taken
        yield April(story, gym, insurer, elsewhere, people)


def test_a_claim_names_a_place_of_its_own_that_says_it_stands(april: April) -> None:
    row, now_s = april.row("ana"), april.story.clock.at_s
    names = {"issuer": "gym.example", "audience": "insurer.example"}
    said = verify_claim(row.token, **names, keys=april.public(), now_s=now_s).status
    assert said is not None
    assert said.status_list.idx == row.status_index
    assert said.status_list.uri == f"https://gym.example/status/{row.status_list}"
    assert {april.status(name) for name in april.people} == {VALID}
    assert len({april.row(name).status_index for name in april.people}) == len(april.people)


def test_no_claim_is_used_whose_status_cannot_be_looked_up(april: April) -> None:
    assert april.taken() == []
    assert {april.row(name).state for name in april.people} == {"issued"}
    assert set(april.elsewhere.asked) == {f"/status/{april.row('ana').status_list}"}


def test_1_09_what_left_and_was_not_used_is_revoked_by_a_withdrawal_and_what_never_left_is_not(april: April) -> None:
    """A claim that nobody has needs no revoking: a status that changes would tell the insurer that there was one."""
    (left,) = [name for name in april.people if april.row(name).receipt in sent(april.gym)]
    (unsent, *_) = [name for name in april.people if name != left]
    for name in (left, unsent):
        april.gym.app().receipts.withdraw(april.people[name].receipt, subject=april.people[name].at_gym)
        april.stopped.add(name)
    assert (april.status(left), april.status(unsent)) == (INVALID, VALID)
    assert {april.status(name) for name in april.others} == {VALID}


def sent(gym: Company) -> set[str]:
    """Return the receipts of claims that were sent, and not answered to any purpose."""
    return {row.receipt for row in gym.node.rows(select(MESSAGES).where(MESSAGES.c.maybe_arrived))}


def lies(april: April) -> dict[str, Said]:
    """What could pose as the gym's list; in each of them every place says `VALID`."""
    keys, now_s = load_keys(april.gym.folder / "keys"), april.story.clock.at_s
    whole = pack([], bits=1, size_bytes=LIST_SIZE_BYTES)
    uri = f"https://gym.example/status/{april.row(april.others[0]).status_list}"
    honest: dict[str, Any] = {
        "uri": uri,
        "now_s": now_s,
        "life_s": LIFE_S,
        "ttl_s": TTL_S,
        "key_id": keys.id("claim"),
        "private_key": keys.ed25519("claim"),
    }

    def made(**changes: Any) -> Said:
        return 200, issue_status_token(whole, **{**honest, **changes}).encode()

    content = {"sub": uri, "iat": now_s, "exp": now_s + LIFE_S, "ttl": TTL_S, "status_list": encode_list(whole)}
    another = sign_jws(content, typ="dc+sd-jwt", key_id=honest["key_id"], private_key=honest["private_key"])
    return {
        "none": (404, b""),
        "a redirect": (302, b""),
        "an error with a good list": (500, made()[1]),
        "garbage": (200, b"\xff{}"),
        "too much": (200, made()[1] + b" " * ANSWER_SIZE_MAX_BYTES),
        "of another name": made(uri=uri + "2"),
        "expired": made(now_s=now_s - LIFE_S),
        "from the future": made(now_s=now_s + 3_600),
        "by a stranger": made(private_key=ed25519_key("eve")),
        "by a key of another role": made(key_id=keys.id("receipt"), private_key=keys.ed25519("receipt")),
        "of another type": (200, another.encode()),
    }


def sends_claims(april: April, *lists: str, key: Ed25519PrivateKey | None = None) -> list[int]:
    """The gym sends a claim for each of these lists, all at once; return what it is answered."""
    row, keys = april.row(april.others[0]), load_keys(april.gym.folder / "keys")
    names = {"issuer": "gym.example", "audience": "insurer.example"}
    true = verify_claim(row.token, **names, keys=april.public(), now_s=april.story.clock.at_s)

    sent = claim_message(april.gym.node, row.digest)
    assert sent is not None

    def send(name: str) -> int:
        status = Status(status_list=Place(idx=0, uri=f"https://gym.example/status/{name}"))
        token = issue_claim(
            true.model_copy(update={"status": status}),
            key_id=keys.id("claim"),
            private_key=key or keys.ed25519("claim"),
            random_bytes=lambda size: b"r" * size,
        )
        body = {**sent.model_dump(), "claim": token}
        return partner(april.gym, april.insurer, "/peer/v1/claims", body).status_code

    with ThreadPoolExecutor(len(lists)) as pool:
        return list(pool.map(send, lists))


def test_a_host_that_does_not_answer_is_waited_for_once_however_many_lists_its_claims_name(april: April) -> None:
    """Each wait would hold a thread; those that others need are not held by any."""
    answered = Event()
    april.elsewhere.say = lambda _path: (answered.wait(30), (404, b""))[1]
    april.elsewhere.asked.clear()
    told = sends_claims(april, *(f"stl_{letter * 26}" for letter in "abcdefgh"))
    assert (len(april.elsewhere.asked), set(told)) == (1, {422})
    answered.set()
    april.story.clock.at_s += SILENT_FOR_S
    sends_claims(april, f"stl_{'a' * 26}")
    assert len(april.elsewhere.asked) == 2


def test_a_list_that_a_forged_claim_names_is_not_asked_for(april: April) -> None:
    april.elsewhere.asked.clear()
    assert sends_claims(april, f"stl_{'a' * 26}", key=ed25519_key("eve")) == [422]
    assert april.elsewhere.asked == []


def test_only_the_issuers_own_word_counts_and_a_claim_waits_for_it(april: April) -> None:
    for what in lies(april):
        april.elsewhere.say = lambda _path, what=what: lies(april)[what]  # type: ignore[misc]  # bound at once
        april.elsewhere.asked.clear()
        april.later()
        assert april.elsewhere.asked, what
        assert april.taken() == [], what
        assert {april.row(name).state for name in april.others} == {"issued"}, what


def test_a_claim_that_was_revoked_on_its_way_is_not_taken_and_the_others_are(april: April) -> None:
    gone, *others = april.others
    digest = april.row(gone).digest
    april.gym.node.writer.submit(lambda transaction: revoke_claim(transaction, digest)).result()
    april.elsewhere.say = lambda path: (200, HTTP.get(april.gym.url + path).content)
    april.elsewhere.asked.clear()
    april.later()
    assert len(april.elsewhere.asked) == 1  # one list for all of them
    april.stopped.add(gone)
    assert sorted(april.taken()) == sorted(april.people[name].receipt for name in others)
    assert april.row(gone).state == "withheld"
    assert april.insurer.app().rewards.find(april.people[gone].at_insurer).rewards == ()


def test_1_09_a_claim_that_was_used_is_not_revoked_by_a_withdrawal(april: April) -> None:
    name = april.others[0]
    april.gym.app().receipts.withdraw(april.people[name].receipt, subject=april.people[name].at_gym)
    assert (april.row(name).state, april.status(name)) == ("delivered", VALID)


def test_a_partners_list_is_kept_for_as_long_as_it_says(april: April) -> None:
    uri = f"https://gym.example/status/{april.row(april.others[0]).status_list}"
    kept, now_s = april.insurer.node.partners_lists, april.story.clock.at_s
    assert kept.is_fresh("gym.example", uri, now_s=now_s)
    assert kept.is_fresh("gym.example", uri, now_s=now_s + TTL_S - 1)
    assert not kept.is_fresh("gym.example", uri, now_s=now_s + TTL_S)
    assert not kept.is_fresh("track.example", uri, now_s=now_s)


def test_a_list_is_the_same_text_for_everybody_until_it_changes_or_is_old(april: April) -> None:
    row = april.row(april.others[0])
    url = f"{april.gym.url}/status/{row.status_list}"
    april.story.clock.at_s += SIGNED_AGAIN_AFTER_S
    first = HTTP.get(url)
    assert first.headers["cache-control"] == f"public, max-age={SIGNED_AGAIN_AFTER_S}"
    april.story.clock.at_s += SIGNED_AGAIN_AFTER_S - 1
    assert HTTP.get(url).text == first.text
    april.story.clock.at_s += 1
    second = HTTP.get(url)
    assert second.text != first.text
    april.gym.node.writer.submit(lambda transaction: revoke_claim(transaction, row.digest)).result()
    assert HTTP.get(url).text != second.text
    assert HTTP.get(f"{april.gym.url}/status/stl_{'a' * 26}").status_code == 404


def draw(april: April, *partners: str) -> list[tuple[str, int]]:
    """Draw a place for a claim for each of these partners."""

    def work(transaction: Transaction) -> list[tuple[str, int]]:
        places = {
            host: Places(april.gym.node, transaction, partner=host, count=partners.count(host)) for host in partners
        }
        drawn = [places[host].draw().status_list for host in partners]
        for each in places.values():
            each.keep()
        return [(each.uri, each.idx) for each in drawn]

    return april.gym.node.writer.submit(work).result().value


def test_places_are_drawn_at_random_and_every_partner_has_lists_of_its_own(april: April) -> None:
    drawn = draw(april, *("one.example", "two.example") * 40)
    one, two = drawn[::2], drawn[1::2]
    assert len(set(drawn)) == 80
    assert {uri for uri, _ in one}.isdisjoint(uri for uri, _ in two)
    places = [index for _, index in one]
    assert places != sorted(places)
    assert max(places) > PLACES_COUNT / 2 > min(places)


def test_a_list_that_is_half_full_is_followed_by_another(april: April) -> None:
    (first,) = {uri for uri, _ in draw(april, "three.example")}
    nearly = STATUS_LISTS.update().where(STATUS_LISTS.c.id == first.rpartition("/")[2]).values(used=PLACES_USED_MAX - 1)
    april.gym.node.writer.submit(lambda transaction: transaction.execute(nearly)).result()
    assert [uri == first for uri, _ in draw(april, "three.example", "three.example")] == [True, False]


def test_lists_in_memory_are_bounded() -> None:
    kept, signed = OwnLists(), list[int]()

    def sign() -> str:
        signed.append(len(signed))
        return str(signed[-1])

    for number in (*range(KEPT_MAX + 1), KEPT_MAX):
        kept.token(f"stl_{number}", changes=0, key_id="claim-1", now_s=0, sign=sign)
    assert len(signed) == KEPT_MAX + 1
    kept.token("stl_0", changes=0, key_id="claim-1", now_s=0, sign=sign)
    assert len(signed) == KEPT_MAX + 2
