"""Finding visits: a stay counts, passing by does not, and no way of recording it makes two of one."""

import json
from datetime import datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sdk.importing.outings import START_S, Move, gym, move, outing, stay

from tallystick.importing import FoundVisit, GeofenceRule, find_visits, merge_visits, visit_events, visit_key
from tallystick.importing.visits import TRACK_KEPT_MAX
from tallystick_ledger.encoding import canonical_json

HOUR_S = 3600


def minutes(moves: list[Move], **facility: int) -> list[float]:
    return [visit.elapsed_s / 60 for visit in find_visits([outing(moves)], [gym(**facility)])]


def test_a_stay_is_a_visit() -> None:
    (visit,) = find_visits([outing(stay(0, 2700))], [gym()])
    assert (visit.started_at.isoformat(), visit.elapsed_s) == ("2027-03-05T19:00:00-05:00", 2700)


def at_edge(out_s: int, last_out_s: int) -> list[Move]:
    """Twenty minutes just inside the circle, but just outside from one second to another."""
    return [(at_s, 110 if out_s <= at_s <= last_out_s else 90) for at_s, _ in stay(0, 1200)]


@pytest.mark.parametrize(
    ("moves", "found"),
    [
        (stay(0, 290), []),  # a little less than the shortest stay
        (stay(0, 300), [5]),
        (stay(0, 1200, east_m=101), []),  # next door
        ([(0, 0), (500, 0)], []),  # two fixes show a start and an end, not a stay
        (stay(0, 600) + stay(1200, 1800), [30]),  # no signal for ten minutes
        (stay(0, 600) + stay(1210, 1800), [10, 590 / 60]),  # and for longer
        ([*stay(0, 600), (605, 9000), *stay(610, 1200)], [20]),  # one fix far off
        (at_edge(610, 710), [20]),  # off for two minutes
        (at_edge(610, 720), [10, 470 / 60]),  # and for longer
        (stay(0, 290) + stay(300, 900, east_m=300) + stay(910, 1200), []),  # two short ones do not add up
    ],
)
def test_what_is_a_stay(moves: list[Move], found: list[float]) -> None:
    assert minutes(moves) == pytest.approx(found)


def test_driving_past_or_parking_for_a_minute_is_no_visit() -> None:
    past = move(0, 300, from_m=-2000, kmh=50)
    parked = [*move(0, 140, from_m=-1944, kmh=50), *stay(145, 205), *move(210, 350, from_m=0, kmh=50)]
    for radius_m in (100, 2000):
        assert minutes(past, radius_m=radius_m) == minutes(parked, radius_m=radius_m) == []


def test_a_drive_inside_a_wide_circle_is_no_visit_though_it_has_stops() -> None:
    """Each stop is long enough for a visit of its own, so only the share of driving can refuse it."""
    to_and_fro = [
        *stay(0, 310, east_m=-1500),
        *move(315, 745, from_m=-1500, kmh=25),
        *stay(750, 1060, east_m=1486),
        *[(at_s + 1065, -east_m) for at_s, east_m in move(0, 430, from_m=-1486, kmh=25)],
    ]
    assert minutes(to_and_fro, radius_m=2000) == []
    assert len(minutes(to_and_fro, radius_m=2000, speed_max_kmh=60)) == 1


def test_the_drive_home_is_cut_off_a_walk() -> None:
    walk, home = move(0, 1200, from_m=-1000, kmh=4), move(1205, 1400, from_m=333, kmh=30)
    assert minutes(walk + home, radius_m=2000) == pytest.approx([20], abs=0.5)


def test_cycling_is_a_visit_where_cyclists_go() -> None:
    ride = [(at_s, 400 * (1 if at_s // 50 % 2 else -1) * (1 - at_s % 50 / 25)) for at_s in range(0, 1200, 2)]
    assert minutes(ride, radius_m=500, speed_max_kmh=60) == pytest.approx([20], abs=0.1)
    assert minutes(ride, radius_m=500) == []


def test_positions_that_jitter_at_rest_are_not_speed() -> None:
    assert minutes([(at_s, 12 * (-1) ** at_s) for at_s in range(1200)]) == pytest.approx([20], abs=0.1)


def test_one_outing_on_two_devices_is_one_visit() -> None:
    watch, bike = outing(stay(0, 1800), digest="b" * 64), outing(stay(30, 1860), digest="a" * 64)
    (visit,) = find_visits([watch, bike, watch], [gym()])
    assert (visit.elapsed_s, visit.sources) == (1860, ("a" * 64, "b" * 64))


def test_two_facilities_that_overlap_each_have_their_visit() -> None:
    other = gym().model_copy(update={"id": "gym-2"})
    assert [visit.facility_id for visit in find_visits([outing(stay(0, 600))], [other, gym()])] == ["gym-1", "gym-2"]


def test_a_night_when_clocks_change_lasts_as_long_as_it_lasts() -> None:
    to_summer_s = datetime.fromisoformat("2027-03-14T01:30:00-05:00").timestamp()
    night = outing(stay(0, HOUR_S), later_s=int(to_summer_s) - START_S)
    (visit,) = find_visits([night], [gym()])
    data = visit_events([visit])[0]["data"]
    assert data == {
        "facility": "gym-1",
        "started_at": "2027-03-14T01:30:00-05:00",
        "ended_at": "2027-03-14T03:30:00-04:00",
        "time_zone": "America/New_York",
        "source": "geofence",
        "assurance": "device",
    }
    assert (visit.elapsed_s, visit.ended_at - visit.started_at) == (HOUR_S, timedelta(hours=1))


@given(
    zone=st.sampled_from(["America/New_York", "Asia/Kathmandu", "Pacific/Apia", "Europe/Ljubljana", "UTC"]),
    later_h=st.integers(0, 24 * 365),
)
def test_a_time_zone_changes_no_elapsed_time(zone: str, later_h: int) -> None:
    (visit,) = find_visits([outing(stay(0, HOUR_S), later_s=later_h * HOUR_S)], [gym(time_zone=zone)])
    assert (visit.elapsed_s, int(visit.started_at.timestamp())) == (HOUR_S, START_S + later_h * HOUR_S)


def visit_of(facility: str, start_m: int, length_m: int, source: str, offset_h: int) -> FoundVisit:
    started_at = datetime.fromisoformat(f"2027-03-05T00:00:00{offset_h:+03d}:00") + timedelta(minutes=start_m)
    ended_at = started_at + timedelta(minutes=length_m)
    return FoundVisit(facility, started_at, ended_at, "Etc/UTC", (source,), ((0, start_m, length_m),))


VISITS = st.builds(
    visit_of, st.sampled_from("ab"), st.integers(0, 60), st.integers(5, 30), st.sampled_from("xyz"), st.just(-5)
)


@given(st.lists(VISITS, max_size=5))
def test_merging_twice_is_merging_once_and_order_does_not_matter(visits: list[FoundVisit]) -> None:
    merged = merge_visits(visits)
    assert merge_visits(merged) == merged
    assert {merge_visits(order) for order in permutations(visits)} == {merged}
    for one, other in permutations(merged, 2):
        assert (
            one.facility_id != other.facility_id or one.ended_at < other.started_at or other.ended_at < one.started_at
        )


def test_events_hold_no_coordinate_unless_asked_and_then_whole_numbers() -> None:
    long_stay = outing(stay(0, 2 * HOUR_S, every_s=1))
    assert "track" not in json.dumps(visit_events(find_visits([long_stay], [gym()])))
    (visit,) = find_visits([long_stay], [gym()], with_positions=True)
    (event,) = visit_events([visit])
    assert canonical_json(event)
    assert 2 <= len(visit.track) <= TRACK_KEPT_MAX
    assert visit.track[0] == (0, 40_712_728, -74_006_015)
    assert "40712728" not in repr(visit)


@pytest.mark.parametrize(("early_every_s", "late_every_s", "span"), [(10, 5, (60, 900)), (5, 60, (0, 600))])
def test_of_two_tracks_the_fuller_is_kept_and_counts_from_the_merged_start(
    early_every_s: int, late_every_s: int, span: tuple[int, int]
) -> None:
    early = outing(stay(0, 600, every_s=early_every_s), digest="a")
    late = outing(stay(60, 900, every_s=late_every_s), digest="b")
    (visit,) = find_visits([early, late], [gym()], with_positions=True)
    assert (visit.track[0][0], visit.track[-1][0]) == span


def test_a_visit_has_one_key_and_every_difference_another() -> None:
    (visit,) = find_visits([outing(stay(0, 600))], [gym()])
    (elsewhere,) = find_visits([outing(stay(0, 600), digest="f" * 64)], [gym(time_zone="Asia/Tokyo")])
    (longer,) = find_visits([outing(stay(0, 610))], [gym()])
    (later,) = find_visits([outing(stay(10, 600))], [gym()])
    key = visit_key(visit, "member-1")
    assert key == visit_key(elsewhere, "member-1") == "import-M88jW2hRy-U_gUhGQcBgda5NR9rFo_Ee"
    assert len({key, visit_key(visit, "member-2"), visit_key(longer, "member-1"), visit_key(later, "member-1")}) == 4


def test_a_rule_of_ones_own_is_used() -> None:
    assert find_visits([outing(stay(0, 600))], [gym()], rule=GeofenceRule(dwell_s_min=900)) == ()
