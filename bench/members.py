"""A gym's node on PostgreSQL with many members, each with a consent and a month of visits, as a node would hold them.

Every visit is an event as the node records it, sealed by its vault under the member's own key and committed to, and
every key is wrapped in custody. They do not come through the node's API: they are put into its tables in bulk, so the
log has no entries of what came before. Closing a period reads none.
"""

import secrets
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tallystick_consent.events import MEDIA_TYPE, JourneyEvent, event_payload
from tallystick_consent.program import Program, parse_program
from tallystick_consent.receipts.evidence import Evidence
from tallystick_consent.receipts.receipt import Terms
from tallystick_consent.rules import VisitDays, dates_of
from tallystick_ledger.encoding import canonical_json, new_id
from tallystick_ledger.vault import Vault
from tallystick_node.clock import SetClock
from tallystick_node.flows.links.rows import link_secret_name
from tallystick_node.node import Node
from tallystick_node.setup import create_node, open_node

GYM, INSURER = "gym.example", "insurer.example"
VISITS_EACH = 13
TOGETHER = 1_000
"""Members that are put there in one transaction."""

_STATE = ("claim", "decision", "message", "disclosure", "statusplace", "statuslist")
_YEAR_S = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Gym:
    """The node, and what is asked of it.

    Attributes:
        url: of its database.
        period: the month that its members have trained in.
        members: how many there are; every third lacks a day.
    """

    node: Node
    url: str
    program: Program
    period: str
    close_s: int
    members: int

    def reopen(self) -> None:
        """Make everything due again, as it was before anything was closed."""
        import psycopg  # only where there is a server to speak to

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"TRUNCATE {', '.join(_STATE)}")  # type: ignore[arg-type]
            connection.execute(
                "UPDATE receipt SET next_period = %s, next_close_s = %s, uses = 0", (self.period, self.close_s)
            )
            connection.execute("VACUUM ANALYZE receipt")

    def due(self) -> int:
        """Return how many months are to be closed."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(*) FROM receipt WHERE next_close_s <= %s", (self.close_s,)
            ).fetchone()
        return -1 if row is None else int(row[0])

    def wrong(self) -> int:
        """Return how many decisions are not as they were made to be."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(*) FROM decision WHERE (subject::int %% 3 < 2) != (outcome = 'issued')", ()
            ).fetchone()
        return -1 if row is None else int(row[0])


@contextmanager
def gym(folder: Path, urls: tuple[str, str], *, rule: VisitDays, period: str, members: int) -> Generator[Gym]:
    """Give a gym whose members have trained, its clock at the period's close.

    Args:
        urls: of its database, and of its custody's.
    """
    program, zone = _program(rule), ZoneInfo(rule.zone)
    close_s = program.closed_for_all_s(period, zone=zone)
    clock = SetClock(close_s)
    create_node(
        folder,
        host=GYM,
        url="http://127.0.0.1:1",
        bind="127.0.0.1:1",
        sandbox=True,
        clock=clock,
        database=urls[0],
        custody_database=urls[1],
    )
    node = open_node(folder, clock=clock, random_bytes=secrets.token_bytes)
    try:
        made = Gym(node, urls[0], program, period, close_s, members)
        _fill(made, zone)
        made.reopen()
        yield made
    finally:
        node.close()


def _fill(gym: Gym, zone: ZoneInfo) -> None:
    import psycopg

    document = canonical_json(gym.program.document()).decode()
    numbers = iter(range(gym.members))
    with psycopg.connect(gym.url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO program (payer, program, version, document, digest) VALUES (%s, %s, %s, %s, %s)",
            (INSURER, gym.program.program, gym.program.version, document, gym.program.digest()),
        )
        while some := list(islice(numbers, TOGETHER)):
            _join(connection, gym, [f"{number:08}" for number in some], zone)
        connection.execute("VACUUM ANALYZE")


class _Keys:
    """The keys of some members, as the vault asks for them."""

    def __init__(self, subjects: Sequence[str]) -> None:
        self.made = {subject: secrets.token_bytes(32) for subject in subjects}

    def key_of(self, subject: str) -> bytes:
        return self.made[subject]

    def key_for(self, subject: str) -> bytes:
        return self.made[subject]

    def destroy(self, subject: str) -> None:
        del self.made[subject]


def _join(connection: Any, gym: Gym, subjects: Sequence[str], zone: ZoneInfo) -> None:
    """Add members, with their links, receipts, keys and visits."""
    keys = _Keys(subjects)
    vault = Vault(keys, origin=GYM, random_bytes=secrets.token_bytes)
    links = {subject: _id("lnk") for subject in subjects}
    names = gym.node.secrets.names("subject", subjects)
    wrapped = {names[subject]: key for subject, key in keys.made.items()}
    gym.node.custody.keep_many(
        {**wrapped, **{link_secret_name(each): secrets.token_bytes(32) for each in links.values()}}
    )
    receipts = {subject: _terms(gym, links[subject]) for subject in subjects}
    _copy(
        connection,
        "link (id, partner, program, role, subject, partner_hint, login, state, created_at_s)",
        (
            (links[each], INSURER, gym.program.program, "issuer", each, "policy", "aal2", "active", 0)
            for each in subjects
        ),
    )
    evidence = Evidence(grade="app_asserted", app="app", login="aal2").model_dump_json()
    _copy(
        connection,
        "receipt (id, version, link, partner, role, state, terms, notice, evidence, requested_at_s, live_leaf,"
        " uses, valid_until_s, last_step)",
        (
            (
                terms.receipt,
                1,
                terms.link,
                INSURER,
                "issuer",
                "given",
                canonical_json(terms.document()).decode(),
                gym.program.notice.model_dump_json(),
                evidence,
                0,
                number,
                0,
                terms.valid_until_s,
                "",
            )
            for number, terms in enumerate(receipts.values())
        ),
    )
    _copy(
        connection,
        "event (id, leaf, log, subject, type, data_class, at_s, receipt, commitment, ciphertext, recorded_at_s)",
        (row for each in subjects for row in _visits(vault, each, receipts[each].receipt, gym.period, zone)),
    )


def _copy(connection: Any, into: str, rows: Iterator[tuple[object, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _visits(vault: Vault, subject: str, receipt: str, period: str, zone: ZoneInfo) -> Iterator[tuple[object, ...]]:
    """Yield the rows of a member's visits: every second day, and two fewer for every third member."""
    first, _ = dates_of(period)
    number = int(subject)
    for visit in range(VISITS_EACH - 2 * (number % 3 // 2)):
        began = _noon(first + timedelta(days=2 * visit), zone) + timedelta(seconds=number % 7_200)
        ended = began + timedelta(minutes=45)
        data = {
            "facility": f"club-{number % 40}",
            "started_at": began.isoformat(),
            "ended_at": ended.isoformat(),
            "time_zone": zone.key,
            "source": "turnstile",
            "assurance": "operator",
        }
        event = JourneyEvent(_id("evt"), "visit.ended", began, ended, data)
        payload = event_payload(event, source=GYM, subject=subject, receipt=receipt)
        sealed, _opening = vault.seal(payload, subject=subject, entry_id=event.id, media_type=MEDIA_TYPE)
        at_s = int(began.timestamp())
        yield (
            event.id, visit, "2027", subject, event.type, event.data_class, at_s, receipt, sealed.commitment,
            sealed.ciphertext, at_s + 2_700,
        )  # fmt: skip


def _noon(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=zone)


def _terms(gym: Gym, link: str) -> Terms:
    first, _ = dates_of(gym.period)
    from_s = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp()) - 60 * 86_400
    return Terms(
        receipt=_id("rcp"),
        version=1,
        issuer=GYM,
        recipient=INSURER,
        link=link,
        program=gym.program.program,
        program_version=1,
        purposes=(gym.program.purpose,),
        data_classes=("visit",),
        rung="predicate",
        events_from_s=from_s,
        events_until_s=from_s + _YEAR_S,
        valid_from_s=from_s,
        valid_until_s=from_s + _YEAR_S,
        retention_s=_YEAR_S,
        reward=gym.program.digest(),
        notice=gym.program.notice.digest(),
    )


def _program(rule: VisitDays) -> Program:
    return parse_program(
        {
            "program": "ins-fit",
            "version": 1,
            "title": "Twelve active days a month",
            "payer": INSURER,
            "issuers": [GYM],
            "purpose": "dpv:PersonalisedBenefits",
            "rung": "predicate",
            "data_classes": ["visit"],
            "rule": rule.model_dump(mode="json"),
            "claim_valid_days": 30,
            "consent_days": 365,
            "retention_days": 90,
            "reward": {"asset": "USD/2", "amount": 2000},
            "budget": {"asset": "USD/2", "amount": 10000},
            "fee": None,
            "notice": {
                "statement": "Your gym tells your insurer whether you trained on at least 12 days in a month.",
                "example": "They see: at least 12 days in March: yes.",
                "silence": "If nothing comes, they can take it that you did not reach 12 days.",
                "hidden": "Never: how often, when, where, how long, or what you did.",
                "reward": "$20.00 off your premium for each such month.",
            },
        }
    )


def _id(prefix: str) -> str:
    return new_id(prefix, secrets.token_bytes(16))
