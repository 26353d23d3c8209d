"""One month of one journey in two ledgers: a gym answers an insurer about a member, who is rewarded for it.

Every test takes a fresh story, makes one entry of it wrong, and looks which rule says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from logs import digest, entry_of, identifier

from tallystick_consent.entries import receipt_body
from tallystick_consent.receipts.receipt import Terms
from tallystick_ledger.books import Transfer, TransferState
from tallystick_ledger.entry import Entry

GYM, INSURER = "gym.example", "insurer.example"
PROGRAM, PERIOD, ASSET = "ins-fit", "2027-03", "USD/2"
BUDGET_MINOR, REWARD_MINOR, FEE_MINOR = 10_000, 2_000, 100
BUDGET = f"budget/{PROGRAM}/{PERIOD}"
MEMBER = f"member/{identifier('lnk', 'ana')}/{PROGRAM}"
START_S = int(datetime(2027, 4, 2, tzinfo=UTC).timestamp())

TERMS = Terms(
    receipt=identifier("rcp", "ana"),
    version=1,
    issuer=GYM,
    recipient=INSURER,
    link=identifier("lnk", "ana"),
    program=PROGRAM,
    program_version=1,
    purposes=("dpv:PersonalisedBenefits",),
    data_classes=("visit",),
    rung="predicate",
    events_from_s=int(datetime(2027, 3, 1, tzinfo=UTC).timestamp()),
    events_until_s=int(datetime(2028, 3, 1, tzinfo=UTC).timestamp()),
    valid_from_s=START_S - 86_400,
    valid_until_s=START_S + 365 * 86_400,
    retention_s=86_400,
    reward=digest("program"),
    notice=digest("notice"),
)

UNSIGNED = ("requested", "deferred", "refused", "expired")
"""Steps of a receipt that nobody signs."""


@dataclass
class Draft:
    """An entry that is not written yet, so that a test can still spoil it."""

    name: str
    kind: str
    body: dict[str, object]
    at_s: int


@dataclass
class Ledger:
    """The entries of one partner's log of 2027, by name."""

    host: str
    drafts: list[Draft] = field(default_factory=list[Draft])

    @property
    def origin(self) -> str:
        return f"{self.host}/log/2027"

    def __getitem__(self, name: str) -> Draft:
        return self.drafts[self.index(name)]

    def index(self, name: str) -> int:
        return next(at for at, draft in enumerate(self.drafts) if draft.name == name)

    def entry_id(self, name: str) -> str:
        return self._entry(self[name]).id

    def add(self, name: str, kind: str, body: dict[str, object], *, after: str | None = None) -> None:
        """Add an entry at the end, or behind the one named `after`."""
        at = len(self.drafts) if after is None else self.index(after) + 1
        self.drafts.insert(at, Draft(name, kind, body, START_S + at))

    def again(self, name: str, **changes: object) -> None:
        """Add the entry `name` once more at the end, changed."""
        draft = self[name]
        self.add(f"{name} again", draft.kind, {**draft.body, **changes})

    def spoil(self, name: str, **changes: object) -> None:
        self[name].body.update(changes)

    def cut(self, name: str) -> None:
        """Drop every entry behind the one named."""
        del self.drafts[self.index(name) + 1 :]

    def entries(self) -> list[Entry]:
        return [self._entry(draft) for draft in self.drafts]

    def raws(self) -> list[bytes]:
        return [entry.raw for entry in self.entries()]

    def _entry(self, draft: Draft) -> Entry:
        return entry_of(draft.kind, draft.body, name=f"{self.host} {draft.name}", at_s=draft.at_s)


def transfer(name: str, debit: str, credit: str, amount_minor: int, **more: str) -> dict[str, object]:
    """Return the body of a posted transfer, under the terms of the program."""
    terms, transfer_id = digest("program"), identifier("trf", name)
    return Transfer(
        transfer_id, TransferState.POSTED, debit, credit, ASSET, amount_minor, terms, **more
    ).body()  # fmt: skip


def program(name: str = PROGRAM, *, cuts: Sequence[int] = (12,)) -> dict[str, object]:
    """Return the body of a version of a program that asks whether a month's days of visits reach `cuts`."""
    visits = {"data_class": "visit", "figure": digest("days of visits in a month"), "cuts": list(cuts)}
    return {
        "program": name,
        "program_version": 1,
        "digest": digest("program"),
        "payer": INSURER,
        "purpose": "dpv:PersonalisedBenefits",
        "rung": "predicate",
        "asset": ASSET,
        "reward": REWARD_MINOR,
        "budget": BUDGET_MINOR,
        "tells": {"alone": "predicate", "figures": [visits]},
    }


def receipt(
    state: str, *, acknowledged: bool = False, deliverable: Sequence[str] = (), terms: Terms = TERMS
) -> dict[str, object]:
    body = receipt_body(
        terms,
        state,
        grade="app_asserted" if state in ("given", "renewed") else "",
        signed="" if state in UNSIGNED else digest(f"signed {state}"),
        deliverable=tuple(deliverable),
    ).document()
    return {**body, "acknowledgement": {"at": START_S, "digest": digest("acknowledgement")}} if acknowledged else body


def answer(claim: str) -> dict[str, object]:
    """Return what a disclosure and its acceptance both say."""
    return {
        "receipt": TERMS.receipt,
        "purpose": "dpv:PersonalisedBenefits",
        "rung": "predicate",
        "program": PROGRAM,
        "program_version": 1,
        "period": PERIOD,
        "claim": digest(f"claim {claim}"),
        "nullifier": digest(f"nullifier {claim}"),
    }


def disclosure(claim: str, state: str, *, receipt_leaf: int, use: int = 1) -> dict[str, object]:
    acceptance = digest(f"acceptance {claim}") if state == "delivered" else ""
    more = {"state": state, "recipient": INSURER, "receipt_leaf": receipt_leaf, "use": use}
    return {**answer(claim), **more, "supersedes": "", "acceptance": acceptance}


def acceptance(claim: str, *, receipt_leaf: int, disclosure_leaf: int) -> dict[str, object]:
    log = {"issuer": GYM, "log": f"{GYM}/log/2027", "disclosure_leaf": disclosure_leaf}
    return {**answer(claim), **log, "receipt_leaf": receipt_leaf}


def reward(name: str, cause: str, *, unique: str) -> dict[str, object]:
    return transfer(name, BUDGET, MEMBER, REWARD_MINOR, cause=cause, unique=digest(unique))


def erasure(state: str, *, of: str = "ana", origin: str = GYM, partner: str = INSURER) -> dict[str, object]:
    """Return the body of a step of an erasure that Ana asked `origin` for."""
    attested = {"at": START_S, "digest": digest("attestation")} if state == "attested" else None
    receipts = [TERMS.receipt] if of == "ana" else []
    return {
        "erasure": identifier("era", of),
        "state": state,
        "origin": origin,
        "partner": partner,
        "receipts": receipts,
        "request": digest(f"request {of}"),
        "attestation": attested,
    }


def erase(gym: Ledger, insurer: Ledger) -> None:
    """Ana asks the gym to erase her, at the end of the story; the insurer attests to its part."""
    gym.add("withdrawn", "receipt", receipt("withdrawn"))
    gym.add("erased", "erasure", erasure("erased"))
    gym.add("withdrawal acknowledged", "receipt", receipt("withdrawn", acknowledged=True))
    insurer.add("withdrawn", "receipt", receipt("withdrawn", acknowledged=True))
    insurer.add("attested", "erasure", erasure("attested"))
    gym.add("attested", "erasure", erasure("attested"))


def tell() -> tuple[Ledger, Ledger]:
    """Return the gym's ledger and the insurer's: all is well in both, and they agree."""
    gym, insurer = Ledger(GYM), Ledger(INSURER)
    gym.add("opening", "opening", {"log": gym.origin})
    gym.add("visit", "event", {"commitment": digest("visit")})
    gym.add("program", "program", program())
    gym.add("requested", "receipt", receipt("requested"))
    gym.add("given", "receipt", receipt("given"))
    gym.add("live", "receipt", receipt("given", acknowledged=True))
    gym.add("issued", "disclosure", disclosure("march", "issued", receipt_leaf=gym.index("live")))
    gym.add("delivered", "disclosure", disclosure("march", "delivered", receipt_leaf=gym.index("live")))

    insurer.add("opening", "opening", {"log": insurer.origin})
    insurer.add("program", "program", program())
    insurer.add("funding", "transfer", transfer("funding", f"funds/{PROGRAM}", BUDGET, BUDGET_MINOR))
    insurer.add("requested", "receipt", receipt("requested"))
    insurer.add("live", "receipt", receipt("given", acknowledged=True))
    leaves = {"receipt_leaf": insurer.index("live"), "disclosure_leaf": gym.index("issued")}
    insurer.add("accepted", "acceptance", acceptance("march", **leaves))
    insurer.add("reward", "transfer", reward("reward", insurer.entry_id("accepted"), unique="ana march"))
    add_fee(gym, insurer, "accepted")
    return gym, insurer


def add_fee(gym: Ledger, insurer: Ledger, accepted: str) -> None:
    """Add both halves of the fee for an accepted claim."""
    paid = {"cause": insurer.entry_id(accepted), "counterparty": GYM}
    owed = {"counterparty": INSURER}
    insurer.add("fee", "transfer", transfer("fee", f"expense/fees/{PROGRAM}", f"payable/{GYM}", FEE_MINOR, **paid))
    gym.add("fee", "transfer", transfer("fee", f"receivable/{INSURER}", f"income/fees/{PROGRAM}", FEE_MINOR, **owed))
