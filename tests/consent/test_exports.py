"""Receipts in the words of FHIR and of open banking, each read back by a schema that somebody else wrote."""

import json
from dataclasses import replace
from typing import Any

import pytest
from story import TERMS

from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipts.exports import Exported, fdx_consent, fhir_consent
from tallystick_consent.receipts.receipt import Notice, parse_terms
from tallystick_consent.receipts.resources import Resource
from tallystick_consent.receipts.states import ReceiptState
from tallystick_consent.receipts.versions import picked

NOTICE = Notice(statement="Whether you trained <12 days>.", example="yes", silence="no", hidden="when", reward="$20")
GIVEN_AT_S = TERMS.valid_from_s + 60
AT_BANK = parse_terms({**TERMS.document(), "data_classes": ["line", "balance"], "notice": NOTICE.digest()})
GIVEN = Exported(AT_BANK, NOTICE, ReceiptState.GIVEN, GIVEN_AT_S, GIVEN_AT_S, grade="wallet_key")
GUARDIANS = parse_terms({**AT_BANK.document(), "authority": {"kind": "guardian"}})


ACCOUNTS = tuple(Resource(kind="account", id=f"res_{letter * 26}") for letter in "ab")
OF_ACCOUNTS = picked(AT_BANK, ACCOUNTS)


def in_state(state: ReceiptState) -> Exported:
    waits = state in ("requested", "deferred", "refused")
    return replace(GIVEN, state=state, given_at_s=None if waits else GIVEN_AT_S)


def read_by_fhir(told: dict[str, Any]) -> Any:
    """Read a Consent by the models made from FHIR R5, and hold every code to those that its value set has."""
    read = pytest.importorskip("fhir.resources.consent").Consent.model_validate_json(json.dumps(told))
    require_codes(read)
    return read


def require_codes(read: Any) -> None:
    for name, field in type(read).model_fields.items():
        there = getattr(read, name, None)
        codes = (field.json_schema_extra or {}).get("enum_values")
        for each in there if isinstance(there, list) else [there]:
            if each is not None and codes and isinstance(each, str) and each not in codes:
                raise ValueError(f"{name} has no {each}")
            if hasattr(type(each), "model_fields"):
                require_codes(each)


@pytest.mark.parametrize("state", [each for each in ReceiptState if each != "unknown"])
def test_every_state_is_a_consent_that_fhir_takes(state: ReceiptState) -> None:
    told = fhir_consent(in_state(state))
    assert json.loads(read_by_fhir(told).model_dump_json()) == told


@pytest.mark.parametrize("terms", [TERMS, AT_BANK, GUARDIANS, OF_ACCOUNTS])
def test_fhir_reads_who_what_why_and_until_when(terms: Any) -> None:
    read = read_by_fhir(fhir_consent(replace(GIVEN, terms=terms)))
    (rule,) = read.provision
    assert read.status == "active"
    assert (read.grantee[0].identifier.value, read.controller[0].identifier.value) == (terms.recipient, terms.issuer)
    assert [each.code for each in rule.purpose] == ["PersonalisedBenefits"]
    assert [each.coding[0].code for each in rule.code] == list(terms.data_classes)
    assert int(read.period.start.timestamp()) == terms.valid_from_s
    assert int(read.period.end.timestamp()) == terms.valid_until_s - 1
    assert (int(rule.period.start.timestamp()), int(rule.period.end.timestamp())) == (
        terms.events_from_s,
        terms.events_until_s - 1,
    )
    assert read.verification[0].verificationType.text == "wallet_key"
    assert {each.value for each in read.identifier} >= {terms.digest(), terms.notice}
    alone = [(each.reference.type, each.reference.identifier.value) for each in rule.data or ()]
    assert alone == [("Account", each.id) for each in terms.resources or ()]
    assert read.grantor[0].type == ("Patient" if terms.authority is None else "RelatedPerson")


def test_fhir_reads_what_the_recipient_keeps_why_and_until_when() -> None:
    kept = [
        {"field": "answers", "ground": "consent", "until_days": TERMS.retention_s // 86_400},
        {"field": "evidence", "ground": "legal_claims", "until_days": 0},
        {"field": "accounting", "ground": "legal_obligation", "until_days": 3_660},
    ]
    terms = parse_terms({**AT_BANK.document(), "retention": kept})
    (rule,) = read_by_fhir(fhir_consent(replace(GIVEN, terms=terms))).provision
    duties = [each for each in rule.extension if each.url == "urn:tallystick:retention"]
    read = [{part.url: part.valueCode or part.valueUnsignedInt for part in each.extension} for each in duties]
    assert read == [
        {"field": "answers", "ground": "consent", "from": "taken", "until-days": kept[0]["until_days"]},
        {"field": "evidence", "ground": "legal_claims", "from": "end", "until-days": 0},
        {"field": "accounting", "ground": "legal_obligation", "from": "end", "until-days": 3_660},
    ]


def test_the_notice_stands_in_the_narrative_word_for_word_and_escaped() -> None:
    div = fhir_consent(GIVEN)["text"]["div"]
    assert "<p>Whether you trained &lt;12 days&gt;.</p>" in div


def test_fhir_would_refuse_what_it_has_no_word_for() -> None:
    """The oracle is one: what we would say wrongly, it does not take."""
    for spoilt in ({"status": "withdrawn"}, {"decision": "maybe"}, {"period": {"start": "soon"}}, {"rung": "raw"}):
        with pytest.raises(ValueError, match=r"status has|decision has|period\.start|rung"):
            read_by_fhir({**fhir_consent(GIVEN), **spoilt})


def read_by_fdx(told: dict[str, Any]) -> Any:
    """Read a consent grant by the models made from FDX 6.2.0, and hold it to what they name."""
    pytest.importorskip("fdxapi.models.consent_grant_entity")
    from fdxapi.models.consent_duration_type import ConsentDurationType
    from fdxapi.models.consent_grant_entity import ConsentGrantEntity
    from fdxapi.models.consent_grant_status_3 import ConsentGrantStatus3
    from fdxapi.models.consent_resource_type_3 import ConsentResourceType3
    from fdxapi.models.data_cluster import DataCluster
    from fdxapi.models.party_type import PartyType

    read = ConsentGrantEntity.from_dictionary(told)
    named = [(read.status, ConsentGrantStatus3), (read.duration_type, ConsentDurationType)]
    named += [(each.mtype, PartyType) for each in read.parties]
    named += [(each.resource_type, ConsentResourceType3) for each in read.resources]
    named += [(cluster, DataCluster) for each in read.resources for cluster in each.data_clusters]
    for word, enum in named:
        assert word == getattr(enum, word, None), f"{enum.__name__} has no {word}"
    for part in (read, *read.parties, *read.resources):
        assert part.additional_properties == {}, "FDX knows no such member"
    assert all(each.name for each in read.parties)
    assert all(each.resource_id for each in read.resources)
    return read


@pytest.mark.parametrize(("state", "word"), [("given", "ACTIVE"), ("withdrawn", "REVOKED"), ("expired", "EXPIRED")])
def test_open_banking_reads_who_what_and_until_when(state: str, word: str) -> None:
    read = read_by_fdx(fdx_consent(in_state(ReceiptState(state))))
    assert (read.id, read.status, read.duration_type) == (AT_BANK.receipt, word, "TIME_BOUND")
    assert [(each.mtype, each.name) for each in read.parties] == [
        ("DATA_PROVIDER", AT_BANK.issuer),
        ("DATA_RECIPIENT", AT_BANK.recipient),
    ]
    assert int(read.expiration_time.datetime.timestamp()) == AT_BANK.valid_until_s
    assert int(read.created_time.datetime.timestamp()) == GIVEN_AT_S
    assert (read.duration_period, read.lookback_period) == (366, 31)
    assert read.resources[0].data_clusters == ["ACCOUNT_DETAILED", "TRANSACTIONS"]


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        ({}, "TIME_BOUND"),
        ({"duration": "time_bound"}, "TIME_BOUND"),
        ({"duration": "one_time", "uses_max": 1}, "ONE_TIME"),
        ({"duration": "persistent", "reconfirm_days": 90}, "PERSISTENT"),
    ],
)
def test_open_banking_reads_how_long_consent_lasts_in_its_own_words(limits: dict[str, Any], word: str) -> None:
    terms = parse_terms({**AT_BANK.document(), "limits": limits})
    assert read_by_fdx(fdx_consent(replace(GIVEN, terms=terms))).duration_type == word


def test_open_banking_reads_of_which_accounts() -> None:
    read = read_by_fdx(fdx_consent(replace(GIVEN, terms=OF_ACCOUNTS)))
    assert [each.resource_id for each in read.resources] == [each.id for each in ACCOUNTS]
    assert {each.resource_type for each in read.resources} == {"ACCOUNT"}
    assert [each.data_clusters for each in read.resources] == [["ACCOUNT_DETAILED", "TRANSACTIONS"]] * 2
    assert [each.resource_id for each in read_by_fdx(fdx_consent(GIVEN)).resources] == [AT_BANK.link]


@pytest.mark.parametrize(
    "receipt",
    [
        replace(GIVEN, terms=picked(AT_BANK, [Resource(kind="store", id=ACCOUNTS[0].id)])),  # a store is no account
        in_state(ReceiptState.REQUESTED),
        in_state(ReceiptState.REFUSED),
        *(replace(GIVEN, state=each) for each in ReceiptState if each in ("paused", "invalidated")),
        replace(GIVEN, terms=TERMS),  # visits are no bank's
        replace(GIVEN, state=ReceiptState.REQUESTED),
    ],
)
def test_what_open_banking_has_no_word_for_is_refused(receipt: Exported) -> None:
    with pytest.raises(ReceiptRejected) as refused:
        fdx_consent(receipt)
    assert refused.value.code == "export_inexact"
