"""Events that may not be recorded: nothing of them stays, in the log, the database or the refusal."""

from typing import Any

import pytest
from hostile import Scene, app, nothing_changes, refused
from sqlalchemy import select
from town import Membership, at, consent, link

from tallystick_consent.events import TRACK_POINTS_MAX
from tallystick_ledger.encoding import from_base64url
from tallystick_ledger.times import CLOCKS_DIFFER_MAX_S
from tallystick_ledger.vault import PAYLOAD_SIZE_MAX_BYTES
from tallystick_node.storage.tables import EVENTS

NOON = "2027-02-27T12:00:00-05:00"
VISIT: dict[str, Any] = {
    "facility": "club-7",
    "started_at": "2027-02-27T09:00:00-05:00",
    "ended_at": "2027-02-27T09:00:00-05:00",
    "time_zone": "America/New_York",
    "source": "turnstile",
    "assurance": "operator",
}


def visit(subject: str = "ana-at-gym", **changes: Any) -> dict[str, Any]:
    return {"subject": subject, "type": "visit.ended", "data": {**VISIT, **changes}}


def linked(scene: Scene, name: str) -> Membership:
    return link(scene.gym, scene.insurer, at_gym=f"{name}-at-gym", at_insurer=f"{name}-at-ins", town=scene.story)


def test_the_visit_that_each_test_spoils_is_recorded_as_it_stands(scene: Scene) -> None:
    assert app(scene.gym, "/v1/events", visit()).status_code == 201


def test_an_event_may_be_five_minutes_ahead_and_no_second_more(scene: Scene) -> None:
    assert scene.story.clock.at_s == at("2027-02-27 09:00")
    assert CLOCKS_DIFFER_MAX_S == 300
    assert app(scene.gym, "/v1/events", visit(ended_at="2027-02-27T09:05:00-05:00")).status_code == 201
    with nothing_changes(scene.gym):
        ahead = visit(ended_at="2027-02-27T09:05:01-05:00")
        refused(app(scene.gym, "/v1/events", ahead), 409, "event_in_future")
        far = {"subject": "ana-at-gym", "type": "membership.activated", "data": {"since": "9999-12-31T23:59:59-14:00"}}
        refused(app(scene.gym, "/v1/events", far), 409, "event_in_future")


def test_an_event_of_somebody_unknown_and_of_one_who_was_not_asked_are_refused_alike(scene: Scene) -> None:
    linked(scene, "ben")
    with nothing_changes(scene.gym):
        unknown = refused(app(scene.gym, "/v1/events", visit("nobody-here")), 409, "receipt_missing")
        unasked = refused(app(scene.gym, "/v1/events", visit("ben-at-gym")), 409, "receipt_missing")
    assert {**unknown, "request_id": ""} == {**unasked, "request_id": ""}
    assert "or none of that time (events_from, events_until)" in unknown["remedy"]  # consent alone may not be missing


def test_an_event_under_a_receipt_of_another_person_is_refused(scene: Scene) -> None:
    ben = consent(linked(scene, "ben-too"), scene.story)
    with nothing_changes(scene.gym):
        named = {**visit(), "receipt": ben.receipt}
        refused(app(scene.gym, "/v1/events", named), 409, "receipt_missing")
        there_is_not = {**visit(), "receipt": f"rcp_{'b' * 26}"}
        refused(app(scene.gym, "/v1/events", there_is_not), 409, "receipt_missing")


def test_an_event_from_before_the_receipt_began_is_refused(scene: Scene) -> None:
    with nothing_changes(scene.gym):
        early = visit(started_at="2027-02-27T08:59:59-05:00")
        refused(app(scene.gym, "/v1/events", early), 409, "receipt_missing")


def test_an_insurer_has_no_receipt_under_which_it_could_record(scene: Scene) -> None:
    """The insurer holds the other end of the same receipt; it permits the gym to keep events, and nobody else."""
    with nothing_changes(scene.insurer):
        refused(app(scene.insurer, "/v1/events", visit("ana-at-ins")), 409, "receipt_missing")


def test_an_event_after_a_refusal_and_after_a_withdrawal_is_refused(scene: Scene) -> None:
    no = linked(scene, "cleo")
    asked = scene.insurer.app().receipts.request(no.link).receipt
    scene.story.settle()
    scene.gym.app().receipts.refuse(asked, subject=no.at_gym)
    stopped = consent(linked(scene, "cleo-too"), scene.story)
    scene.gym.app().receipts.withdraw(stopped.receipt, subject=stopped.at_gym)
    with nothing_changes(scene.gym):
        refused(app(scene.gym, "/v1/events", visit(no.at_gym)), 409, "receipt_missing")
        refused(app(scene.gym, "/v1/events", visit(stopped.at_gym)), 409, "receipt_withdrawn")


WRONG: dict[str, dict[str, Any]] = {
    "a member missing": {"facility": None},
    "a member too many": {"steps": 9_000},
    "a time without its offset": {"started_at": "2027-02-27T09:00:00"},
    "a time in Zulu": {"started_at": "2027-02-27T14:00:00Z"},
    "a time with half a second": {"started_at": "2027-02-27T09:00:00.5-05:00"},
    "a time that is a number": {"started_at": 1803736800},
    "a time that is false": {"started_at": False},
    "a day that there is not": {"started_at": "2027-02-30T09:00:00-05:00"},
    "an end before its start": {"started_at": "2027-02-27T09:00:01-05:00"},
    "more than a day": {"started_at": "2027-02-26T08:59:59-05:00"},
    "a source that nobody knows": {"source": "gossip"},
    "a place that is a list": {"facility": ["club-7"]},
    "a place with a line break": {"facility": "club-7\n"},
    "a place with a NUL": {"facility": "club-7\x00"},
    "a track that is false": {"track": False},
    "a point of false": {"track": [[False, 0, 0]]},
    "a point of text": {"track": [["0", 0, 0]]},
    "a point of two": {"track": [[0, 0]]},
    "a point too many": {"track": [[0, 0, 0]] * (TRACK_POINTS_MAX + 1)},
}


@pytest.mark.parametrize("wrong", WRONG, ids=list(WRONG))
def test_an_event_that_is_not_of_its_types_schema_is_refused(scene: Scene, wrong: str) -> None:
    changed = visit(**WRONG[wrong])
    changed["data"] = {name: value for name, value in changed["data"].items() if value is not None}
    with nothing_changes(scene.gym):
        refused(app(scene.gym, "/v1/events", changed), 422, "event_invalid")


NOT_PLAIN = {
    "a fraction": "0.5",
    "a whole number written as a fraction": "1.0",
    "an infinity": "Infinity",
    "no number": "NaN",
    "2^53": str(2**53),
    "half a pair": '"\\ud800"',
}


@pytest.mark.parametrize("value", NOT_PLAIN.values(), ids=list(NOT_PLAIN))
def test_a_value_with_no_exact_spelling_is_refused(scene: Scene, value: str) -> None:
    raw = f'{{"subject":"ana-at-gym","type":"visit.ended","data":{{"facility":{value}}}}}'
    with nothing_changes(scene.gym):
        refused(app(scene.gym, "/v1/events", content=raw.encode()), 422, "invalid_input")


def test_an_event_type_that_nobody_knows_is_refused_and_named_by_nobody(scene: Scene) -> None:
    with nothing_changes(scene.gym):
        told = refused(app(scene.gym, "/v1/events", {**visit(), "type": "heart.attack"}), 422, "event_invalid")
    assert "heart" not in str(told)


def test_a_track_as_long_as_can_be_is_recorded_and_a_payload_of_more_than_256_kib_is_not(scene: Scene) -> None:
    """Both tracks have as many points as there may be; only the length of their numbers makes one too large."""
    short = [[0, 40_000_000, -74_000_000]] * TRACK_POINTS_MAX
    fits = app(scene.gym, "/v1/events", visit(track=short))
    assert fits.status_code == 201, fits.text
    assert len(from_base64url(fits.json()["opening"]["payload"])) < PAYLOAD_SIZE_MAX_BYTES
    long = [[2**53 - 1, 2**53 - 1, 2**53 - 1]] * TRACK_POINTS_MAX
    with nothing_changes(scene.gym):
        told = refused(app(scene.gym, "/v1/events", visit(track=long)), 422, "invalid_input")
    assert told["detail"] == "A payload is larger than 256 KiB."


def test_a_place_for_ana_in_an_entry_there_is_none(scene: Scene) -> None:
    """What was recorded above is in the log as commitments; neither her id nor the club is in any byte of it."""
    scene.story.settle()
    assert scene.gym.node.rows(select(EVENTS))
    published = b"".join(path.read_bytes() for path in scene.gym.log.rglob("*") if path.is_file())
    assert b"ana-at-gym" not in published
    assert b"club-7" not in published


def test_an_event_of_a_closed_month_is_refused_and_its_first_open_second_is_not(scene: Scene) -> None:
    """Runs last: the clock moves on. March closes at midnight after 15 April."""
    march = visit(started_at="2027-03-31T18:00:00-04:00", ended_at="2027-03-31T19:00:00-04:00")
    scene.story.go_to("2027-04-15 23:59")
    scene.story.clock.at_s += 59
    assert app(scene.gym, "/v1/events", march).status_code == 201
    scene.story.clock.at_s += 1
    with nothing_changes(scene.gym):
        refused(app(scene.gym, "/v1/events", march), 409, "period_closed")
    april = visit(started_at="2027-04-01T00:00:00-04:00", ended_at="2027-04-01T01:00:00-04:00")
    assert app(scene.gym, "/v1/events", april).status_code == 201


def test_an_event_under_an_expired_receipt_is_refused_as_such(scene: Scene) -> None:
    """Runs last: a year and more has gone by."""
    old = visit(started_at="2028-02-20T18:00:00-05:00", ended_at="2028-02-20T19:00:00-05:00")
    scene.story.clock.at_s = at("2028-05-01 12:00")
    with nothing_changes(scene.gym):
        refused(app(scene.gym, "/v1/events", old), 409, "receipt_expired")
    scene.gym.work()
    assert scene.gym.app().receipts.get(scene.ana.receipt).state == "expired"
    with nothing_changes(scene.gym):
        refused(app(scene.gym, "/v1/events", old), 409, "receipt_expired")
