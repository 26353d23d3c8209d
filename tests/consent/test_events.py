"""Journey events: strictly typed, with times that say where they were read; and the envelope they are sealed in."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fitness import visit

from tallystick_consent.events import (
    TRACK_POINTS_MAX,
    EventRefused,
    event_payload,
    parse_event,
    parse_payload,
)
from tallystick_ledger.encoding import canonical_json
from tallystick_ledger.errors import BadInput

VISIT: dict[str, Any] = {
    "facility": "club-7",
    "started_at": "2027-03-05T18:02:00-05:00",
    "ended_at": "2027-03-05T18:50:00-05:00",
    "time_zone": "America/New_York",
    "source": "turnstile",
    "assurance": "operator",
}
EVENT_ID = "evt_" + "a" * 26
RECEIPT = "rcp_" + "b" * 26
SEALED = event_payload(
    parse_event("visit.ended", VISIT, event_id=EVENT_ID), source="gym.example", subject="ana-at-gym", receipt=RECEIPT
)


def parsed(**changes: object) -> None:
    parse_event("visit.ended", {**VISIT, **changes}, event_id=EVENT_ID)


def test_a_visit_is_read_with_the_offset_of_its_place() -> None:
    event = parse_event("visit.ended", VISIT, event_id=EVENT_ID)
    assert event.started_at.isoformat() == VISIT["started_at"]
    assert event.ended_at - event.started_at == timedelta(minutes=48)
    assert (event.data_class, dict(event.data)) == ("visit", VISIT)


@pytest.mark.parametrize("word", ["activated", "ended"])
def test_a_word_on_membership_has_no_length(word: str) -> None:
    event = parse_event(f"membership.{word}", {"since": "2027-03-01T09:00:00-05:00"}, event_id=EVENT_ID)
    assert event.started_at == event.ended_at
    assert event.data_class == "membership"


def test_a_track_may_come_with_a_visit() -> None:
    parsed(track=[[0, 40_700_000, -74_000_000], [60, 40_700_100, -74_000_100]])
    parsed(track=[[0, 0, 0]] * TRACK_POINTS_MAX)


@pytest.mark.parametrize(
    "changes",
    [
        {"track": [[0, 0, 0]] * (TRACK_POINTS_MAX + 1)},
        {"track": [[False, 0, 0]]},  # false is not 0
        {"track": [["0", 0, 0]]},
        {"track": [[0, 0]]},
        {"facility": 7},
        {"facility": None},
        {"facility": ""},
        {"facility": "x" * 81},
        {"facility": "Ana's gym"},
        {"source": "camera"},
        {"assurance": True},
        {"note": "a member it must not have"},
    ],
)
def test_types_are_strict(changes: dict[str, object]) -> None:
    with pytest.raises(EventRefused):
        parsed(**changes)


@pytest.mark.parametrize("name", sorted(VISIT))
def test_no_member_may_be_missing(name: str) -> None:
    with pytest.raises(EventRefused, match=f"/{name}"):
        parse_event("visit.ended", {each: VISIT[each] for each in VISIT if each != name}, event_id=EVENT_ID)


@pytest.mark.parametrize(
    "time",
    [
        "2027-03-05T18:02:00",  # no offset: whose evening was it?
        "2027-03-05T23:02:00Z",  # no offset of the place
        "2027-03-05T18:02:00-00:00",
        "2027-03-05T18:02:00.000-05:00",
        "2027-03-05T18:02:00.5-05:00",
        "2027-03-05T18:02:00.500000-05:00",
        "2027-03-05T18:02-05:00",
        "2027-03-05 18:02:00-05:00",
        "20270305T180200-0500",
        "2027-W09-5T18:02:00-05:00",
        "2027-03-05T18:02:00-05:00:30",
        "2027-03-05T18:02:00+24:00",
        "2027-03-05T24:00:00-05:00",
        "2027-03-05T18:02:60-05:00",  # a leap second
        "2027-02-29T18:02:00-05:00",
        "２027-03-05T18:02:00-05:00",
        " 2027-03-05T18:02:00-05:00",
        "yesterday",
        "",
        1_804_287_720,
    ],
)
def test_a_time_has_one_spelling(time: object) -> None:
    with pytest.raises(EventRefused, match="/started_at"):
        parsed(started_at=time)


def test_a_visit_lasts_no_time_at_least_and_a_day_at_most() -> None:
    parsed(ended_at="2027-03-05T18:02:00-05:00")
    parsed(ended_at="2027-03-06T18:02:00-05:00")
    for outside in ("2027-03-05T18:01:59-05:00", "2027-03-06T18:02:01-05:00"):
        with pytest.raises(EventRefused, match="lasts"):
            parsed(ended_at=outside)


def test_a_visit_is_measured_in_elapsed_time() -> None:
    """One hour on the wall, three in between: it ends an offset further west."""
    event = parse_event("visit.ended", {**VISIT, "ended_at": "2027-03-05T19:02:00-07:00"}, event_id=EVENT_ID)
    assert event.ended_at - event.started_at == timedelta(hours=3)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(EventRefused, match="type"):
        parse_event("visit.started", VISIT, event_id=EVENT_ID)


def test_a_refusal_names_places_and_never_what_stood_there() -> None:
    with pytest.raises(EventRefused) as refused:
        parse_event(
            "visit.ended",
            {**VISIT, "facility": "ana@home.example", "source": "Ana", "Ana Miller": 1},
            event_id=EVENT_ID,
        )
    assert "/facility" in str(refused.value)
    assert "a member it must not have" in str(refused.value)
    for value in ("Ana", "ana", "Miller"):
        assert value not in str(refused.value)


def test_data_that_json_cannot_say_once_is_refused() -> None:
    with pytest.raises(BadInput):
        parsed(track=[[0.0, 0, 0]])


def test_an_envelope_reads_back() -> None:
    event = parse_event("visit.ended", VISIT, event_id=EVENT_ID)
    assert parse_payload(SEALED) == event


def test_every_kind_of_event_reads_back() -> None:
    track = visit("2027-03-05 18:02", 48, track=[[0, 1, 2]], source="geofence", assurance="device_attested")
    ended = parse_event("membership.ended", {"since": "2027-03-01T09:00:00-05:00"}, event_id=EVENT_ID)
    for event in (track, ended):
        payload = event_payload(event, source="gym.example", subject="ana", receipt=RECEIPT)
        assert parse_payload(payload) == event


def test_a_subject_that_looks_like_an_envelope_reads_back() -> None:
    event = parse_event("visit.ended", VISIT, event_id=EVENT_ID)
    payload = event_payload(event, source="gym.example", subject='},"datacontenttype":"', receipt=RECEIPT)
    assert parse_payload(payload, recorded_at_s=7) == replace(event, recorded_at_s=7)


def envelope(**changes: object) -> bytes:
    """Return the envelope with other members; None takes one away."""
    known: dict[str, Any] = {
        "specversion": "1.0",
        "id": EVENT_ID,
        "source": "//gym.example",
        "type": "visit.ended",
        "time": VISIT["started_at"],
        "subject": "ana-at-gym",
        "datacontenttype": "application/json",
        "tallyreceipt": RECEIPT,
        "data": VISIT,
    }
    return canonical_json({name: value for name, value in {**known, **changes}.items() if value is not None})


def test_the_envelope_is_a_cloud_event() -> None:
    assert envelope() == SEALED


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        SEALED + b"\n",
        SEALED.replace(b'"id"', b' "id"'),
        SEALED.replace(b'"id"', b'"id":"","id"'),
        *(envelope(**{name: None}) for name in ("id", "source", "type", "subject", "tallyreceipt", "data", "time")),
        *(envelope(**{name: 7}) for name in ("id", "source", "type", "subject", "tallyreceipt", "data", "time")),
        envelope(type=["visit.ended"]),
        envelope(type="visit.started"),
        envelope(data=[]),
        envelope(data={}),
        envelope(specversion="0.3"),
        envelope(specversion=None),
        envelope(datacontenttype="text/plain"),
        envelope(source="gym.example"),
        envelope(time="2027-03-05T18:03:00-05:00"),  # not the event's own
        envelope(extra="x"),
    ],
)
def test_what_is_no_envelope_of_ours_is_refused(payload: bytes) -> None:
    with pytest.raises(BadInput):
        parse_payload(payload)
