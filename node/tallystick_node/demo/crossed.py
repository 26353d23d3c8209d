"""What each company learned, read from the recording alone: the same bytes that anybody between them could keep."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from tallystick_ledger.encoding import from_base64url
from tallystick_ledger.tlog.proof import parse_proof
from tallystick_node.demo.proxy import Exchange

CLAIMS = "/peer/v1/claims"


@dataclass(frozen=True, slots=True)
class CrossedClaim:
    """A claim as it crossed.

    Attributes:
        receipt, link, period: what it is about.
        statement, value, assurance: its whole answer.
        log_size: entries of its issuer's ledger at that time, those of all customers together.
        taken: whether the recipient answered that it takes it.
    """

    receipt: str
    link: str
    period: str
    statement: str
    value: bool
    assurance: str
    log_size: int
    taken: bool


def crossed_claims(exchanges: Iterable[Exchange]) -> list[CrossedClaim]:
    """Return the claims among exchanges, each attempt."""
    return [_opened(exchange) for exchange in exchanges if exchange.path == CLAIMS]


def _opened(exchange: Exchange) -> CrossedClaim:
    body = json.loads(exchange.request)
    token, *disclosures = str(body["claim"]).split("~")
    said = _json(token.split(".")[1])
    told = {name: value for _, name, value in (_json(each) for each in disclosures if each)}
    size = int(parse_proof(body["proof"].encode()).checkpoint.split(b"\n")[1])
    answer = told["answer"]
    return CrossedClaim(
        receipt=said["receipt"],
        link=said["link"],
        period=said["period"],
        statement=answer["statement"],
        value=answer["value"],
        assurance=answer["assurance"],
        log_size=size,
        taken=exchange.status == HTTPStatus.OK,
    )


def _json(coded: str) -> Any:
    return json.loads(from_base64url(coded))
