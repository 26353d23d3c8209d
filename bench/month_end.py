"""The end of a month for many subjects at once: as a node closes it, from sealed visits to claims that are on their
way.

Beside it stands a floor: one statement, from visits in clear to who has earned the answer. No node takes that way: its
database holds events sealed under each subject's own key, so that erasing the key erases them from every copy. It tells
what a company reaches that lets its database read its customers' visits, and so what sealing and proving cost.
Sessions, days and threshold of a `VisitDays` rule mean there what `evaluate` says they mean; a property test holds the
two together (tests/consent/rules/test_month_end.py). The reasons that `evaluate` gives beside its answer are left out.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial
from statistics import median
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import httpx

from bench import logs, members, servers
from bench.harness import ROUNDS_MIN, Contest, Size, benchmark, rate, require
from bench.measured import resident_max_bytes
from bench.members import VISITS_EACH
from tallystick_consent.events import JourneyEvent
from tallystick_consent.rules import Period, VisitDays, dates_of
from tallystick_consent.rules.first import Filter
from tallystick_consent.rules.periods import period_named
from tallystick_node.flows.claims.closing import close_periods, due_receipts
from tallystick_node.jobs import CLOSED_A_TICK_MAX, CLOSED_TOGETHER_MAX, Jobs
from tallystick_node.log.transaction import Transaction

LOOPED = 200
"""How many subjects a turn of the other side closes."""

LOOPED_TOGETHER = 20
WRITES_EACH_S = 0.05
"""How long another waits between two writes of its own, each of which waits behind what is being closed."""

FLOOR_MAX = 20_000
"""How many subjects' visits lie in clear at most, to find what one statement takes."""

EPOCH = date(1970, 1, 1)
MONTH = "2027-03"
RULE = VisitDays(
    events="visit.ended",
    where=(Filter(member="source", one_of=("turnstile", "geofence")),),
    merge_within_s=8 * 3_600,
    day_basis="facility_local",
    day_min_elapsed_s=1_800,
    measure="qualified_days",
    at_least=12,
    period="calendar_month",
    zone="America/New_York",
    close_day=15,
)

TABLE = """CREATE TABLE visit (
    subject bigint NOT NULL,
    id text COLLATE "C" NOT NULL,
    started_s bigint NOT NULL,
    ended_s bigint NOT NULL,
    day integer NOT NULL,
    facility text NOT NULL,
    source text NOT NULL,
    assurance text NOT NULL,
    recorded_s bigint NOT NULL
)"""
"""Visits as `parse_event` checks them: times in seconds since 1970-01-01 UTC, the local day of the start as days since
then, read in the offset of the facility."""

IN_ORDER = "CREATE INDEX visit_in_order ON visit (subject, started_s, ended_s, id)"

# Each visit beside when those before it ended; where it begins a session; which session that is; how long somebody was
# there in each, time that two visits share counted once; then the days.
EARNED = """
WITH chosen AS (
    SELECT subject, id, started_s, ended_s, day FROM visit WHERE recorded_s < %(close_s)s {filters}
), after AS (
    SELECT *, max(ended_s) OVER (
        PARTITION BY subject ORDER BY started_s, ended_s, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS until_s FROM chosen
), begun AS (
    SELECT *, until_s IS NULL OR started_s - until_s >= %(merge_within_s)s AS begins FROM after
), placed AS (
    SELECT *, count(*) FILTER (WHERE begins) OVER (
        PARTITION BY subject ORDER BY started_s, ended_s, id ROWS UNBOUNDED PRECEDING
    ) AS session FROM begun
), sessions AS (
    SELECT
        subject,
        max(day) FILTER (WHERE begins) AS day,
        sum(greatest(0, ended_s - greatest(started_s, until_s))) AS present_s
    FROM placed GROUP BY subject, session
)
SELECT subject, count(DISTINCT day) AS days FROM sessions
WHERE day BETWEEN %(first_day)s AND %(last_day)s AND present_s >= %(day_min_elapsed_s)s
GROUP BY subject HAVING count(DISTINCT day) >= %(at_least)s
"""


class Visit(NamedTuple):
    """A row of the table."""

    subject: int
    id: str
    started_s: int
    ended_s: int
    day: int
    facility: str
    source: str
    assurance: str
    recorded_s: int

    def event(self) -> JourneyEvent:
        """Return it as rules read it."""
        began = datetime.fromtimestamp(self.started_s, UTC)
        # The offset is the one in which the start falls on its local day, at whatever hour.
        midnight = datetime.combine(EPOCH + timedelta(days=self.day), datetime.min.time(), UTC)
        offset_h = next(each for each in range(-14, 15) if (began + timedelta(hours=each) - midnight).days == 0)
        place = timezone(timedelta(hours=offset_h))
        ended = datetime.fromtimestamp(self.ended_s, UTC)
        data = {"facility": self.facility, "source": self.source, "assurance": self.assurance}
        started_at, ended_at = began.astimezone(place), ended.astimezone(place)
        return JourneyEvent(self.id, "visit.ended", started_at, ended_at, data, self.recorded_s)


def statement(rule: VisitDays, period: Period) -> tuple[str, dict[str, Any]]:
    """Return the statement that finds who has earned a period's answer, with how many days, and its parameters.

    Raises:
        ValueError: the rule asks for more than visits tell.
    """
    if rule.requires_active is not None:
        raise ValueError("Whether a membership stands is told by other events than visits.")
    first, last = dates_of(period.name)
    told: dict[str, Any] = {
        "close_s": period.close_s,
        "merge_within_s": rule.merge_within_s,
        "day_min_elapsed_s": rule.day_min_elapsed_s,
        "at_least": rule.at_least,
        "first_day": (first - EPOCH).days,
        "last_day": (last - EPOCH).days,
    }
    filters = ""
    for number, each in enumerate(rule.where):
        filters += f" AND {each.member} = ANY(%(where_{number})s)"  # one of three names, never somebody's text
        told[f"where_{number}"] = list(each.one_of)
    return EARNED.format(filters=filters), told


@benchmark("consent.month_end", unit="subjects/s", count=5_000)
def month_end(size: Size) -> Generator[Contest]:
    """Close a month of a node's members as a set, and one after the other; each turn closes a fifth of them."""
    with servers.postgres() as server:
        if server is None:
            require(False, "There is no PostgreSQL to measure on.")
            return
        urls = servers.fresh(server), servers.fresh(server)
        try:
            yield from _contest(urls, size)
        finally:
            for url in urls:
                servers.drop(server, url)


def _contest(urls: tuple[str, str], size: Size) -> Generator[Contest]:
    part = max(1, size.count // ROUNDS_MIN)
    everybody = part * ROUNDS_MIN + LOOPED * ROUNDS_MIN
    floor = round(_floor(urls[0], min(size.count, FLOOR_MAX)))
    began_s = time.perf_counter()
    with logs.folder() as folder, members.gym(folder, urls, rule=RULE, period=MONTH, members=everybody) as gym:
        told: dict[str, object] = {
            "members": everybody,
            "prepared": "sealed visits, receipts, links and wrapped keys, put into the node's tables in bulk",
            "prepared_s": round(time.perf_counter() - began_s),
            "a_turn": part,
            "visits_each": VISITS_EACH,
            "a_commit": CLOSED_TOGETHER_MAX,
            "their_count": LOOPED,
            "their_commit": LOOPED_TOGETHER,
            "ours": "keys unwrapped, visits unsealed, decided, evaluated, claims signed, logged, queued; published",
            "opened_visits_one_statement": floor,
            "opened_visits": "a floor that no node takes: visits in clear, counted in SQL; nothing signed or kept",
        }
        turns = _Turns(gym, told)
        yield Contest(
            lambda: turns.ours(part), "the same node, one receipt after the other", lambda: turns.theirs(LOOPED), told
        )


class _Turns:
    """Turns of both sides over one gym, and what ours took beside its time, which is told once all are done."""

    def __init__(self, gym: members.Gym, told: dict[str, object]) -> None:
        self._gym, self._told = gym, told
        self._jobs = Jobs(gym.node, httpx.AsyncClient())
        self._left = gym.members
        self._closed, self._took_s, self._cpu_s, self._waited_s = 0, 0.0, 0.0, 0.0

    def ours(self, count: int) -> float:
        """Close months as a node does by itself, so many a tick, while somebody else writes now and then."""
        cpu_s = time.process_time()
        found = self._turn(count, self._as_sets)
        self._closed += count
        self._took_s += count / found
        self._cpu_s += time.process_time() - cpu_s
        self._told.update(
            closed=self._closed,
            closed_s=round(self._took_s, 1),
            node_cpu_us_each=round(self._cpu_s / self._closed * 1e6),
            another_write_waited_ms_at_most=round(self._waited_s * 1e3),
            resident_max_mb=round(resident_max_bytes() / 1e6),
            load=round(os.getloadavg()[0], 1),
        )
        return found

    def theirs(self, count: int) -> float:
        """Close months one by one."""
        return self._turn(count, self._one_by_one)

    def _turn(self, count: int, close: Callable[[int], Awaitable[None]]) -> float:
        if self._left < count:
            self._gym.reopen()
            self._left = self._gym.members
        self._left -= count

        async def closed() -> None:
            await close(count)
            await self._jobs.publish()

        found = rate(count, lambda: asyncio.run(closed()))
        require(self._gym.due() == self._left, "Other months were closed.")
        require(self._gym.wrong() == 0, "A month was decided otherwise than it was made to be.")
        return found

    async def _as_sets(self, count: int) -> None:
        another = asyncio.create_task(self._write_now_and_then())
        for begin in range(0, count, CLOSED_A_TICK_MAX):
            await self._jobs.close_due(rows_max=min(CLOSED_A_TICK_MAX, count - begin))
            await self._jobs.publish()
        another.cancel()

    async def _write_now_and_then(self) -> None:
        while True:
            began_s = time.perf_counter()
            await self._gym.node.written(_nothing)
            self._waited_s = max(self._waited_s, time.perf_counter() - began_s)
            await asyncio.sleep(WRITES_EACH_S)

    async def _one_by_one(self, count: int) -> None:
        due = due_receipts(self._gym.node, rows_max=count)
        alone = partial(close_periods, self._gym.node, periods_max=1)
        for begin in range(0, count, LOOPED_TOGETHER):
            some = due[begin : begin + LOOPED_TOGETHER]
            await asyncio.gather(*(self._gym.node.written(partial(alone, receipts=[each])) for each in some))


def _nothing(_transaction: Transaction) -> None:
    """Write nothing: what is told of it is how long it waits for its turn."""


def _floor(url: str, count: int) -> float:
    """Return how many subjects a second one statement finds the answers of, where visits lie in clear."""
    import psycopg  # only where there is a server to speak to

    period = period_named(MONTH, rule=RULE, zone=ZoneInfo(RULE.zone))
    with psycopg.connect(url, autocommit=True) as connection:
        earned = _fill(connection, count, period)
        found, told = statement(RULE, period)
        rows: list[Any] = []

        def run() -> None:
            rows[:] = connection.execute(found, told).fetchall()  # type: ignore[arg-type]

        rates = [rate(count, run) for _ in range(3)]
        require(len(rows) == earned, "The statement finds others than were made to earn it.")
        connection.execute("DROP TABLE visit")
    return median(rates)


def _fill(connection: Any, count: int, period: Period) -> int:
    """Make every subject's visits; return how many subjects have earned the month: every third lacks a day."""
    connection.execute(TABLE)
    first, _ = dates_of(period.name)
    noon_s = int(datetime.combine(first, datetime.min.time(), ZoneInfo(RULE.zone)).timestamp()) + 12 * 3_600
    connection.execute(
        """
        INSERT INTO visit
        SELECT subject, subject || '/' || number, started_s, started_s + 2700,
            %(day)s + number * 2, 'club-' || subject %% 40, 'turnstile', 'operator', started_s + 2700
        FROM generate_series(0, %(count)s - 1) AS subject,
            generate_series(0, %(visits)s - 1) AS number,
            LATERAL (SELECT %(noon)s + number * 2 * 86400::bigint + subject %% 7200 AS started_s) AS at
        WHERE number < %(visits)s - 2 * (subject %% 3 / 2)
        """,
        {"count": count, "visits": VISITS_EACH, "noon": noon_s, "day": (first - EPOCH).days},
    )
    connection.execute(IN_ORDER)
    connection.execute("VACUUM ANALYZE visit")
    return count - count // 3


def copy_visits(connection: Any, visits: Sequence[Visit]) -> None:
    """Put visits into the table."""
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO visit VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)", visits)


BENCHMARKS = (month_end,)
