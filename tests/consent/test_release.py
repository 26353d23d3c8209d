"""Release slots: when a claim leaves tells nothing to two partners who compare (P6)."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick_consent.claims.release import SLOT_S, WINDOW_S, Slot, leaving_times, slot_of
from tallystick_ledger.errors import BadInput

KEY = bytes(range(32))
CLOSE_S = 1_806_000_000
CLAIMS = [f"clm-{at}" for at in range(200)]


def slot(recipient: str = "insurer.example", *, key: bytes = KEY, period: str = "2027-03", ready_s: int = 0) -> Slot:
    return slot_of(CLOSE_S, key=key, recipient=recipient, period=period, ready_s=ready_s)


def left(recipient: str = "insurer.example", claims: list[str] | None = None) -> list[tuple[str, int]]:
    where = slot(recipient)
    return list(leaving_times(claims or CLAIMS, key=KEY, recipient=recipient, period="2027-03", slot=where))


def test_a_slot_lies_within_a_day_of_the_close() -> None:
    for at in range(200):
        found = slot(f"partner-{at}.example")
        assert found.opens_s >= CLOSE_S
        assert found.closes_s == found.opens_s + SLOT_S <= CLOSE_S + WINDOW_S


def test_each_recipient_and_period_and_node_has_a_slot_of_its_own() -> None:
    assert len({slot(f"partner-{at}.example") for at in range(50)}) > 45
    assert slot() != slot(period="2027-04")
    assert slot() != slot(key=bytes(32))


def test_a_claim_that_is_late_leaves_with_the_next_slot() -> None:
    first = slot()
    assert slot(ready_s=first.opens_s) == first
    assert slot(ready_s=first.opens_s + 1).opens_s == first.opens_s + WINDOW_S
    assert slot(ready_s=first.opens_s + WINDOW_S).opens_s == first.opens_s + WINDOW_S


def test_a_restart_draws_the_same_times() -> None:
    assert left() == left()


def test_every_claim_leaves_once_within_the_slot_in_the_order_of_its_times() -> None:
    found = left()
    assert sorted(claim for claim, _ in found) == sorted(CLAIMS)
    assert all(slot().opens_s <= at_s < slot().closes_s for _, at_s in found)
    assert all(earlier[1] <= later[1] for earlier, later in pairwise(found))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_order_in_which_claims_came_does_not_show(data: st.DataObject) -> None:
    assert left(claims=data.draw(st.permutations(CLAIMS[:30]))) == left(claims=CLAIMS[:30])


def test_two_recipients_cannot_match_by_place_or_time() -> None:
    """The best either can do is to pair places, or to pair what came close together: both find one or two by chance."""
    one, other = left(), left("cafe.example")
    by_place = sum(a[0] == b[0] for a, b in zip(one, other, strict=True))
    offset_s = slot("cafe.example").opens_s - slot().opens_s
    times = dict(other)
    by_time = sum(abs(times[claim] - offset_s - at_s) < SLOT_S // len(CLAIMS) // 2 for claim, at_s in one)
    assert by_place <= 5
    assert by_time <= 5


def test_claims_of_one_second_are_not_ordered_by_their_ids() -> None:
    narrow = Slot(CLOSE_S, CLOSE_S + 1)
    at_two = [
        leaving_times(CLAIMS, key=KEY, recipient=recipient, period="2027-03", slot=narrow)
        for recipient in ("a.example", "b.example")
    ]
    assert at_two[0] != at_two[1]
    found = [
        each.claim for each in leaving_times(CLAIMS, key=KEY, recipient="a.example", period="2027-03", slot=narrow)
    ]
    assert found != sorted(CLAIMS)
    assert found != CLAIMS


def test_a_claim_leaves_once_and_a_key_has_its_size() -> None:
    with pytest.raises(BadInput, match="once"):
        left(claims=["a", "a"])
    for key in (b"", bytes(31), bytes(33)):
        with pytest.raises(BadInput, match="32 bytes"):
            slot(key=key)
