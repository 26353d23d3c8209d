"""A receipt as both companies signed it, with the words that were shown: for its subject, an auditor or an arbiter.

Pure. It holds the receipt (or its last renewal) as the company signed it where it was given, the other company's
signature over that, and the notice; once it was stopped, that too, as whoever stopped it signed it. Checked, it shows
what was permitted, in which words, and that both companies put their names to it. It does not show who the person was,
nor that consent is still in force: a later withdrawal is another object, and both ledgers tell of it.

Source: DESIGN flow 3 and section 7 (`tally verify`), CONSTRUCTIONS (keys), docs/people.md, docs/keys.md (Revoke).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple, cast

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tallystick.descriptor import Descriptor
from tallystick.papers.signed import Opened, Standing, given_up, open_signed, open_standing, vouching
from tallystick.papers.trust import (
    PaperVerdict,
    Trust,
    count,
    day_text,
    open_companies,
    parse_paper,
    rejected,
    require,
    sentences,
    unconfirmed,
)
from tallystick.wire import EntryProof, SignedToken
from tallystick_consent.claims.jws import TOKEN_SIZE_MAX_BYTES, key_id_of, typ_of, unchecked_payload
from tallystick_consent.fields import Host, Seconds, Sparse
from tallystick_consent.receipts.evidence import Evidence, check_evidence
from tallystick_consent.receipts.receipt import Notice, Terms
from tallystick_consent.replay import TIME_SLACK_S
from tallystick_consent.signed import (
    Acknowledgement,
    GivenReceipt,
    RenewedReceipt,
    SignedObject,
    Stop,
    Withdrawal,
    signed_digest,
)
from tallystick_ledger.entry import Entry
from tallystick_ledger.times import DAY_S

SIGNED_RECEIPT_SIZE_MAX_BYTES = 1024 * 1024

_SEEN = {
    "app_asserted": "the company's app vouched for who was logged in",
    "clerk": "a clerk of the company heard it, and read the answer back",
    "signed_form": "the company has a signed form on file",
}

_UNLESS: Mapping[str, str] = dict.fromkeys(("given", "renewed"), ", so nothing could be told under it")

MaybeToken = Annotated[str, Field(max_length=TOKEN_SIZE_MAX_BYTES)]
"""A `SignedToken`, or "" where there is none."""


class NamedIn(BaseModel):
    """An entry that names what is signed, with its proof, and in whose ledger it stands."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    host: Host
    logged: EntryProof


class SignedReceipt(Sparse):
    """The file.

    Attributes:
        host: the company that gave it: either of the two.
        issued_at: seconds since 1970-01-01 UTC by its clock.
        descriptors: of both companies, by host, compact JWS.
        signed: the receipt, or its last renewal, as the company signed it where it was given; compact JWS.
        acknowledgement: the other company's signature over that, compact JWS; "" while there is none.
        notice: the words that were shown.
        stop: the withdrawal or stop that came after it, as whoever stopped it signed that; compact JWS, "" for none.
        stop_acknowledgement: the other company's signature over that; "" while there is none.
        entries: of the companies' ledgers, what names any of these: where a key that signed one of them was given up
            since, the signer's own ledger shows that it is its own.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    LATER = frozenset({"stop", "stop_acknowledgement", "entries"})

    v: Literal[1] = 1
    receipt: Literal["signed"] = "signed"
    host: Host
    issued_at: Seconds
    descriptors: Annotated[dict[str, str], Field(min_length=1, max_length=2)]
    signed: SignedToken
    acknowledgement: MaybeToken = ""
    notice: Notice
    stop: MaybeToken = ""
    stop_acknowledgement: MaybeToken = ""
    entries: Annotated[tuple[NamedIn, ...], Field(max_length=4)] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the members also to who reads it, whichever are left out."""
        described = {name: value for name, value in core_schema.items() if name != "serialization"}
        return handler(cast("CoreSchema", described))


def parse_signed_receipt(raw: bytes) -> SignedReceipt:
    """Return the receipt in a file, nothing of it checked.

    Raises:
        PaperRejected: it is none.
    """
    return parse_paper(raw, SignedReceipt, size_max_bytes=SIGNED_RECEIPT_SIZE_MAX_BYTES)


def check_signed_receipt(paper: SignedReceipt, trust: Trust) -> PaperVerdict:
    """Return what a signed receipt shows, once everything in it is checked.

    What is signed under a key that was given up since is shown where the signer's own ledger names it.

    Raises:
        PaperRejected: what is in it is not of one receipt.
        SignatureRejected, ProofRejected, PolicyUnmet, BadInput, ReceiptRejected: something is not signed, not proven,
            or not of its form.
    """
    opened = open_companies(paper.descriptors, trust)
    companies = {host: company for host, (company, _) in opened.items()}
    require(paper.host in companies, "It has no descriptor of the company that gave it.")
    given = _given(paper.signed, companies)
    content, terms = given.content, given.content.terms
    both = {terms.issuer, terms.recipient}
    require(companies.keys() <= both, "It has a descriptor of a company that the receipt is not between.")
    require(terms.notice == paper.notice.digest(), "The words in it are not those that were shown.")
    check_evidence(content.evidence, terms, renews=content.renews if isinstance(content, RenewedReceipt) else "")
    parts = _Parts(terms, companies, tuple(_standing(paper, terms, companies, trust)))
    state = "renewed" if isinstance(content, RenewedReceipt) else "given"
    named = f"{terms.receipt}, version {terms.version}"
    first = f"{terms.issuer} has signed that this receipt was {state}, on {day_text(content.at)}: {named}"
    yes = _answered(parts, parts.said(given, first), paper.acknowledgement, terms.recipient, state, given.digest)
    stop = _stopped(parts, paper, since_s=content.at)
    is_shown = any(each.is_shown for each in yes)
    return PaperVerdict(
        shown=sentences(
            (
                # Whoever reads two lines must not take a receipt that was stopped for one in force.
                *(each.sentence for each in stop if each.is_shown),
                *(each.sentence for each in yes if each.is_shown),
                _GIVEN_BY.get(terms.authority.kind, "") if is_shown and terms.authority is not None else "",
                *(_permits(terms, is_over=bool(stop)) if is_shown else ()),
                f"Shown to {_shown_to(terms)}: {paper.notice.statement}" if is_shown else "",
                f"  {paper.notice.silence}" if is_shown else "",
                "A key of the person's wallet has signed these terms."
                if is_shown and content.evidence.public_key
                else "",
            )
        ),
        told=sentences(
            (
                *(each.sentence for each in (*yes, *stop) if not each.is_shown),
                _since(paper.stop),
                _how_seen(content.evidence, terms),
                "Who the person is: the two companies know it by a name that means nothing to others.",
                *(
                    f"That {host} has given up no key since {day_text(company.issued_at)}, the day of its list in it."
                    for host, company in sorted(companies.items())
                ),
            )
        ),
        unconfirmed=unconfirmed(opened, trust, giver=paper.host, by_heads=False),  # its heads cover entries alone
        is_whole=all(each.is_shown for each in (*yes, *stop)),
    )


class _Said(NamedTuple):
    """What a company has signed, a sentence, and whether it is shown that it has."""

    sentence: str
    is_shown: bool


class _Parts(NamedTuple):
    """What the objects of a paper are held against.

    Attributes:
        standing: entries that name any of them.
    """

    terms: Terms
    companies: Mapping[str, Descriptor]
    standing: Sequence[Standing]

    def signer(self, token: str, hosts: Sequence[str]) -> Descriptor:
        """Return whose key, of some companies, a token names; of none, the first, which then refuses it."""
        found = [self.companies[host] for host in hosts if host in self.companies]
        if not found:
            raise rejected("It has no descriptor of a company that signed something in it.")
        return next((each for each in found if key_id_of(token) in {key.id for key in each.keys}), found[0])

    def said(self, opened: Opened[SignedObject], sentence: str) -> _Said:
        """Return a sentence about an object, and whether it is shown."""
        if opened.given_up_s is None:
            return _Said(f"{sentence}.", is_shown=True)
        naming = [each for each in self.standing if opened.digest in _named_in(each.entry)]
        said, own = f"{sentence}{given_up(opened)}", vouching(opened, naming)
        if own is not None:
            place = f"entry {own.index}, under a head of {own.size} entries"
            return _Said(f"{said}. That it is its own, its ledger says: {place}.", is_shown=True)
        others = "".join(f" The ledger of {each.host} names it." for each in naming[:1])
        would = f"an entry of its own ledger that names {opened.digest} would show it."
        return _Said(f"That {said}: {would}{others}", is_shown=False)


def _given(token: str, companies: Mapping[str, Descriptor]) -> Opened[GivenReceipt | RenewedReceipt]:
    """Return what the company signed where the receipt was given; whose it must be, the terms in it say."""
    said = unchecked_payload(token).get("terms")
    host = cast("Mapping[str, object]", said).get("issuer") if isinstance(said, dict) else None
    issuer = companies.get(host) if isinstance(host, str) else None
    if issuer is None:
        raise rejected("It has no descriptor of the company where it was given.")
    return open_signed(token, RenewedReceipt if typ_of(token) == RenewedReceipt.TYPE else GivenReceipt, issuer)


def _standing(
    paper: SignedReceipt, terms: Terms, companies: Mapping[str, Descriptor], trust: Trust
) -> Iterator[Standing]:
    """Yield the entries in it, each of which must be of this receipt and name something in the paper."""
    tokens = (paper.signed, paper.acknowledgement, paper.stop, paper.stop_acknowledgement)
    digests = {signed_digest(token) for token in tokens if token}
    for each in paper.entries:
        require(each.host in companies, "It has an entry of a company that the receipt is not between.")
        found = open_standing(each.logged, companies[each.host], trust)
        said = (found.entry.kind, found.entry.body.get("receipt"))
        is_of_it = said == ("receipt", terms.receipt) and not digests.isdisjoint(_named_in(found.entry))
        require(is_of_it, "An entry in it is of something else.")
        yield found


def _named_in(entry: Entry) -> set[object]:
    """Return the digests of signed objects that a receipt's entry names."""
    answer = entry.body.get("acknowledgement")
    answered = cast("Mapping[str, object]", answer).get("digest") if isinstance(answer, dict) else None
    return {entry.body.get("signed"), answered}


def _answered(parts: _Parts, said: _Said, token: str, other: str, state: str, digest: str) -> list[_Said]:
    """Return what a company has said, and whether the other one has signed for it."""
    if not token:
        return [said, said._replace(sentence=f"{other} HAS NOT SIGNED FOR IT{_UNLESS.get(state, '')}.")]
    require(other in parts.companies, "It has no descriptor of the company that signed for it.")
    answer, terms = open_signed(token, Acknowledgement, parts.companies[other]), parts.terms
    content = answer.content
    require(
        (content.receipt, content.version, content.state, content.digest)
        == (terms.receipt, terms.version, state, digest),
        "The other company's signature in it is over something else.",
    )
    return [said, parts.said(answer, f"{other} has signed for it, on {day_text(content.at)}")]


def _stopped(parts: _Parts, paper: SignedReceipt, *, since_s: int) -> list[_Said]:
    """Return by whom it was stopped after that, and whether the other company has signed for it, if it was stopped."""
    token, terms = paper.stop, parts.terms
    if not token:
        require(not paper.stop_acknowledgement, "It has a signature over a stop that is not in it.")
        return []
    both = [terms.issuer, terms.recipient]
    if typ_of(token) == Withdrawal.TYPE:
        stop: Opened[Withdrawal] | Opened[Stop] = open_signed(token, Withdrawal, parts.signer(token, both[:1]))
        state = "withdrawn"
    else:
        stop = open_signed(token, Stop, parts.signer(token, both))
        state = stop.content.state
        require(state == "revoked" or stop.host == terms.issuer, "A stop in it is not that company's to make.")
    said = stop.content
    require((said.receipt, said.version) == (terms.receipt, terms.version), "A stop in it is of something else.")
    require(said.at >= since_s - TIME_SLACK_S, "A stop in it is of before that yes.")
    first = parts.said(stop, f"{stop.host} has signed that {terms.receipt} was {state}, on {day_text(said.at)}")
    (other,) = (each for each in both if each != stop.host)
    return _answered(parts, first, paper.stop_acknowledgement, other, state, stop.digest)


def _since(stop: str) -> str:
    """Return what may have come after what is in the paper; nothing comes after an ending."""
    if not stop:
        return "That it is in force: it may have been stopped since, as both ledgers would say."
    is_paused = unchecked_payload(stop).get("state") == "paused"
    return "That it is paused still: it may have been given again, as both ledgers would say." if is_paused else ""


_GIVEN_BY = {
    "guardian": "It was given in the person's place, by a guardian.",
    "joint": "It was given by as many of the joint holders as must say yes.",
    "agent": "It was given by an agent, for the company that it is about.",
}
"""Who spoke, by the kind of authority in the terms; where there is none, the person did."""


def _shown_to(terms: Terms) -> str:
    return "the person" if terms.authority is None else "whoever gave it"


def _permits(terms: Terms, *, is_over: bool) -> list[str]:
    """Return what terms permit, or permitted until they were stopped, a sentence each."""
    data, purposes = ", ".join(terms.data_classes), ", ".join(terms.purposes)
    events = f"{day_text(terms.events_from_s)} to {day_text(terms.events_until_s)}"
    kept_days = -(-terms.retention_s // DAY_S)
    named = () if terms.resources is None else (f"  about {count(len(terms.resources), 'named resource')} alone,",)
    permits = "permitted" if is_over else "permits"
    return [
        f"It {permits} {terms.issuer} to tell {terms.recipient}, for {purposes}, as a {terms.rung} at most,",
        f"  what {terms.program}@{terms.program_version} asks of {data},",
        *named,
        f"  of {events}, and until {day_text(terms.valid_until_s)}; an answer is kept for {count(kept_days, 'day')}.",
        *(
            f"  Kept besides: {each.field}, on {each.ground}, {each.until_days} days from its end."
            for each in terms.retention
            if each.field != "answers"
        ),
    ]


def _how_seen(evidence: Evidence, terms: Terms) -> str:
    said = _SEEN.get(evidence.grade)
    return "" if said is None else f"That the person said yes: {terms.issuer} says that {said}."
