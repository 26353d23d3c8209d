"""A caller that has gone wrong is told when to come back, and takes nothing from the others."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from town import Company, SetClock, Town, fitness_program, town

from tallystick import Client
from tallystick.errors import RateLimited
from tallystick_node.config import load_settings
from tallystick_node.errors import TooManyRequests
from tallystick_node.rates import CALLERS_MAX, MINUTE_S, Rates
from tallystick_node.storage.tables import MESSAGES

CLOCK_S = 1_800_000_000


def rates(calls_a_minute: int) -> tuple[Rates, SetClock]:
    clock = SetClock(CLOCK_S)
    return Rates(calls_a_minute, now_s=clock.now_s), clock


def refused_for(counted: Rates, caller: str = "app") -> int:
    with pytest.raises(TooManyRequests) as refused:
        counted.count(caller)
    return refused.value.retry_after_s


def test_a_minute_s_calls_may_come_at_once_and_the_next_when_there_is_one_again() -> None:
    counted, clock = rates(4)
    for _ in range(4):
        counted.count("app")
    assert refused_for(counted) == 15
    clock.at_s += 14
    assert refused_for(counted) == 1
    clock.at_s += 1
    counted.count("app")
    assert refused_for(counted) == 15


def test_who_waits_long_gathers_no_more_than_a_minute_s_calls() -> None:
    counted, clock = rates(2)
    counted.count("app")
    clock.at_s += 1_000_000
    for _ in range(2):
        counted.count("app")
    assert refused_for(counted) == 30


def test_one_caller_takes_nothing_from_another() -> None:
    counted, _ = rates(1)
    counted.count("app")
    refused_for(counted)
    counted.count("another")


def test_a_clock_that_is_set_back_takes_nothing_and_gives_nothing() -> None:
    counted, clock = rates(1)
    counted.count("app")
    clock.at_s -= 3_600
    assert refused_for(counted) == MINUTE_S
    clock.at_s += MINUTE_S
    counted.count("app")


def test_how_many_are_counted_is_bounded_and_who_called_last_stays_counted() -> None:
    counted, _ = rates(1)
    counted.count("app")
    for each in range(CALLERS_MAX):
        counted.count(f"other-{each}")
    counted.count("app")  # forgotten, so it begins anew
    refused_for(counted, f"other-{CALLERS_MAX - 1}")
    assert len(counted._buckets) == CALLERS_MAX


def test_who_may_call_as_often_as_it_likes_is_not_counted() -> None:
    counted, _ = rates(0)
    for _ in range(3):
        counted.count("app")
    assert counted._buckets == {}


# Over real nodes


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path) as made:
        yield made


def allows(company: Company, **calls_a_minute: int) -> None:
    company.stop()
    settings = load_settings(company.folder).model_copy(update=calls_a_minute)
    (company.folder / "node.toml").write_text(settings.text())
    company.start()


def test_an_app_is_told_when_to_come_back_and_another_key_is_heard(story: Town) -> None:
    gym = story.company("gym.example")
    allows(gym, app_calls_a_minute=2)
    other = gym.key("programs:read")
    asks = {key: {"Authorization": f"Bearer {key}"} for key in (gym.secret, other)}
    got = [httpx.get(f"{gym.url}/v1/programs", headers=asks[gym.secret]) for _ in range(3)]
    assert [each.status_code for each in got] == [200, 200, 429]
    told = got[-1].json()
    assert (got[-1].headers["retry-after"], told["retry_after"], told["code"]) == ("30", 30, "rate_limited")
    assert told["retryable"]
    assert httpx.get(f"{gym.url}/v1/programs", headers=asks[other]).status_code == 200
    with Client(gym.url, key=gym.secret, fingerprint=gym.keys.fingerprint, retries_max=0) as app:
        with pytest.raises(RateLimited) as refused:
            app.programs.list()
        assert refused.value.retry_after_s == 30

    def wait(seconds: float) -> None:
        story.clock.at_s += int(seconds) + 1

    with Client(gym.url, key=gym.secret, fingerprint=gym.keys.fingerprint, sleep=wait) as app:
        assert app.programs.list().programs == ()


@pytest.mark.long
def test_what_a_partner_does_not_take_now_is_sent_again_when_it_asks_for_it(story: Town) -> None:
    gym, insurer = story.company("gym.example"), story.company("insurer.example")
    allows(gym, partner_calls_a_minute=1)
    for version in (1, 2):
        insurer.app().programs.publish({**fitness_program(), "version": version})
    story.settle()
    assert [exchange.status for exchange in insurer.recorder.exchanges if "programs" in exchange.path] == [200, 429]
    (waiting,) = insurer.node.rows(select(MESSAGES).where(MESSAGES.c.state == "queued"))
    assert waiting.next_attempt_s == story.clock.at_s + MINUTE_S
    assert not waiting.maybe_arrived
    story.clock.at_s += MINUTE_S
    story.settle()
    assert len(gym.app().programs.list().programs) == 2
