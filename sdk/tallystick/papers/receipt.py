"""A receipt as both companies signed it, with the words that were shown: for its subject, an auditor or an arbiter.

Pure. It holds the receipt (or its last renewal) as the company signed it where it was given, the other company's
signature over that, and the notice. Checked, it shows what was permitted, in which words, and that both companies put
their names to it. It does not show who the person was, nor that consent is still in force: a later withdrawal is
another object, and both ledgers tell of it.

Source: DESIGN flow 3 and section 7 (`tally verify`), CONSTRUCTIONS (keys), docs/people.md.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from tallystick.descriptor import Descriptor
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
from tallystick.wire import SignedToken
from tallystick_consent.claims.jws import TOKEN_SIZE_MAX_BYTES, typ_of, unchecked_payload
from tallystick_consent.fields import Host, Seconds
from tallystick_consent.receipts.evidence import Evidence, check_evidence
from tallystick_consent.receipts.receipt import Notice, Terms
from tallystick_consent.signed import Acknowledgement, GivenReceipt, RenewedReceipt, open_object, signed_digest
from tallystick_ledger.times import DAY_S

SIGNED_RECEIPT_SIZE_MAX_BYTES = 512 * 1024

_SEEN = {
    "app_asserted": "the company's app vouched for who was logged in",
    "clerk": "a clerk of the company heard it, and read the answer back",
    "signed_form": "the company has a signed form on file",
}


class SignedReceipt(BaseModel):
    """The file.

    Attributes:
        host: the company that gave it: either of the two.
        issued_at: seconds since 1970-01-01 UTC by its clock.
        descriptors: of both companies, by host, compact JWS.
        signed: the receipt, or its last renewal, as the company signed it where it was given; compact JWS.
        acknowledgement: the other company's signature over that, compact JWS; "" while there is none.
        notice: the words that were shown.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    v: Literal[1] = 1
    receipt: Literal["signed"] = "signed"
    host: Host
    issued_at: Seconds
    descriptors: Annotated[dict[str, str], Field(min_length=1, max_length=2)]
    signed: SignedToken
    acknowledgement: Annotated[str, Field(max_length=TOKEN_SIZE_MAX_BYTES)] = ""
    notice: Notice


def parse_signed_receipt(raw: bytes) -> SignedReceipt:
    """Return the receipt in a file, nothing of it checked.

    Raises:
        PaperRejected: it is none.
    """
    return parse_paper(raw, SignedReceipt, size_max_bytes=SIGNED_RECEIPT_SIZE_MAX_BYTES)


def check_signed_receipt(paper: SignedReceipt, trust: Trust) -> PaperVerdict:
    """Return what a signed receipt shows, once everything in it is checked.

    Raises:
        PaperRejected: what is in it is not of one receipt.
        SignatureRejected, BadInput, ReceiptRejected: something is not signed, or not of its form.
    """
    opened = open_companies(paper.descriptors)
    companies = {host: company for host, (company, _) in opened.items()}
    require(paper.host in companies, "It has no descriptor of the company that gave it.")
    given = _given(paper.signed, companies)
    terms, is_renewal = given.terms, isinstance(given, RenewedReceipt)
    both = {terms.issuer, terms.recipient}
    require(companies.keys() <= both, "It has a descriptor of a company that the receipt is not between.")
    require(terms.notice == paper.notice.digest(), "The words in it are not those that were shown.")
    check_evidence(given.evidence, terms, renews=given.renews if isinstance(given, RenewedReceipt) else "")
    state = "renewed" if is_renewal else "given"
    name = f"{terms.receipt}, version {terms.version}"
    return PaperVerdict(
        shown=(
            f"{terms.issuer} has signed that this receipt was {state}, on {day_text(given.at)}: {name}.",
            _acknowledged(paper, terms, state, companies),
            *_permits(terms),
            f"Shown to the person: {paper.notice.statement}",
            f"  {paper.notice.silence}",
            *(("A key of the person's wallet has signed these terms.",) if given.evidence.public_key else ()),
        ),
        told=sentences(
            (
                "That it is in force: it may have been stopped since, as both ledgers would say.",
                _how_seen(given.evidence, terms),
                "Who the person is: the two companies know it by a name that means nothing to others.",
            )
        ),
        unconfirmed=unconfirmed(opened, trust, giver=paper.host, by_heads=False),  # there is no head in it
    )


def _given(token: str, companies: Mapping[str, Descriptor]) -> GivenReceipt | RenewedReceipt:
    """Return what the company signed where the receipt was given; whose it must be, the terms in it say."""
    said = unchecked_payload(token).get("terms")
    host = cast("Mapping[str, object]", said).get("issuer") if isinstance(said, dict) else None
    issuer = companies.get(host) if isinstance(host, str) else None
    if issuer is None:
        raise rejected("It has no descriptor of the company where it was given.")
    keys = issuer.ed25519("receipt")
    if typ_of(token) == RenewedReceipt.TYPE:
        return open_object(token, RenewedReceipt, keys=keys)
    return open_object(token, GivenReceipt, keys=keys)


def _acknowledged(paper: SignedReceipt, terms: Terms, state: str, companies: Mapping[str, Descriptor]) -> str:
    """Return whether the recipient has signed for the receipt, a sentence."""
    if not paper.acknowledgement:
        return f"{terms.recipient} HAS NOT SIGNED FOR IT, so nothing could be told under it."
    require(terms.recipient in companies, "It has no descriptor of the company that signed for it.")
    answer = open_object(paper.acknowledgement, Acknowledgement, keys=companies[terms.recipient].ed25519("receipt"))
    require(
        (answer.receipt, answer.version, answer.state, answer.digest)
        == (terms.receipt, terms.version, state, signed_digest(paper.signed)),
        "The other company's signature in it is over something else.",
    )
    return f"{terms.recipient} has signed for it, on {day_text(answer.at)}."


def _permits(terms: Terms) -> list[str]:
    """Return what terms permit, a sentence each."""
    data, purposes = ", ".join(terms.data_classes), ", ".join(terms.purposes)
    events = f"{day_text(terms.events_from_s)} to {day_text(terms.events_until_s)}"
    kept_days = -(-terms.retention_s // DAY_S)
    named = () if terms.resources is None else (f"  about {count(len(terms.resources), 'named resource')} alone,",)
    return [
        f"It permits {terms.issuer} to tell {terms.recipient}, for {purposes}, as a {terms.rung} at most,",
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
