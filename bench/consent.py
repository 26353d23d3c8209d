"""Benchmarks of consent: deciding what may leave, finding a rule's answer, and the claim that carries it."""

import hashlib
import random
import secrets
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.harness import Contest, Size, benchmark, rate, require
from bench.peers import cedar, counting, sd_jwts
from tallystick_consent.claims.claim import ANSWER, VCT, Answer, Claim, issue_claim, verify_claim
from tallystick_consent.decide import Ask, Permit, decide
from tallystick_consent.events import JourneyEvent, parse_event
from tallystick_consent.receipts.receipt import Receipt, Terms, parse_terms
from tallystick_consent.receipts.states import ReceiptState
from tallystick_consent.rules import AnyRule, Filter, Rule, VisitDays, Zones, evaluate, period_named
from tallystick_consent.rules.comparing import Bands
from tallystick_consent.rules.language import PeriodTerms
from tallystick_consent.rules.measures import Average, DayFigure
from tallystick_ledger.encoding import new_id, to_base64url

GYM, INSURER, PROGRAM, MONTH, ZONE = "gym.example", "insurer.example", "ins-fit", "2027-03", "America/Bogota"
NOW_S = int(datetime(2027, 4, 5, tzinfo=UTC).timestamp())
YEAR_S = 365 * 86_400
KEY_ID = "claim-1"
DECISIONS = 20_000
"""How often a turn decides, however many receipts are stored."""

CEDAR_DECISIONS = 2_000

RULE = VisitDays(
    events="visit.ended",
    where=(Filter(member="source", one_of=("turnstile", "geofence")),),
    merge_within_s=1_800,
    day_basis="facility_local",
    day_min_elapsed_s=1_800,
    measure="qualified_days",
    at_least=12,
    period="calendar_month",
    zone=ZONE,
    close_day=4,
)

STEPS_RULE = Rule(
    language=2,
    measures=(
        Average(
            measure="average",
            events="steps.day_closed",
            basis="subject_home",
            day=DayFigure(take="sum", of="steps", cap=60_000, without_manual=True, sources=("watch", "phone")),
            divide_by="days_in_period",
            coverage_at_least=28,
            outcome=Bands(bands=(5_000, 7_500, 10_000, 12_500), sent_from=2),
        ),
    ),
    period=PeriodTerms(span="calendar_month", zone=ZONE, of_home=True, close_after_days=3),
)


@benchmark("consent.decide", unit="decisions/s", count=DECISIONS)
def decide_one(size: Size) -> Generator[Contest]:
    """Decide a question that one receipt permits."""
    ask, receipt = _ask(), _receipt(0)
    allowed = cedar.permits(ask, receipt, now_s=NOW_S)
    require(isinstance(decide(ask, receipt, now_s=NOW_S), Permit), "We refuse what the receipt permits.")
    require(allowed is None or allowed(), "Cedar refuses what the receipt permits.")

    def ours() -> None:
        for _ in range(size.count):
            decide(ask, receipt, now_s=NOW_S)

    their_count = max(1, size.count // 10)
    yield Contest(
        lambda: rate(size.count, ours),
        "cedarpy",
        None if allowed is None else lambda: rate(their_count, lambda: [allowed() for _ in range(their_count)]),
        {
            "their_count": their_count,
            "ours": "a permit, or every reason why not",
            "theirs": "one policy, the receipt as entity; yes or no",
        },
    )


@benchmark("consent.decide_growth", unit="decisions/s", count=100_000)
def decide_growth(size: Size) -> Generator[Contest]:
    """Decide questions about receipts picked at random from many, each found by its id."""
    ask, many = _ask(), {each.terms.receipt: each for each in map(_receipt, range(size.count))}
    chosen = random.Random(7)  # noqa: S311  # the same receipts in each run; no secret is made of it
    names = list(many)
    asked = [chosen.choice(names) for _ in range(DECISIONS)]
    one = {names[0]: many[names[0]]}
    allowed = {name: cedar.permits(ask, many[name], now_s=NOW_S) for name in asked[:CEDAR_DECISIONS]}

    def decide_all(stored: dict[str, Receipt], wanted: list[str]) -> None:
        for name in wanted:
            decide(ask, stored.get(name), now_s=NOW_S)

    def theirs() -> None:
        for name in asked[:CEDAR_DECISIONS]:
            permits = allowed[name]
            require(permits is not None and permits(), "Cedar refuses what the receipt permits.")

    among_one = rate(DECISIONS, lambda: decide_all(one, names[:1] * DECISIONS))
    yield Contest(
        lambda: rate(DECISIONS, lambda: decide_all(many, asked)),
        "cedarpy",
        None if None in allowed.values() else lambda: rate(CEDAR_DECISIONS, theirs),
        {
            "decisions": DECISIONS,
            "their_count": CEDAR_DECISIONS,
            "stored": "receipts in memory, found by their id; theirs as entities made beforehand",
            "ours_with_one_stored": round(among_one),
        },
    )


@benchmark("consent.rule_month", unit="months/s", count=500)
def rule_month(size: Size) -> Generator[Contest]:
    """Find the answers of two rules for one subject's month: 13 visits, and 31 days of steps from two sources."""
    zone = ZoneInfo(ZONE)
    period, visits, steps = period_named(MONTH, rule=RULE, zone=zone), _visits(zone), _steps(zone)
    zones = Zones(home=zone)
    found = evaluate(RULE, visits, period=period)
    counted = counting.days_in(MONTH, visits, min_elapsed_s=RULE.day_min_elapsed_s)
    require(found.figure == counted, "The rule and the floor count other days.")
    averaged = evaluate(STEPS_RULE, steps, period=period, zones=zones)
    require(averaged.figure == counting.average_steps(steps, "watch", days=31), "The rule and the floor differ.")

    def ours() -> None:
        for _ in range(size.count):
            evaluate(RULE, visits, period=period)
            evaluate(STEPS_RULE, steps, period=period, zones=zones)

    def theirs() -> None:
        for _ in range(size.count):
            counting.days_in(MONTH, visits, min_elapsed_s=RULE.day_min_elapsed_s)
            counting.average_steps(steps, "watch", days=31)

    def alone_ms(rule: AnyRule, events: list[JourneyEvent]) -> float:
        found = rate(200, lambda: [evaluate(rule, events, period=period, zones=zones) for _ in range(200)])
        return round(1_000 / found, 3)

    yield Contest(
        lambda: rate(2 * size.count, ours),
        "a set of days, and a sum",
        lambda: rate(2 * size.count, theirs),
        {
            "visits": len(visits),
            "steps": len(steps),
            "visits_ms": alone_ms(RULE, visits),
            "steps_ms": alone_ms(STEPS_RULE, steps),
            "ours": "filtered, merged, one source a day, capped, with the reason of each that does not count",
            "theirs": "a floor: no filter, no merging, no reasons",
        },
    )


@benchmark("consent.claim_issue", unit="claims/s", count=500)
def claim_issue(size: Size) -> Generator[Contest]:
    """Issue a claim, its answer disclosed."""
    key, claim = Ed25519PrivateKey.generate(), _claim()
    peer = sd_jwts.SdJwtKey(key, key_id=KEY_ID) if sd_jwts.INSTALLED else None
    shown = claim.model_dump(mode="json", exclude_none=True)
    disclosed = {ANSWER: shown.pop(ANSWER)}

    def ours() -> None:
        for _ in range(size.count):
            issue_claim(claim, key_id=KEY_ID, private_key=key, random_bytes=secrets.token_bytes)

    def theirs(peer: sd_jwts.SdJwtKey) -> None:
        for _ in range(size.count):
            peer.issue(shown, disclosed)

    yield Contest(
        lambda: rate(size.count, ours),
        "sd-jwt",
        None if peer is None else lambda: rate(size.count, lambda: theirs(peer)),
        {
            "claims_shown": len(shown),
            "claims_disclosed": 1,
            "alg": "Ed25519",
            "ours": "in canonical JSON, its form checked",
        },
    )


@benchmark("consent.claim_verify", unit="claims/s", count=500)
def claim_verify(size: Size) -> Generator[Contest]:
    """Verify a claim with everything that can be checked without a node's state."""
    key, claim = Ed25519PrivateKey.generate(), _claim()
    peer = sd_jwts.SdJwtKey(key, key_id=KEY_ID) if sd_jwts.INSTALLED else None
    token = issue_claim(claim, key_id=KEY_ID, private_key=key, random_bytes=secrets.token_bytes)
    keys = {KEY_ID: key.public_key()}
    content = claim.model_dump(mode="json", exclude_none=True)
    require(peer is None or peer.verify(token) == content, "sd-jwt reads something else in our token.")

    def ours() -> None:
        for _ in range(size.count):
            verify_claim(token, issuer=GYM, audience=INSURER, keys=keys, now_s=NOW_S)

    def theirs(peer: sd_jwts.SdJwtKey) -> None:
        for _ in range(size.count):
            peer.verify(token)

    yield Contest(
        lambda: rate(size.count, ours),
        "sd-jwt",
        None if peer is None else lambda: rate(size.count, lambda: theirs(peer)),
        {
            "claims_disclosed": 1,
            "alg": "Ed25519",
            "ours": "signature, type, times, audience, issuer, and the form of every member",
            "theirs": "signature and disclosures; no type, time or audience",
        },
    )


def _ask() -> Ask:
    return Ask(
        issuer=GYM,
        recipient=INSURER,
        program=PROGRAM,
        program_version=1,
        purpose="dpv:PersonalisedBenefits",
        data_classes=frozenset({"visit"}),
        rung="predicate",
        events_from_s=NOW_S - 30 * 86_400,
        events_until_s=NOW_S,
    )


def _receipt(number: int) -> Receipt:
    return Receipt(_terms(number), ReceiptState.GIVEN, acknowledged=True)


def _terms(number: int) -> Terms:
    """Return terms as a node reads them: parsed from a document, so that no two receipts share their parts."""
    return parse_terms(
        {
            "receipt": _id("rcp", number),
            "version": 1,
            "issuer": GYM,
            "recipient": INSURER,
            "link": _id("lnk", number),
            "program": PROGRAM,
            "program_version": 1,
            "purposes": ["dpv:PersonalisedBenefits"],
            "data_classes": ["visit", "membership"],
            "rung": "predicate",
            "events_from_s": NOW_S - 60 * 86_400,
            "events_until_s": NOW_S + YEAR_S,
            "valid_from_s": NOW_S - 60 * 86_400,
            "valid_until_s": NOW_S + YEAR_S,
            "retention_s": YEAR_S,
            "reward": _digest("program"),
            "notice": _digest("notice"),
        }
    )


def _claim() -> Claim:
    return Claim(
        jti=_id("clm", 1),
        vct=VCT,
        iss=GYM,
        aud=INSURER,
        iat=NOW_S,
        exp=NOW_S + 30 * 86_400,
        link=_id("lnk", 1),
        receipt=_id("rcp", 1),
        program=PROGRAM,
        version=1,
        period=MONTH,
        slot=0,
        nullifier=_digest("nullifier"),
        answer=Answer(statement=RULE.statement(MONTH), value=True, assurance="turnstile"),
    )


def _visits(zone: ZoneInfo) -> list[JourneyEvent]:
    """Return 13 visits of an hour in the month."""
    first = datetime.fromisoformat(f"{MONTH}-01").replace(hour=18, tzinfo=zone)
    days = [first + timedelta(days=day) for day in range(0, 26, 2)]
    return [
        parse_event(
            "visit.ended",
            {
                "facility": "gym-7",
                "started_at": began.isoformat(),
                "ended_at": (began + timedelta(hours=1)).isoformat(),
                "time_zone": zone.key,
                "source": "turnstile",
                "assurance": "operator",
            },
            event_id=_id("evt", number),
        )
        for number, began in enumerate(days)
    ]


def _steps(zone: ZoneInfo) -> list[JourneyEvent]:
    """Return the steps of each day of the month from a watch, and of each second day from a phone as well."""
    first = datetime.fromisoformat(f"{MONTH}-01").replace(tzinfo=zone)
    days = [(first + timedelta(days=day), source) for day in range(31) for source in ("watch", "phone")[: 2 - day % 2]]
    return [
        parse_event(
            "steps.day_closed",
            {
                "started_at": began.isoformat(),
                "ended_at": (began + timedelta(days=1)).isoformat(),
                "time_zone": zone.key,
                "source": source,
                "steps": 9_000 + 100 * number,
                "manual_steps": 0,
                "assurance": "device",
            },
            event_id=_id("evt", number),
        )
        for number, (began, source) in enumerate(days)
    ]


def _id(prefix: str, number: int) -> str:
    return new_id(prefix, hashlib.sha256(f"{prefix} {number}".encode()).digest()[:16])


def _digest(text: str) -> str:
    return to_base64url(hashlib.sha256(text.encode()).digest())


BENCHMARKS = (decide_one, decide_growth, rule_month, claim_issue, claim_verify)
