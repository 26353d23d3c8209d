"""A receipt in the words of two other standards, for those whose systems speak them: FHIR R5 Consent, and FDX consent.

Pure. An export is a copy to read, not the receipt: what proves is the signed receipt, whose digest each export names.
What a standard has no word for is refused, rather than said wrongly; nobody's name stands in either.

Source: HL7 FHIR R5 (5.0.0) Consent; FDX API 6.2.0 Consent, the form that US open banking shares; API section 6.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipts.receipt import Notice, Terms
from tallystick_consent.receipts.retention import Retention
from tallystick_consent.receipts.states import ReceiptState
from tallystick_ledger.times import DAY_S

DPV = "https://w3id.org/dpv"

_FHIR_STATUS = {
    "requested": "draft",
    "deferred": "draft",
    "given": "active",
    "renewed": "active",
    "refused": "not-done",
    "paused": "inactive",
    "withdrawn": "inactive",
    "revoked": "inactive",
    "expired": "inactive",
    "invalidated": "entered-in-error",
}

_FDX_STATUS = {
    "given": "ACTIVE",
    "renewed": "ACTIVE",
    "withdrawn": "REVOKED",
    "revoked": "REVOKED",
    "expired": "EXPIRED",
}

_FDX_CLUSTER = {
    "account": "ACCOUNT_BASIC",
    "balance": "ACCOUNT_DETAILED",
    "line": "TRANSACTIONS",
    "statement": "STATEMENTS",
}
"""Data classes that banks have too; none of the others is open banking's to describe."""

_FDX_DURATION = {"one_time": "ONE_TIME", "time_bound": "TIME_BOUND", "persistent": "PERSISTENT"}

_FHIR_RESOURCE = {"account": "Account", "facility": "Location", "source": "Device", "store": "Location"}
"""What FHIR calls each kind of resource."""

_FHIR_GRANTOR = {"guardian": "RelatedPerson", "joint": "Group", "agent": "PractitionerRole"}


@dataclass(frozen=True, slots=True)
class Exported:
    """A receipt to export.

    Attributes:
        terms: what it permits.
        notice: the words that were shown.
        state: where it is in its life.
        given_at_s: when it was given, seconds since 1970-01-01 UTC; None: not yet.
        changed_at_s: when it came into this state.
        grade: how the giving was seen, "" where nothing was given.
    """

    terms: Terms
    notice: Notice
    state: ReceiptState
    given_at_s: int | None
    changed_at_s: int
    grade: str = ""


def fhir_consent(receipt: Exported) -> dict[str, Any]:
    """Return a receipt as a FHIR R5 Consent resource.

    Raises:
        ReceiptRejected: in a state that FHIR has no word for.
    """
    terms = receipt.terms
    subject = _fhir_reference("Patient", "link", terms.link)
    grantor = subject if terms.authority is None else {"type": _FHIR_GRANTOR[terms.authority.kind], "display": "speaks"}
    consent: dict[str, Any] = {
        "resourceType": "Consent",
        "identifier": [
            {"system": _urn("receipt"), "value": f"{terms.receipt}/{terms.version}"},
            {"system": _urn("terms"), "value": terms.digest()},
            {"system": _urn("notice"), "value": terms.notice},
        ],
        "status": _word_for(receipt.state, _FHIR_STATUS, "FHIR"),
        "category": [_fhir_concept("http://loinc.org", "59284-0", "Consent Document")],
        "subject": subject,
        "period": _fhir_period(terms.valid_from_s, terms.valid_until_s),
        "grantor": [grantor],
        "grantee": [_fhir_reference("Organization", "partner", terms.recipient)],
        "controller": [_fhir_reference("Organization", "partner", terms.issuer)],
        "decision": "permit",
        "provision": [
            {
                "period": _fhir_period(terms.events_from_s, terms.events_until_s),
                "action": [
                    _fhir_concept("http://terminology.hl7.org/CodeSystem/consentaction", "disclose", "Disclose")
                ],
                "purpose": [{"system": DPV, "code": each.removeprefix("dpv:")} for each in terms.purposes],
                **_fhir_data(terms),
                "code": [{"coding": [{"system": _urn("data-class"), "code": each}]} for each in terms.data_classes],
                "extension": [
                    {"url": _urn("rung"), "valueCode": terms.rung},
                    {"url": _urn("program"), "valueString": f"{terms.program}@{terms.program_version}"},
                    {"url": _urn("retention-seconds"), "valueString": str(terms.retention_s)},
                    *(_fhir_duty(each) for each in terms.retention),
                ],
            }
        ],
        "text": {"status": "generated", "div": _narrative(receipt.notice)},
    }
    if receipt.given_at_s is not None:
        given_at = _instant(receipt.given_at_s)
        consent["date"] = given_at[:10]
        consent["verification"] = [
            {"verified": True, "verificationType": {"text": receipt.grade}, "verificationDate": [given_at]}
        ]
    return consent


def fdx_consent(receipt: Exported) -> dict[str, Any]:
    """Return a receipt as an FDX consent grant.

    Raises:
        ReceiptRejected: in a state, or over data, that FDX has no word for.
    """
    terms = receipt.terms
    if receipt.given_at_s is None:
        raise _no_word("A consent that was not given", "FDX")
    named = terms.resources or ()
    if not all(each.kind == "account" for each in named):
        raise _no_word("A resource that is no account", "FDX")
    clusters = sorted({_word_for(each, _FDX_CLUSTER, "FDX") for each in terms.data_classes})
    lookback_s = terms.valid_from_s - terms.events_from_s
    return {
        "id": terms.receipt,
        "status": _word_for(receipt.state, _FDX_STATUS, "FDX"),
        "parties": [
            {"name": terms.issuer, "type": "DATA_PROVIDER", "homeUri": f"https://{terms.issuer}"},
            {"name": terms.recipient, "type": "DATA_RECIPIENT", "homeUri": f"https://{terms.recipient}"},
        ],
        "createdTime": _instant(receipt.given_at_s),
        "updatedTime": _instant(receipt.changed_at_s),
        "expirationTime": _instant(terms.valid_until_s),
        "durationType": _FDX_DURATION[terms.limits.duration or "time_bound"],
        "durationPeriod": -(-(terms.valid_until_s - receipt.given_at_s) // DAY_S),
        "lookbackPeriod": max(0, -(-lookback_s // DAY_S)),
        "resources": [
            {"resourceType": "ACCOUNT", "resourceId": each, "dataClusters": clusters}
            for each in ([each.id for each in named] or [terms.link])
        ],
    }


def _word_for(word: str, words: Mapping[str, str], standard: str) -> str:
    if word not in words:
        raise _no_word(f"What is {word}", standard)
    return words[word]


def _no_word(what: str, standard: str) -> ReceiptRejected:
    return ReceiptRejected(
        "export_inexact", f"{what} cannot be said in {standard} as it is.", remedy="Export the signed receipt itself."
    )


def _fhir_reference(kind: str, system: str, value: str) -> dict[str, Any]:
    return {"type": kind, "identifier": {"system": _urn(system), "value": value}}


def _fhir_data(terms: Terms) -> dict[str, Any]:
    """Return what alone a provision is about; nothing where it is about all there is."""
    if terms.resources is None:
        return {}
    named = [_fhir_reference(_FHIR_RESOURCE[each.kind], "resource", each.id) for each in terms.resources]
    return {"data": [{"meaning": "instance", "reference": each} for each in named]}


def _fhir_duty(duty: Retention) -> dict[str, Any]:
    """Return what the recipient keeps, on which ground, and how many days from what on it must be gone."""
    said: dict[str, dict[str, Any]] = {
        "field": {"valueCode": duty.field},
        "ground": {"valueCode": duty.ground},
        "from": {"valueCode": "taken" if duty.field == "answers" else "end"},
        "until-days": {"valueUnsignedInt": duty.until_days},
    }
    return {"url": _urn("retention"), "extension": [{"url": name, **value} for name, value in said.items()]}


def _fhir_concept(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}]}


def _fhir_period(start_s: int, until_s: int) -> dict[str, str]:
    """Return a period; FHIR's end is inclusive, ours is not."""
    return {"start": _instant(start_s), "end": _instant(until_s - 1)}


def _narrative(notice: Notice) -> str:
    shown = "".join(f"<p>{escape(each)}</p>" for each in notice.model_dump().values())
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{shown}</div>'


def _instant(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _urn(name: str) -> str:
    return f"urn:tallystick:{name}"
