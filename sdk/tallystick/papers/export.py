"""The export of everything a company's node holds about a subject: to read, to take elsewhere, and to check.

Pure. Events come opened, receipts with the notices that were shown, claims as they were signed, decisions and rewards
with their reasons; what stands in the ledger comes with its proof. Checked, it shows that each event is the one that
was committed to then, that each claim is the one that was issued or accepted, and that receipts say what the ledger
says. It does not show that it is complete, and of what has no proof in it nothing: nobody has signed the file, so that
is the word of whoever made it.

Source: GDPR articles 15 and 20, DESIGN P14, docs/erasure.md.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from tallystick.descriptor import Descriptor
from tallystick.papers.trust import (
    PaperVerdict,
    Trust,
    count,
    open_companies,
    parse_paper,
    rejected,
    require,
    sentences,
    unconfirmed,
)
from tallystick.wire import Decision, Event, Inclusion, Link, Receipt, Reward, Subject
from tallystick_consent.claims.pairwise import SECRET_SIZE_BYTES, claim_digest
from tallystick_consent.events import MEDIA_TYPE
from tallystick_consent.fields import Host, Seconds
from tallystick_consent.receipts.receipt import parse_terms
from tallystick_ledger.encoding import from_base64, from_base64url, parse_canonical_json, to_base64url
from tallystick_ledger.entry import Entry, parse_entry
from tallystick_ledger.tlog.hashing import leaf_hash
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.merkle import check_inclusion
from tallystick_ledger.vault import Opening, check_commitment

EXPORT_SIZE_MAX_BYTES = 48 * 1024 * 1024
LISTED_MAX = 100_000


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Logged(_Strict):
    """Where something stands in the company's ledger.

    Attributes:
        log: the log's name, such as `2027`.
        entry: the entry, with its proof against that log's head in the export; null where no published head covers it.
    """

    log: str
    entry: Inclusion | None


class ExportedEvent(_Strict):
    """An event, opened."""

    event: Event
    logged: Logged


class ExportedReceipt(_Strict):
    """A receipt with its notice; `logged` is the entry that made it live in the log that is written now, if any did."""

    receipt: Receipt
    logged: Logged | None


class ExportedClaim(_Strict):
    """A claim as it was signed, and what the ledger says of it.

    Attributes:
        role: which end this node is.
        token: SD-JWT VC; "" once it was dropped, with its receipt for example.
        salt: opens its digest; "" likewise.
        digest: by which ledgers name it.
        disclosure: the last step of the answer, where this node issued it.
        logged: the entry by which it was issued, or accepted.
    """

    claim: str
    role: Literal["issuer", "recipient"]
    partner: str
    program: str
    version: int
    period: str
    receipt: str
    state: str
    token: str
    salt: str
    digest: str
    disclosure: dict[str, Any] | None
    logged: Logged


class Export(_Strict):
    """The file.

    Attributes:
        host: the company that made it.
        made_at: seconds since 1970-01-01 UTC by its clock.
        events_from, events_until: which events are in it, by when they were; null: all.
        descriptors: the company's own, and those of the subject's partners, by host, compact JWS.
        heads: the published head of each log that proofs lead to, by the log's name.
    """

    v: Literal[1]
    export: Literal["subject"]
    host: Host
    subject: Subject
    made_at: Seconds
    events_from: Seconds | None
    events_until: Seconds | None
    descriptors: dict[str, str]
    heads: dict[str, str]
    links: Annotated[tuple[Link, ...], Field(max_length=LISTED_MAX)]
    receipts: Annotated[tuple[ExportedReceipt, ...], Field(max_length=LISTED_MAX)]
    claims: Annotated[tuple[ExportedClaim, ...], Field(max_length=LISTED_MAX)]
    decisions: Annotated[tuple[Decision, ...], Field(max_length=LISTED_MAX)]
    rewards: Annotated[tuple[Reward, ...], Field(max_length=LISTED_MAX)]
    events: Annotated[tuple[ExportedEvent, ...], Field(max_length=LISTED_MAX)]


def parse_export(raw: bytes) -> Export:
    """Return the export in a file, nothing of it checked.

    Raises:
        PaperRejected: it is none.
    """
    return parse_paper(raw, Export, size_max_bytes=EXPORT_SIZE_MAX_BYTES)


def check_export(export: Export, trust: Trust) -> PaperVerdict:
    """Return what an export shows, once everything in it is checked.

    Raises:
        PaperRejected: something in it is not what the ledger says.
        SignatureRejected, ProofRejected, PolicyUnmet, BadInput: something is not signed or not proven.
    """
    companies = open_companies(export.descriptors, trust)
    require(export.host in companies, "It has no descriptor of the company that made it.")
    company, _ = companies[export.host]
    ledger = _Ledger(company, {name: trust.open_head(note.encode(), company) for name, note in export.heads.items()})
    events = _Count.of(_check_event(event, export, ledger) for event in export.events)
    receipts = _Count.of(_check_receipt(receipt, ledger) for receipt in export.receipts)
    claims = _Count.of(_check_claim(claim, ledger) for claim in export.claims)
    others = (
        f"{count(len(export.links), 'link')}, {count(len(export.decisions), 'decision')} and"
        f" {count(len(export.rewards), 'reward')}"
    )
    return PaperVerdict(
        shown=sentences(
            (
                f"{count(events.proven, 'event')} and {count(claims.proven, 'claim')} of this subject stand in the"
                f" ledger of {export.host}."
                if events.proven or claims.proven
                else "",
                f"{count(receipts.proven, 'receipt')} that stood in force there, each with the notice that its terms"
                " bind."
                if receipts.proven
                else "",
            )
        ),
        told=sentences(
            (
                f"{count(events.bare, 'event')} and {count(claims.bare, 'claim')} that no head in it covers: {_WORD}."
                if events.bare or claims.bare
                else "",
                f"{count(receipts.bare, 'receipt')} that no entry in it tells of: {_WORD}." if receipts.bare else "",
                f"That it is complete: {_WORD}.",
                f"{others}, with their reasons: {_WORD}.",
                "" if trust.policy else "That anybody but the log itself has seen its heads: give --policy to ask.",
            )
        ),
        # Nothing that is shown rests on a key of a partner in it.
        unconfirmed=unconfirmed({export.host: companies[export.host]}, trust, giver=export.host),
        is_whole=not events.bare and not claims.bare,
    )


_WORD = "the word of whoever made this file"


class _Count(NamedTuple):
    """How many of a kind are proven to stand in the ledger, and how many have nothing but the file to say so."""

    proven: int
    bare: int

    @classmethod
    def of(cls, proven: Iterable[bool]) -> "_Count":
        each = list(proven)
        return cls(sum(each), len(each) - sum(each))


class _Ledger:
    """The company's logs, as far as the export has heads of them."""

    def __init__(self, company: Descriptor, heads: Mapping[str, Checkpoint]) -> None:
        self.company = company
        self._heads = heads

    def entry(self, logged: Logged) -> Entry | None:
        """Return an entry that is shown to stand where it is said to; None where nothing shows it yet."""
        if logged.entry is None:
            return None
        stated, head = logged.entry, self._heads.get(logged.log)
        if head is None or head.origin != f"{self.company.host}/log/{logged.log}" or stated.entry is None:
            raise rejected("A proof in it leads to no head in it.")
        raw = stated.entry.encode()
        hashes = [from_base64(each) for each in stated.hashes]
        check_inclusion(hashes, leaf_hash=leaf_hash(raw), index=stated.index, size=head.size, root=head.root)
        return parse_entry(raw)


def _check_event(exported: ExportedEvent, export: Export, ledger: _Ledger) -> bool:
    """Return whether the ledger is shown to hold it; so below.

    Raises:
        TallyError: it is another than it says.
    """
    event, told = exported.event, exported.event.opening
    opening = Opening(from_base64url(told.salt), from_base64url(told.payload))
    payload = parse_canonical_json(opening.payload)
    said = (payload.get("id"), payload.get("type"), payload.get("subject"), told.media_type)
    require(said == (event.event, event.type, export.subject, MEDIA_TYPE), "An event in it is another than it says.")
    entry = ledger.entry(exported.logged)
    if entry is None:
        return False
    check_commitment(
        from_base64url(str(entry.body.get("commitment"))),
        opening,
        origin=export.host,
        entry_id=event.event,
        media_type=MEDIA_TYPE,
    )
    return True


def _check_receipt(exported: ExportedReceipt, ledger: _Ledger) -> bool:
    receipt = exported.receipt
    terms = parse_terms(receipt.terms)
    require(
        (terms.receipt, terms.version, terms.notice) == (receipt.receipt, receipt.version, receipt.notice.digest()),
        "A receipt in it has other terms, or another notice.",
    )
    entry = None if exported.logged is None else ledger.entry(exported.logged)
    if entry is None or entry.kind == "opening":  # carried over a year: the opening has the terms' digest in a part
        return False
    said = (entry.kind, entry.body.get("receipt"), entry.body.get("terms"))
    require(said == ("receipt", terms.receipt, terms.digest()), "An entry in it is of another receipt.")
    # Of one that was only asked for, or refused, the entry names the same terms.
    return entry.body.get("state") in ("given", "renewed") and entry.body.get("acknowledgement") is not None


def _check_claim(exported: ExportedClaim, ledger: _Ledger) -> bool:
    if exported.token:
        salt = from_base64url(exported.salt)
        is_it = len(salt) == SECRET_SIZE_BYTES and to_base64url(claim_digest(exported.token, salt=salt))
        require(is_it == exported.digest, "A claim in it is another than its digest says.")
    entry = ledger.entry(exported.logged)
    if entry is None:
        return False
    kind = "disclosure" if exported.role == "issuer" else "acceptance"
    said = (entry.kind, entry.body.get("claim"), entry.body.get("receipt"), entry.body.get("period"))
    require(said == (kind, exported.digest, exported.receipt, exported.period), "An entry in it is of another claim.")
    return True
