"""Two ledgers of a month of journey 1, as two nodes write them: a gym's, and the insurer's that pays its members.

A month in which every member joins the program, which is when most of what an audit must hold together is written: for
each, the receipt is asked for, given and acknowledged; 13 visits; one claim issued and delivered, accepted, paid and
rewarded. Half of the entries are not events.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tallystick_consent.entries import ProgramBody, Tells
from tallystick_ledger.encoding import new_id, to_base64url
from tallystick_ledger.entry import BLIND_SIZE_BYTES, make_entry

GYM, INSURER, PROGRAM, PERIOD, ASSET = "gym.example", "insurer.example", "ins-fit", "2027-03", "USD/2"
START_S = int(datetime(2027, 3, 1, tzinfo=UTC).timestamp())
VISITS = 13
ENTRIES_A_MEMBER = 25
REWARD_MINOR, FEE_MINOR = 2_000, 100

_PREFIXES = {"receipt": "rcp", "transfer": "trf", "event": "evt", "disclosure": "dis", "acceptance": "acc"}

Body = dict[str, object]


@dataclass
class _Log:
    """A log in the making.

    Attributes:
        at_s: the time of the last entry.
        count: entries so far.
    """

    host: str
    raws: list[bytes] = field(default_factory=list[bytes])
    at_s: int = START_S

    @property
    def origin(self) -> str:
        return f"{self.host}/log/2027"

    def add(self, kind: str, body: Body, *, after_s: int = 0) -> tuple[int, str]:
        """Add an entry; return its index and id."""
        self.at_s += after_s
        entry_id = _new_id(_PREFIXES.get(kind, "ent"))
        blind = secrets.token_bytes(BLIND_SIZE_BYTES)
        self.raws.append(make_entry(kind, body, entry_id=entry_id, blind=blind, at_s=self.at_s).raw)
        return len(self.raws) - 1, entry_id


def month(members: int) -> Iterator[tuple[str, list[bytes]]]:
    """Yield the gym's log and the insurer's: the origin of each, and its entries."""
    gym, insurer = _Log(GYM), _Log(INSURER)
    program = _program(members)
    for log in (gym, insurer):
        log.add("opening", {"log": log.origin})
        log.add("program", program)
    terms = str(program["digest"])
    insurer.add("transfer", _transfer(f"funds/{PROGRAM}", _BUDGET, members * REWARD_MINOR, terms=terms))
    people = [_join(gym, insurer) for _ in range(members)]
    for _ in range(VISITS):
        for _ in range(members):
            gym.add("event", {"commitment": _digest()})
        gym.at_s += 86_400
    for person in people:
        _answer(gym, insurer, person, terms)
    for log in (gym, insurer):
        yield log.origin, log.raws


@dataclass(frozen=True)
class _Person:
    receipt: str
    link: str
    gym_leaf: int
    insurer_leaf: int


def _join(gym: _Log, insurer: _Log) -> _Person:
    """Add the receipt that is asked for, given at the gym, and signed for by the insurer."""
    receipt = _new_id("rcp")
    asked = {
        "receipt": receipt, "version": 1, "state": "requested", "issuer": GYM, "recipient": INSURER,
        "program": PROGRAM, "program_version": 1, "purposes": ["dpv:PersonalisedBenefits"],
        "data_classes": ["visit", "membership"], "rung": "predicate", "events_from": START_S,
        "events_until": START_S + 366 * 86_400, "valid_from": START_S, "valid_until": START_S + 400 * 86_400,
        "grade": "", "terms": _digest(), "signed": "", "acknowledgement": None, "deliverable": [],
    }  # fmt: skip
    given = {**asked, "state": "given", "grade": "app_asserted", "signed": _digest()}
    live = {**given, "acknowledgement": {"at": insurer.at_s, "digest": _digest()}}
    insurer.add("receipt", asked)
    gym.add("receipt", asked)
    gym.add("receipt", given)
    insurer_leaf, _ = insurer.add("receipt", live)
    gym_leaf, _ = gym.add("receipt", live)
    return _Person(receipt, _new_id("lnk"), gym_leaf, insurer_leaf)


def _answer(gym: _Log, insurer: _Log, person: _Person, terms: str) -> None:
    """Add the claim that is issued, accepted, rewarded and paid for, and its delivery."""
    insurer.at_s = max(insurer.at_s, gym.at_s)
    said = {
        "receipt": person.receipt, "purpose": "dpv:PersonalisedBenefits", "rung": "predicate", "program": PROGRAM,
        "program_version": 1, "period": PERIOD, "claim": _digest(), "nullifier": _digest(),
    }  # fmt: skip
    issued: Body = {
        **said, "receipt_leaf": person.gym_leaf, "recipient": INSURER, "use": 1, "state": "issued",
        "supersedes": "", "acceptance": "", "key": "claim-0123abcd",
    }  # fmt: skip
    leaf, _ = gym.add("disclosure", issued)
    taken: Body = {
        **said, "receipt_leaf": person.insurer_leaf, "issuer": GYM, "log": gym.origin, "disclosure_leaf": leaf,
        "key": "receipt-0123abcd",
    }  # fmt: skip
    _, cause = insurer.add("acceptance", taken)
    fee = _transfer(f"expense/fees/{PROGRAM}", f"payable/{GYM}", FEE_MINOR, terms=terms, counterparty=GYM, cause=cause)
    insurer.add("transfer", fee)
    member = f"member/{person.link}/{PROGRAM}"
    reward = _transfer(_BUDGET, member, REWARD_MINOR, terms=terms, cause=cause, unique=_digest())
    insurer.add("transfer", {**reward, "state": "reserved"})
    insurer.add("transfer", reward)
    gym.add("disclosure", {**issued, "state": "delivered", "acceptance": _digest()})
    ours = {"debit": f"receivable/{INSURER}", "credit": f"income/fees/{PROGRAM}", "counterparty": INSURER, "cause": ""}
    gym.add("transfer", {**fee, **ours})


_BUDGET = f"budget/{PROGRAM}/{PERIOD}"


def _program(members: int) -> Body:
    return ProgramBody(
        program=PROGRAM,
        program_version=1,
        digest=_digest(),
        payer=INSURER,
        purpose="dpv:PersonalisedBenefits",
        rung="predicate",
        asset=ASSET,
        reward=REWARD_MINOR,
        budget=members * REWARD_MINOR,
        tells=Tells(alone="predicate", figures=()),
    ).document()


def _transfer(debit: str, credit: str, amount_minor: int, *, terms: str, **more: str) -> Body:
    return {
        "transfer": _new_id("trf"), "state": "posted", "debit": debit, "credit": credit, "asset": ASSET,
        "amount": amount_minor, "terms": terms, "cause": "", "unique": "", "counterparty": "", **more,
    }  # fmt: skip


def _digest() -> str:
    return to_base64url(secrets.token_bytes(32))


def _new_id(prefix: str) -> str:
    return new_id(prefix, secrets.token_bytes(16))
