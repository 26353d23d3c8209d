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
from tallystick_consent.claim import ANSWER, VCT, Answer, Claim, issue_claim, verify_claim
from tallystick_consent.decide import Ask, Permit, decide
from tallystick_consent.events import JourneyEvent, parse_event
from tallystick_consent.receipt import Receipt, ReceiptState, Terms, parse_terms
from tallystick_consent.rules import Filter, VisitDays, evaluate, period_named
from tallystick_ledger.encoding import new_id, to_base64url

GYM, INSURER, PROGRAM, MONTH, ZONE = "gym.example", "insurer.example", "ins-fit", "2027-03", "America/Bogota"
NOW_S = int(datetime(2027, 4, 5, tzinfo=UTC).timestamp())
YEAR_S = 365 * 86_400
KEY_ID = "claim-1"
DECISIONS = 20_000
"""How often a turn decides, however many receipts are stored."""

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
    """Decide questions about receipts picked at random from many, against the same with one."""
    ask, many = _ask(), {each.terms.receipt: each for each in map(_receipt, range(size.count))}
    chosen = random.Random(7)  # noqa: S311  # the same receipts in each run; no secret is made of it
    names = list(many)
    asked = [chosen.choice(names) for _ in range(DECISIONS)]
    one = {names[0]: many[names[0]]}

    def decide_all(stored: dict[str, Receipt], wanted: list[str]) -> None:
        for name in wanted:
            decide(ask, stored.get(name), now_s=NOW_S)

    yield Contest(
        lambda: rate(DECISIONS, lambda: decide_all(many, asked)),
        "one stored receipt",
        lambda: rate(DECISIONS, lambda: decide_all(one, names[:1] * DECISIONS)),
        {"decisions": DECISIONS, "stored": "receipts in memory, found by their id"},
    )


@benchmark("consent.rule_month", unit="months/s", count=500)
def rule_month(size: Size) -> Generator[Contest]:
    """Find the answer of a rule for one subject's month."""
    zone = ZoneInfo(ZONE)
    period, events = period_named(MONTH, rule=RULE, zone=zone), _events(zone)
    found = evaluate(RULE, events, period=period)
    counted = counting.days_in(MONTH, events, min_elapsed_s=RULE.day_min_elapsed_s)
    require(found.figure == counted, "The rule and the floor count other days.")

    def ours() -> None:
        for _ in range(size.count):
            evaluate(RULE, events, period=period)

    def theirs() -> None:
        for _ in range(size.count):
            counting.days_in(MONTH, events, min_elapsed_s=RULE.day_min_elapsed_s)

    yield Contest(
        lambda: rate(size.count, ours),
        "a set of days",
        lambda: rate(size.count, theirs),
        {
            "events": len(events),
            "ours": "filtered, sorted, merged, with the reason of each that does not count",
            "theirs": "a floor: no filter, no merging, no reasons",
        },
    )


@benchmark("consent.claim_issue", unit="claims/s", count=500)
def claim_issue(size: Size) -> Generator[Contest]:
    """Issue a claim, its answer disclosed."""
    key, claim = Ed25519PrivateKey.generate(), _claim()
    peer = sd_jwts.SdJwtKey(key, key_id=KEY_ID) if sd_jwts.INSTALLED else None
    shown = claim.model_dump(mode="json")
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
    content = claim.model_dump(mode="json")
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


def _events(zone: ZoneInfo) -> list[JourneyEvent]:
    """Return a visit of an hour on every day of the month, and three in the days beside it, which are read as well."""
    first = datetime.fromisoformat(f"{MONTH}-01").replace(hour=18, tzinfo=zone)
    days = [first + timedelta(days=day) for day in (-2, -1, *range(31), 31)]
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


def _id(prefix: str, number: int) -> str:
    return new_id(prefix, hashlib.sha256(f"{prefix} {number}".encode()).digest()[:16])


def _digest(text: str) -> str:
    return to_base64url(hashlib.sha256(text.encode()).digest())


BENCHMARKS = (decide_one, decide_growth, rule_month, claim_issue, claim_verify)
