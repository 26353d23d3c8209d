"""The certificate of an erasure: that a company's ledger says so, link by link, and what each partner answered.

Pure. It holds the signed request to each partner, the ledger entry of it with its proof against a published head, the
partner's signed answer, and the entry of that. Checked, it shows that these stand in a ledger that cannot take them
back, and in whose name they are signed. It does not show that a key was destroyed, that no copy was made before, or
that the subject had no other link: for these there are only the companies' words, which the certificate lets anybody
hold against them.

Source: DESIGN flow 8 and P9, docs/erasure.md.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from tallystick.descriptor import Descriptor
from tallystick.papers.signed import Standing, given_up, open_signed, open_standing
from tallystick.papers.trust import (
    PaperVerdict,
    Trust,
    count,
    day_text,
    open_companies,
    parse_paper,
    require,
    sentences,
    unconfirmed,
)
from tallystick.wire import EntryProof, SignedToken
from tallystick_consent.claims.jws import TOKEN_SIZE_MAX_BYTES
from tallystick_consent.entries import ErasureBody, Signature, erasure_body
from tallystick_consent.erasure import ErasureAttestation, ErasureRequest
from tallystick_consent.fields import Host, Seconds

CERTIFICATE_SIZE_MAX_BYTES = 16 * 1024 * 1024
LINKS_MAX = 1_000

_FATES = {"erased": "erased", "kept": "kept", "none": "nothing there when it was asked"}
_GROUNDS = {
    "legal_obligation": "since a law obliges it to",
    "legal_claims": "for legal claims",
    "own_customer": "since it is about its own customer, who has not asked it",
}


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class CertifiedLink(_Strict):
    """One link that was erased.

    Attributes:
        request: what was asked of the partner, compact JWS.
        erased: the ledger entry that says so.
        attestation: the partner's answer, compact JWS; "" while there is none.
        attested: the ledger entry that tells of the answer; null while there is none.
    """

    request: SignedToken
    erased: EntryProof
    attestation: Annotated[str, Field(max_length=TOKEN_SIZE_MAX_BYTES)] = ""
    attested: EntryProof | None = None


class Certificate(_Strict):
    """The file.

    Attributes:
        host: the company where the subject asked.
        issued_at: seconds since 1970-01-01 UTC by its clock.
        descriptors: that company's and its partners', by host, compact JWS.
    """

    v: Literal[1] = 1
    certificate: Literal["erasure"] = "erasure"
    host: Host
    issued_at: Seconds
    descriptors: Annotated[dict[str, str], Field(min_length=1, max_length=LINKS_MAX + 1)]
    links: Annotated[tuple[CertifiedLink, ...], Field(min_length=1, max_length=LINKS_MAX)]


def parse_certificate(raw: bytes) -> Certificate:
    """Return the certificate in a file, nothing of it checked.

    Raises:
        PaperRejected: it is none.
    """
    return parse_paper(raw, Certificate, size_max_bytes=CERTIFICATE_SIZE_MAX_BYTES)


def check_certificate(certificate: Certificate, trust: Trust) -> PaperVerdict:
    """Return what a certificate shows, once everything in it is checked.

    Raises:
        PaperRejected: a request, an entry and an answer are not of one erasure, or of others than it says.
        SignatureRejected, ProofRejected, PolicyUnmet, BadInput: something is not signed or not proven.
    """
    companies = open_companies(certificate.descriptors, trust)
    require(certificate.host in companies, "It has no descriptor of the company that gave it.")
    told = [_check_link(each, certificate.host, companies, trust) for each in certificate.links]
    require(len({link.erasure for link in told}) == len(told), "It has one erasure twice.")
    links = count(len(told), "link")
    return PaperVerdict(
        shown=(
            f"The ledger of {certificate.host} says that the subject of {links} was erased there.",
            *(line for link in told for line in link.shown),
        ),
        told=sentences(
            (
                *(line for link in told for line in link.unshown),
                f"That keys and rows are gone, at {certificate.host} and where it was attested: each company's word.",
                "That no copy was made before, and that the subject had no other link with a partner.",
                ""
                if trust.policy
                else "That anybody but the log itself has seen its heads: give --policy to ask for it.",
            )
        ),
        unconfirmed=unconfirmed(companies, trust, giver=certificate.host),
        is_whole=not any(link.unshown for link in told),
    )


class _Link(NamedTuple):
    """What one link shows, a sentence each, and what it does not: an answer under a key that was given up since."""

    erasure: str
    shown: list[str]
    unshown: list[str]


def _check_link(link: CertifiedLink, host: str, companies: Mapping[str, tuple[Descriptor, str]], trust: Trust) -> _Link:
    """Return what one link shows."""
    company, _ = companies[host]
    opened = open_signed(link.request, ErasureRequest, company)
    request = opened.content
    require(request.origin == host, "A request in it is another company's.")
    erased = _check_logged(link.erased, erasure_body(request, signed=opened.digest), company, trust)
    said = f"{request.partner} was asked; entry {erased.index}, under a head of {erased.size} entries."
    found = _Link(request.erasure, [said], [])
    if not link.attestation or link.attested is None:
        found.shown.append(f"{request.partner} has not answered.")
        return found
    require(request.partner in companies, "It has no descriptor of a partner whose answer it holds.")
    partner, _ = companies[request.partner]
    attestation = open_signed(link.attestation, ErasureAttestation, partner)
    answer = attestation.content
    require(
        (answer.erasure, answer.partner, answer.request) == (request.erasure, request.partner, opened.digest),
        "An answer in it is to something else.",
    )
    attested = Signature(at=answer.at, digest=attestation.digest)
    _check_logged(link.attested, erasure_body(request, signed=opened.digest, attestation=attested), company, trust)
    if attestation.given_up_s is None:
        found.shown.extend(_answered(answer))
    else:
        said = f"That {answer.partner} has signed this{given_up(attestation)}"
        found.unshown.append(f"{said}: of the two ledgers only that of {host} is in it, and names it:")
        found.unshown.extend(_answered(answer))
    return found


def _check_logged(stated: EntryProof, body: ErasureBody, company: Descriptor, trust: Trust) -> Standing:
    """Return the entry of just this body, once it is shown to stand."""
    found = open_standing(stated, company, trust)
    is_it = found.entry.kind == "erasure" and dict(found.entry.body) == body.document()
    require(is_it, "An entry in it is of something else than this erasure.")
    return found


def _answered(answer: ErasureAttestation) -> list[str]:
    lines = [f"{answer.partner} answered, and signed:"]
    for each in answer.fields:
        kept = "" if each.ground is None else f" {_GROUNDS[each.ground]}"
        until = "" if each.until is None else f", until {day_text(each.until)}"
        lines.append(f"  {each.field.replace('_', ' ')}: {_FATES[each.fate]}{kept}{until}")
    return lines
