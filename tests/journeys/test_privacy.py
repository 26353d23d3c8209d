"""What others see of a gym's customer: the answer, and nothing of what it was made from (P3).

A story is played twice from one seed, with other private values and the same answer. Everything that the two companies
publish, all that crosses between them and all that the insurer keeps is opened and compared: what differs must be a
commitment, a ciphertext, a signature or a hash over them, and must have the same length.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from outside import (
    Renamed,
    Seen,
    database_of,
    differences,
    disguises,
    log_of,
    opened,
    raw_of,
    scalars,
    tap,
    wire_of,
)
from signers import ed25519_key
from town import Company, Membership, Town, agree, at, consent, town

from tallystick_consent.claims.jws import sign_jws

DIFFERS = {
    "commitment": "a salted hash of an event's payload; nobody without the salt can try a payload",
    "hashes": "leaf and tree hashes over entries that hold such commitments, in tiles and in proofs",
    "root": "the hash over all of these",
    "enc": "a fresh key of HPKE, drawn by OpenSSL itself",
    "ciphertext": "sealed to the partner: a half of the link's secret, and the hint, padded",
    "content-digest": "the hash of a body with such a ciphertext or such a proof in it",
    "signature": "over a root, a ciphertext, a digest or this run's loopback port; those of ML-DSA are never the same",
}
"""The names of what may differ on the wire and in ledgers, and why it tells nothing."""

KEPT_DIFFERS = {
    ("link", "partner_hint"): "what the gym seals for the insurer to show the same person: told on purpose",
    ("idempotency", "partner_hint"): "the same, in the answer that the insurer's own app was given",
    ("head", "peaks"): "hashes over the insurer's own entries, of which some hold the gym's head",
    ("offer", "challenge"): "drawn by the insurer's own app",
    ("idempotency", "key"): "drawn by the insurer's own app",
    ("idempotency", "caller"): "names the key of the insurer's own app, which is drawn anew with each node",
    ("idempotency", "fingerprint"): "a hash over that key's name, or over a request with a ciphertext in it",
    ("appkey", "id"): "the key of the insurer's own app",
    ("appkey", "digest"): "the key of the insurer's own app",
}
"""The same for the insurer's database, by table and column; what stands above may differ there as well."""


@dataclass(frozen=True)
class Visit:
    """A visit as the gym saw it."""

    start: str
    minutes: int
    facility: str
    source: str


@dataclass(frozen=True)
class Private:
    """What nobody but the gym may learn."""

    at_gym: str
    hint: str
    member_since: str
    visits: Sequence[Visit]

    def values(self) -> list[str]:
        """Return all of it that is long enough to be looked for."""
        visits = [text for each in self.visits for text in (each.start, each.start.replace(" ", "T"), each.facility)]
        return sorted({self.at_gym, self.hint, self.member_since, self.member_since.replace(" ", "T"), *visits})


def visits(days: Mapping[int, int], *, hour: int, facilities: Sequence[str], by_phone: Sequence[int]) -> list[Visit]:
    """Return a visit for each day of March and its minutes; on some days the phone noticed, else the turnstile."""
    return [
        Visit(
            f"2027-03-{day:02} {hour:02}:00",
            minutes,
            facilities[day % len(facilities)],
            "geofence" if day in by_phone else "turnstile",
        )
        for day, minutes in days.items()
    ]


ANA = Private(
    at_gym="ana-at-gym",
    hint="member since 2020",
    member_since="2027-03-01 09:00",
    visits=visits(
        {1: 55, 2: 48, 4: 61, 5: 40, 8: 52, 9: 35, 11: 70, 12: 44, 15: 58, 18: 22, 19: 47, 22: 65, 25: 51},
        hour=18,
        facilities=["downtown-7"],
        by_phone=[5],
    ),
)
BORIS = Private(
    at_gym="M-0093-boris-of-the-harbour",
    hint="black card",
    member_since="2027-02-28 12:30",
    visits=visits(
        {day: 31 + 4 * day for day in range(3, 16)},
        hour=6,
        facilities=["harbour", "north-side"],
        by_phone=[3, 4, 9, 10, 15],
    ),
)
"""Another person altogether, with as many events and the same answer: 12 days or more, seen by both kinds of source."""

ELEVEN = replace(ANA, visits=[each for each in ANA.visits if not each.start.startswith("2027-03-25")])
NO_VISITS = replace(ANA, visits=[])


@dataclass
class Outside:
    """What others than the gym see of a story; the insurer's database at each of its turns, as rows are dropped later.

    Attributes:
        raw: all published files and exchanges, byte for byte.
        logged: every line that either node logged.
    """

    ledgers: dict[str, Seen]
    wire: dict[str, Seen]
    database: dict[str, Seen]
    raw: list[bytes]
    logged: list[str] = field(default_factory=list)


def play(folder: Path, private: Private) -> Outside:
    """Play a spring: link, consent, a month at the gym, its close, a question about it, the withdrawal.

    Every event is recorded at the same time in every run, so that only what is in them differs. One request follows
    the other, so that both nodes draw from their seed in the same order.
    """
    kept: dict[str, Seen] = {}
    with listening() as logged, town(folder, seed="P3") as story:
        for host in ("gym.example", "insurer.example"):
            tap(story.company(host))
        gym, insurer = story.companies.values()
        agree(story, insurer, gym)
        person = consent(link(story, gym, insurer, private), story)
        kept["consented"] = database_of(insurer)
        story.go_to("2027-03-01 10:00")
        person.confirm_membership(private.member_since)
        story.clock.at_s = at("2027-03-31 22:00")
        for each in private.visits:
            person.visit(each.start, each.minutes, facility=each.facility, source=each.source)
        story.go_past_release("2027-04-16 00:01")
        insurer.app().claims.ask(person.link, "2027-03")
        story.settle()
        kept["closed"] = database_of(insurer)
        story.go_to("2027-04-17 12:00")
        gym.app().receipts.withdraw(person.receipt, subject=private.at_gym)
        story.settle()
        kept["withdrawn"] = database_of(insurer)
    return Outside(
        {host: log_of(each) for host, each in story.companies.items()},
        {host: wire_of(each) for host, each in story.companies.items()},
        kept,
        [raw for each in story.companies.values() for raw in raw_of(each)],
        logged,
    )


def link(story: Town, gym: Company, insurer: Company, private: Private) -> Membership:
    """Link the person's two accounts, with the gym's own id and hint."""
    offer = insurer.app().links.offer(
        subject="policy-21", partner=gym.host, program="ins-fit", hint="policy ending 21", login="aal2"
    )
    gym.app().links.accept(subject=private.at_gym, offer=offer.offer, hint=private.hint, login="aal2")
    confirmed = insurer.app().links.confirm(offer)
    story.settle()
    return Membership(gym, insurer, private.at_gym, "policy-21", link=confirmed.link)


@contextmanager
def listening() -> Iterator[list[str]]:
    """Yield what is logged, with its traceback, down to the level that an operator may ask for."""
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    listener, root = Listener(), logging.getLogger()
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        root.removeHandler(listener)
        root.setLevel(level)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Private], Outside]:
    """Return what is seen from outside of a person's story; each story is played once."""
    stories: list[tuple[Private, Outside]] = []

    def find(private: Private) -> Outside:
        for whose, outside in stories:
            if whose == private:
                return outside
        stories.append((private, play(tmp_path_factory.mktemp("story"), private)))
        return stories[-1][1]

    return find


Played = Callable[[Private], Outside]


KEPT_OF_A_HEAD = re.compile(r"followed/0/(note/size|anchored_size)$")
"""How long the gym's log is: anybody can fetch that, and the insurer keeps it to hold the gym to it. With one customer
it counts her visits; a gym has more."""


def without_heads(ledger: Seen) -> Seen:
    """Return the files of a ledger without its entries about the public heads of others."""
    assert isinstance(ledger, dict)
    bundles = {path: file["entries"] for path, file in ledger.items() if "entries" in path}
    own = {path: [entry for entry in entries if entry["kind"] != "peer_head"] for path, entries in bundles.items()}
    return {**{path: file for path, file in ledger.items() if path not in bundles}, **own}


def telling(one: Seen, other: Seen) -> list[str]:
    """Return the places on the wire or in ledgers that differ in more than they may."""
    return ["/".join(each.place) for each in differences(one, other) if each.how != "value" or each.name not in DIFFERS]


def telling_kept(one: Seen, other: Seen) -> list[str]:
    """Return the places in the insurer's database, a state a name, that differ in more than they may."""
    return [
        "/".join(each.place)
        for each in differences(one, other)
        if not (each.how == "value" and each.name in DIFFERS)
        and not (each.how != "shape" and (*each.place[1:2], each.name) in KEPT_DIFFERS)
    ]


def claims_in(outside: Outside) -> list[Seen]:
    return [each for each in outside.wire["gym.example"] if each["path"] == "/peer/v1/claims"]


def test_two_people_with_the_same_answer_look_the_same_on_the_wire(played: Played) -> None:
    ana, boris = played(ANA), played(BORIS)
    assert telling(ana.wire, boris.wire) == []
    assert len(claims_in(ana)) == 1
    (claim,) = claims_in(ana)
    assert [each[2] for each in claim["request"]["claim"]["disclosed"]] == [
        {"statement": "visit.qualified_days(2027-03) >= 12", "value": True, "assurance": "mixed"}
    ]


def test_two_people_with_the_same_answer_look_the_same_in_both_ledgers(played: Played) -> None:
    ana, boris = played(ANA), played(BORIS)
    assert telling(ana.ledgers, boris.ledgers) == []
    found = [each for each in differences(ana.ledgers, boris.ledgers) if each.name != "signature"]
    entries = {each.place for each in found if "entries" in each.place}
    assert {place[0] for place in entries if "checkpoint" not in place} == {"gym.example"}, "its own do not differ"
    assert {place[-2:] for place in entries if place[0] == "insurer.example"} == {("checkpoint", "root")}


def test_two_people_with_the_same_answer_look_the_same_in_the_insurers_database(played: Played) -> None:
    ana, boris = played(ANA), played(BORIS)
    assert telling_kept(ana.database, boris.database) == []
    for state in ("consented", "closed", "withdrawn"):
        assert ana.database[state]["event"] == ana.database[state]["decision"] == []
    assert ana.database["closed"]["claim"][0]["token"] != ""
    assert ana.database["withdrawn"]["claim"][0]["token"] == ""


def test_another_answer_is_seen_so_the_comparison_can_fail(played: Played) -> None:
    ana, eleven = played(ANA), played(ELEVEN)
    assert "gym.example" in telling(ana.wire, eleven.wire), "one message less"
    assert telling(ana.ledgers, eleven.ledgers) != []
    assert "closed/claim" in telling_kept(ana.database, eleven.database)


def test_1_03_eleven_days_look_like_a_month_without_visits(played: Played) -> None:
    """The gym has drawn for each event by then, so the ids of later messages are other ones; what they name is not."""
    eleven, none = ((Renamed(), played(each)) for each in (ELEVEN, NO_VISITS))
    (names, seen), (other_names, other) = eleven, none
    assert claims_in(seen) == []
    assert telling(names(seen.wire), other_names(other.wire)) == []
    kept = telling_kept(names(seen.database), other_names(other.database))
    assert [place for place in kept if not KEPT_OF_A_HEAD.search(place)] == []
    ledgers = [without_heads(each.ledgers["insurer.example"]) for each in (seen, other)]
    assert telling(*ledgers) == []


@pytest.mark.parametrize("private", [ANA, BORIS, ELEVEN], ids=["ana", "boris", "eleven"])
def test_no_private_value_stands_in_a_ledger_a_message_or_a_log_line(played: Played, private: Private) -> None:
    outside = played(private)
    assert found(private.values(), [*outside.raw, *(line.encode() for line in outside.logged)]) == set()
    stated = {text for each in (outside.ledgers, outside.wire) for text in scalars(each)}
    assert stated.isdisjoint(private.values())


def found(values: Sequence[str], places: Sequence[bytes]) -> set[str]:
    """Return the values that stand somewhere, in whatever disguise."""
    return {value for value in values if any(form in place for form in disguises(value) for place in places)}


# The instruments themselves


@pytest.mark.parametrize("form", sorted(disguises("downtown-7")))
def test_a_value_is_found_in_every_disguise(form: bytes) -> None:
    assert found(["downtown-7"], [b"before " + form + b" after"]) == {"downtown-7"}


def test_a_value_is_found_inside_a_longer_text_in_base64() -> None:
    for shift in range(3):
        token = opened({"token": sign({"note": "x" * shift + "downtown-7 and more"})})
        assert "x" * shift + "downtown-7 and more" in set(scalars(token))
        assert found(["downtown-7"], [sign({"note": "x" * shift + "downtown-7 and more"}).encode()]) == {"downtown-7"}


def sign(content: dict[str, object]) -> str:
    return sign_jws(content, typ="test+jwt", key_id="claim-0", private_key=ed25519_key("claim"))


@pytest.mark.parametrize(
    ("one", "other", "place"),
    [
        ({"count": 12}, {"count": 13}, "count"),
        ({"period": "2027-03"}, {"period": "2027-04"}, "period"),
        ({}, {"visits": 13}, ""),
        ({"commitment": "A" * 43}, {"commitment": "A" * 44}, "commitment"),
        ({"commitment": "A" * 43}, {"commitment": None}, "commitment"),
        ({"hashes": [b"a", b"b"]}, {"hashes": [b"a"]}, "hashes"),
        ([{"path": "/a"}, {"path": "/b"}], [{"path": "/b"}, {"path": "/a"}], "0/path"),
        ({"token": sign({"days": 12})}, {"token": sign({"days": 13})}, "token/payload/days"),
        ({"body": '{"inner":"{\\"days\\":12}"}'}, {"body": '{"inner":"{\\"days\\":13}"}'}, "body/inner/days"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, ""),
    ],
)
def test_a_leak_is_told_with_its_place(one: Seen, other: Seen, place: str) -> None:
    assert place in telling(opened(one), opened(other))
    assert telling(opened(one), opened(one)) == []


def test_renaming_keeps_who_is_linked_with_what() -> None:
    first, second = (f"lnk_{letter * 26}" for letter in "ab")
    assert telling(Renamed()([first, second]), Renamed()([second, first])) == []
    assert telling(Renamed()([first, first]), Renamed()([first, second])) != []
