"""A stand-in for the other end of the wire: in as little code as speaks it, with a real log and real keys.

It is honest unless a test makes it lie, and then it lies well: every proof it gives is one that its own log signed.
"""

import json
from collections.abc import Callable
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from tallystick.core import Answer
from tallystick.descriptor import Descriptor, fingerprint, public_key, sign_descriptor
from tallystick_consent.entries import receipt_body
from tallystick_consent.events import MEDIA_TYPE
from tallystick_consent.program import parse_program
from tallystick_consent.receipts.receipt import Notice, Terms, parse_terms
from tallystick_ledger.append import plan_append
from tallystick_ledger.encoding import canonical_json, new_id, to_base64url
from tallystick_ledger.entry import make_entry
from tallystick_ledger.tlog.checkpoint import Checkpoint
from tallystick_ledger.tlog.merkle import Frontier
from tallystick_ledger.tlog.note import NoteSigner, sign_note
from tallystick_ledger.tlog.proof import InclusionProof
from tallystick_ledger.vault import Opening, commit

HOST = "gym.example"
ORIGIN = "gym.example/log/2027"
NOW_S = 1_804_100_000
KEYS = {
    role: Ed25519PrivateKey.from_private_bytes(role.encode().ljust(32, b"."))
    for role in ("identity", "log", "receipt", "http")
}
LOG_PQ = MLDSA44PrivateKey.from_seed_bytes(b"Q" * 32)
LOG_SIGNER = NoteSigner(ORIGIN, KEYS["log"])

DESCRIPTOR = Descriptor(
    v=1,
    host=HOST,
    url="https://node.gym.example",
    livemode=False,
    issued_at=NOW_S,
    keys=(
        *(public_key(role, key.public_key().public_bytes_raw(), from_s=0) for role, key in KEYS.items()),
        public_key("log-pq", LOG_PQ.public_key().public_bytes_raw(), from_s=0),
    ),
)
FINGERPRINT = fingerprint(KEYS["identity"].public_key().public_bytes_raw())

RECEIPT = new_id("rcp", b"r" * 16)
LINK = new_id("lnk", b"l" * 16)
SUBJECT = "member-17"
VISIT = {
    "facility": "north-2",
    "started_at": "2027-03-05T18:02:00-05:00",
    "ended_at": "2027-03-05T19:02:00-05:00",
    "time_zone": "America/New_York",
    "source": "turnstile",
    "assurance": "operator",
}
NOTICE = {
    "statement": "May the gym tell the insurer whether you trained on 12 days of a month?",
    "example": "12 days or more in March: yes",
    "silence": "No answer may mean fewer days.",
    "hidden": "When, where and how often you trained.",
    "reward": "10 USD off the next month.",
}
PROGRAM: dict[str, Any] = {
    "program": "walkers",
    "version": 1,
    "title": "Twelve days a month",
    "payer": "insurer.example",
    "issuers": [HOST],
    "purpose": "dpv:ServiceProvision",
    "rung": "predicate",
    "data_classes": ["visit"],
    "rule": {
        "events": "visit.ended",
        "where": [],
        "merge_within_s": 1800,
        "day_basis": "facility_local",
        "day_min_elapsed_s": 1800,
        "measure": "qualified_days",
        "at_least": 12,
        "period": "calendar_month",
        "zone": "America/New_York",
        "close_day": 5,
        "requires_active": None,
    },
    "claim_valid_days": 30,
    "consent_days": 365,
    "retention_days": 90,
    "reward": {"asset": "USD/2", "amount": 1000},
    "budget": {"asset": "USD/2", "amount": 100_000},
    "fee": None,
    "notice": NOTICE,
}


def terms(**changes: object) -> Terms:
    """The terms of the receipt, with members changed."""
    return parse_terms(
        {
            "receipt": RECEIPT,
            "version": 1,
            "issuer": HOST,
            "recipient": "insurer.example",
            "link": LINK,
            "program": "walkers",
            "program_version": 1,
            "purposes": ["dpv:ServiceProvision"],
            "data_classes": ["visit"],
            "rung": "predicate",
            "events_from_s": NOW_S,
            "events_until_s": NOW_S + 1000,
            "valid_from_s": NOW_S,
            "valid_until_s": NOW_S + 1000,
            "retention_s": 1000,
            "reward": "d" * 43,
            "notice": Notice.model_validate(NOTICE).digest(),
            **changes,
        }
    )


class Log:
    """A log that appends and proves."""

    def __init__(self) -> None:
        self.frontier = Frontier.empty()

    def append(self, raw: bytes, *, origin: str = ORIGIN, signer: NoteSigner = LOG_SIGNER) -> dict[str, Any]:
        """Append an entry and return its proof against a new head, as JSON has it."""
        plan = plan_append(self.frontier, [raw])
        index, self.frontier = self.frontier.size, plan.after
        (hashes,) = plan.prove([index])
        head = Checkpoint(origin, plan.after.size, plan.after.root())
        note = sign_note(head.body(), [signer], now_s=NOW_S)
        return {
            "index": index,
            "entry": raw.decode(),
            "proof": InclusionProof(index, tuple(hashes), note).encode().decode(),
        }


class GymNode:
    """The gym's node, as its app sees it.

    Attributes:
        said: (method, path, headers, body) of every request, in order.
        trouble: what comes instead of an answer, first things first; None is a connection that breaks.
        lie: changes a reply just before it is sent.
        entry, body, payload, media_type: what the next entry, its body or the payload say otherwise than they should.
        states: in which state a receipt is after each verb.
    """

    def __init__(self) -> None:
        self.log = Log()
        self.drawn = 0
        self.said: list[tuple[str, str, dict[str, str], bytes]] = []
        self.trouble: list[Answer | None] = []
        self.lie: Callable[[dict[str, Any]], object] = honest
        self.payload: dict[str, Any] = {}
        self.entry: dict[str, Any] = {}
        self.media_type = MEDIA_TYPE
        self.body: dict[str, Any] = {}
        self.states = {"give": "given", "refuse": "refused", "withdraw": "withdrawn", "request": "requested"}

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer | None:
        """Return what the node answers; None where the connection breaks."""
        self.said.append((method, path, headers, body))
        if self.trouble:
            return self.trouble.pop(0)
        if path == "/.well-known/tallystick":
            token = sign_descriptor(DESCRIPTOR, identity=KEYS["identity"])
            return Answer(200, {"content-type": "application/jwt"}, token.encode())
        reply = self._reply(path.partition("?")[0], path, json.loads(body) if body else {})
        self.lie(reply)
        return Answer(200, {"content-type": "application/json"}, canonical_json(reply))

    def transport(self) -> httpx.MockTransport:
        """Return the node as httpx reaches it, blocking or not."""

        def respond(request: httpx.Request) -> httpx.Response:
            said = self.answer(
                request.method, request.url.raw_path.decode(), dict(request.headers.items()), request.content
            )
            if said is None:
                raise httpx.ConnectError("refused", request=request)
            return httpx.Response(said.status, headers=dict(said.headers), content=said.body)

        return httpx.MockTransport(respond)

    def write(self, kind: str, body: dict[str, Any], *, entry_id: str = "") -> dict[str, Any]:
        """Append an entry and return its proof."""
        plain = {"entry_id": entry_id or self.new_id("ent"), "kind": kind, "at_s": NOW_S, **self.entry}
        entry = make_entry(
            plain["kind"], {**body, **self.body}, entry_id=plain["entry_id"], blind=b"b" * 16, at_s=plain["at_s"]
        )
        return self.log.append(entry.raw)

    def new_id(self, prefix: str) -> str:
        """Return an id that was not drawn before."""
        self.drawn += 1
        return new_id(prefix, self.drawn.to_bytes(16, "big"))

    def _reply(self, path: str, full: str, body: dict[str, Any]) -> dict[str, Any]:
        match path.split("/")[2:]:
            case ["events"]:
                return self._event(body["subject"], body["type"], body["data"], body["receipt"] or RECEIPT)
            case ["events", _]:
                return self._event(SUBJECT, "visit.ended", VISIT, RECEIPT)
            case ["receipts", "search"]:
                return {"receipts": [self._receipt("given", written=False)]}
            case ["receipts", "request"]:
                return self._receipt(self.states["request"])
            case ["receipts", _]:
                return self._receipt("given", written=False)
            case ["receipts", _, verb]:
                return self._receipt(self.states[verb])
            case ["programs"] if not body:
                return {"programs": [self._program(PROGRAM, kind=None)]}
            case ["programs"]:
                return self._program(body["program"], kind="program")
            case ["programs", _, _, "accept"]:
                return self._program(PROGRAM, kind="agreement")
            case ["links", "offers"]:
                return {
                    "offer": f"{HOST}~walkers~{'a' * 26}",
                    "partner": body["partner"],
                    "program": "walkers",
                    "expires_at": 1,
                }
            case ["links", "confirm"]:
                return link("active")
            case ["claims"]:
                return self._claims(full)
            case ["claims", "ask"]:
                return {"status": "accepted"}
            case ["proofs", _]:
                return self.write("event", {"commitment": "c" * 43})
            case other:
                raise AssertionError(other)

    def _event(self, subject: str, kind: str, data: dict[str, Any], receipt: str) -> dict[str, Any]:
        event = self.new_id("evt")
        payload = {
            "id": event,
            "source": f"//{HOST}",
            "type": kind,
            "subject": subject,
            "tallyreceipt": receipt,
            "data": data,
            **self.payload,
        }
        opening = Opening(b"s" * 32, canonical_json(payload))
        entry_id = self.entry.get("entry_id", event)
        commitment = commit(opening, origin=HOST, entry_id=entry_id, media_type=self.media_type)
        return {
            "event": event,
            "type": kind,
            "receipt": receipt,
            "recorded_at": NOW_S,
            "opening": {
                "salt": to_base64url(opening.salt),
                "media_type": self.media_type,
                "payload": to_base64url(opening.payload),
            },
            "proofs": [self.write("event", {"commitment": to_base64url(commitment)}, entry_id=event)],
        }

    def _receipt(self, state: str, *, written: bool = True) -> dict[str, Any]:
        body = receipt_body(terms(), state).document()
        return {
            "receipt": RECEIPT,
            "version": 1,
            "state": state,
            "partner": "insurer.example",
            "terms": terms().document(),
            "notice": NOTICE,
            "partner_hint": "policy ending 21",
            "acknowledged_at": None,
            "ended_at": None,
            "end_acknowledged_at": None,
            "proofs": [self.write("receipt", body)] if written else [],
        }

    def _program(self, document: dict[str, Any], *, kind: str | None) -> dict[str, Any]:
        digest = parse_program(document).digest()
        body = {"program": document["program"], "program_version": document["version"], "digest": digest}
        return {
            "program": document,
            "digest": digest,
            "agreed": [HOST],
            "proofs": [] if kind is None else [self.write(kind, body)],
        }

    def _claims(self, full: str) -> dict[str, Any]:
        cursor = int(httpx.URL(full).params.get("cursor", "0"))
        return {
            "claims": [
                {
                    "claim": f"clm_{cursor}",
                    "partner": "insurer.example",
                    "program": "walkers",
                    "version": 1,
                    "period": "2027-03",
                    "receipt": RECEIPT,
                    "state": "delivered",
                    "expires_at": NOW_S,
                    "log_index": cursor,
                }
            ],
            "has_more": cursor < 2,
            "next_cursor": str(cursor + 1),
        }


def link(state: str) -> dict[str, Any]:
    """A link, as a node tells it."""
    return {
        "link": LINK,
        "partner": "insurer.example",
        "program": "walkers",
        "role": "issuer",
        "state": state,
        "partner_hint": "policy ending 21",
        "created_at": NOW_S,
    }


def problem(status: int, code: str, **members: object) -> Answer:
    """A problem, as a node tells it."""
    told = {
        "type": f"https://tallystick.dev/problems/{code}",
        "title": code,
        "status": status,
        "detail": f"It is {code}.",
        "code": code,
        "remedy": "Do otherwise.",
        "request_id": "req_1",
        **members,
    }
    return Answer(status, {"content-type": "application/problem+json"}, canonical_json(told))


def honest(reply: dict[str, Any]) -> None:
    """Change nothing."""
