"""Release slots: when a claim leaves tells nothing to two partners who compare (P6)."""

import pytest

from tallystick_consent.claims.release import SLOT_S, WINDOW_S, Slot, leaving_at_s, slot_of
from tallystick_ledger.errors import BadInput

KEY = bytes(range(32))
CLOSE_S = 1_806_000_000
CLAIMS = [f"clm-{at}" for at in range(200)]


def slot(recipient: str = "insurer.example", *, key: bytes = KEY, period: str = "2027-03", ready_s: int = 0) -> Slot:
    return slot_of(CLOSE_S, key=key, recipient=recipient, period=period, ready_s=ready_s)


def left(recipient: str = "insurer.example") -> list[tuple[str, int]]:
    """Return the claims in the order they leave in, each with its time."""
    where = slot(recipient)
    times = {each: leaving_at_s(each, key=KEY, recipient=recipient, period="2027-03", slot=where) for each in CLAIMS}
    return sorted(times.items(), key=lambda item: item[1])


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


def test_every_claim_leaves_within_the_slot_and_in_another_order_than_they_came() -> None:
    assert all(slot().opens_s <= at_s < slot().closes_s for _, at_s in left())
    assert [claim for claim, _ in left()] != CLAIMS


def test_two_recipients_cannot_match_by_place_or_time() -> None:
    """The best either can do is to pair places, or to pair what came close together: both find one or two by chance."""
    one, other = left(), left("cafe.example")
    by_place = sum(a[0] == b[0] for a, b in zip(one, other, strict=True))
    offset_s = slot("cafe.example").opens_s - slot().opens_s
    times = dict(other)
    by_time = sum(abs(times[claim] - offset_s - at_s) < SLOT_S // len(CLAIMS) // 2 for claim, at_s in one)
    assert by_place <= 5
    assert by_time <= 5


def test_a_key_has_its_size() -> None:
    for key in (b"", bytes(31), bytes(33)):
        with pytest.raises(BadInput, match="32 bytes"):
            slot(key=key)
