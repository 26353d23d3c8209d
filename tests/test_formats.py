"""The vectors in docs/formats.md: the product computes them, and so does the text alone (`second`)."""

import hashlib
import hmac
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import second
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from places import ROOT

from tallystick.descriptor import fingerprint, key_id
from tallystick_consent.claims import pairwise
from tallystick_consent.entries import BODIES, CARRIED
from tallystick_consent.events import CATALOGUE, parse_payload
from tallystick_consent.program import parse_program
from tallystick_consent.receipts.evidence import evidence_message
from tallystick_consent.receipts.receipt import parse_terms
from tallystick_consent.sealing import Context, SealKey, open_from
from tallystick_consent.signed import SignedObject, signed_digest
from tallystick_ledger.encoding import from_base64url, length_prefixed, new_id, to_base64url
from tallystick_ledger.entry import make_entry
from tallystick_ledger.opening import Opening as LogOpening
from tallystick_ledger.replay import CARRIED_KINDS
from tallystick_ledger.tlog.hashing import leaf_hashes
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.vault import Opening, commit
from tallystick_node.backups.files import Label, key_name
from tallystick_node.backups.sealed import SealedWriter

PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```json\n(.*?)\n```$", PAGE, re.DOTALL | re.MULTILINE)
VECTORS = {vector["vector"]: vector for vector in map(json.loads, BLOCKS)}
Given = dict[str, Any]
Computed = dict[str, str]


class Product:
    """Each construction as the product computes it."""

    def id(self, given: Given) -> Computed:
        return {"id": new_id(given["prefix"], from_base64url(given["random"]))}

    def link(self, given: Given) -> Computed:
        halves = {name: from_base64url(given[name]) for name in ("recipient_half", "issuer_half")}
        k_link = pairwise.link_secret(**halves, recipient=given["recipient"], issuer=given["issuer"])
        return {"link_secret": to_base64url(k_link), "link_id": pairwise.link_id(k_link)}

    def nullifier(self, given: Given) -> Computed:
        k_link = from_base64url(given.pop("link_secret"))
        return {"nullifier": to_base64url(pairwise.nullifier(k_link, **given))}

    def resource_id(self, given: Given) -> Computed:
        keys = {"k_resource": from_base64url(given["resource_key"]), "k_link": from_base64url(given["link_secret"])}
        return {"resource": pairwise.resource_id(**keys, kind=given["kind"], name=given["name"])}

    def claim_digest(self, given: Given) -> Computed:
        salt = from_base64url(given["salt"])
        return {"digest": to_base64url(pairwise.claim_digest(given["claim"], salt=salt))}

    def payer_unique(self, given: Given) -> Computed:
        k_member = from_base64url(given.pop("member_key"))
        return {"p": to_base64url(pairwise.payer_unique(k_member, **given))}

    def link_unique(self, given: Given) -> Computed:
        k_unique = from_base64url(given.pop("unique_key"))
        return {"u": to_base64url(pairwise.link_unique(k_unique, **given))}

    def commitment(self, given: Given) -> Computed:
        payload = given["payload"].encode()
        event = parse_payload(payload)
        opening = Opening(from_base64url(given["salt"]), payload)
        made = commit(opening, origin=given["origin"], entry_id=event.id, media_type=given["media_type"])
        return {"commitment": to_base64url(made)}

    def sealed(self, given: Given) -> Computed:
        bound = {name: given[name] for name in ("sender", "recipient", "key_id", "receipt", "purpose")}
        context = Context(**bound, leaf=from_base64url(given["leaf"]))
        message = {name: given[name] for name in ("enc", "ciphertext", "signature")}
        plain = open_from(
            message,
            key=SealKey(from_base64url(given["recipient_seed"])),
            context=context,
            sender_key=Ed25519PublicKey.from_public_bytes(from_base64url(given["sender_key"])),
        )
        sent = (from_base64url(message["enc"]), from_base64url(message["ciphertext"]))
        signed = length_prefixed("tallystick/sealed/v1", context.info(), *sent)
        return {
            "info": to_base64url(context.info()),
            "signed_sha256": to_base64url(hashlib.sha256(signed).digest()),
            "plaintext": plain.decode(),
        }

    def entry(self, given: Given) -> Computed:
        blind = from_base64url(given["blind"])
        made = make_entry(given["kind"], given["body"], entry_id=given["id"], blind=blind, at_s=given["at"])
        return {"entry": made.raw.decode(), "leaf_hash": leaf_hashes([made.raw])[0].hex()}

    def key(self, given: Given) -> Computed:
        public = from_base64url(given["public"])
        return {"key_id": key_id(given["role"], public), "fingerprint": fingerprint(public)}

    def terms(self, given: Given) -> Computed:
        terms = parse_terms(given["terms"])
        signed = hashlib.sha256(evidence_message(terms)).digest()
        return {"digest": terms.digest(), "evidence_message_sha256": to_base64url(signed)}

    def renewal(self, given: Given) -> Computed:
        signed = hashlib.sha256(evidence_message(parse_terms(given["terms"]), renews=given["renews"])).digest()
        return {"evidence_message_sha256": to_base64url(signed)}

    def program(self, given: Given) -> Computed:
        program = parse_program(given["program"])
        return {"digest": program.digest(), "notice_digest": program.notice.digest()}

    def signed(self, given: Given) -> Computed:
        return {"digest": signed_digest(given["token"])}

    def backup(self, given: Given) -> Computed:
        key, drawn = from_base64url(given["key"]), iter([from_base64url(given[name]) for name in ("salt", "prefix")])
        label, out = Label(host=given["host"], day=given["day"], key=key_name(key)).line(), io.BytesIO()
        sealed = SealedWriter(
            out,
            key=key,
            associated=label,
            random_bytes=lambda _: next(drawn),
            segment_size_bytes=given["segment_size"],
        )
        sealed.write(given["plaintext"].encode())
        sealed.finish()
        return {"label": label.decode(), "sealed": to_base64url(out.getvalue())}


class Text:
    """Each construction as the page says it, computed with nothing of the product's."""

    def id(self, given: Given) -> Computed:
        return {"id": second.base32_id(given["prefix"], second.unb64(given["random"]))}

    def link(self, given: Given) -> Computed:
        halves = (second.unb64(given["recipient_half"]), second.unb64(given["issuer_half"]))
        k_link = second.link_secret(*halves, given["recipient"], given["issuer"])
        return {"link_secret": second.b64(k_link), "link_id": second.link_id(k_link)}

    def nullifier(self, given: Given) -> Computed:
        named = [given[name] for name in ("issuer", "recipient", "program", "period", "slot")]
        return {"nullifier": second.b64(second.nullifier(second.unb64(given["link_secret"]), *named))}

    def resource_id(self, given: Given) -> Computed:
        keys = (second.unb64(given["resource_key"]), second.unb64(given["link_secret"]))
        return {"resource": second.resource_id(*keys, given["kind"], given["name"])}

    def claim_digest(self, given: Given) -> Computed:
        return {"digest": second.b64(second.claim_digest(given["claim"], second.unb64(given["salt"])))}

    def payer_unique(self, given: Given) -> Computed:
        named = [given[name] for name in ("payer", "program", "period", "slot")]
        return {"p": second.b64(second.payer_unique(second.unb64(given["member_key"]), *named))}

    def link_unique(self, given: Given) -> Computed:
        named = [given[name] for name in ("recipient", "program", "subject")]
        return {"u": second.b64(second.link_unique(second.unb64(given["unique_key"]), *named))}

    def commitment(self, given: Given) -> Computed:
        named = (given["origin"], given["entry_id"], given["media_type"], given["payload"].encode())
        return {"commitment": second.b64(second.commitment(second.unb64(given["salt"]), *named))}

    def sealed(self, given: Given) -> Computed:
        """All but the decryption, for which `hashlib` does not suffice: of that, the length alone."""
        bound = [given[name] for name in ("sender", "recipient", "key_id", "receipt", "purpose")]
        info = second.sealed_info(*bound, second.unb64(given["leaf"]))
        enc, ciphertext = second.unb64(given["enc"]), second.unb64(given["ciphertext"])
        plaintext = VECTORS["sealed"]["out"]["plaintext"]
        assert len(ciphertext) == len(second.padded(plaintext.encode())) + 16
        signed = second.sha256(second.sealed_message(info, enc, ciphertext))
        return {"info": second.b64(info), "signed_sha256": second.b64(signed), "plaintext": plaintext}

    def entry(self, given: Given) -> Computed:
        raw = second.plain_json({"v": 1, **given})
        return {"entry": raw.decode(), "leaf_hash": second.leaf_hash(raw).hex()}

    def key(self, given: Given) -> Computed:
        digest = hashlib.sha256(second.unb64(given["public"])).hexdigest()
        return {"key_id": f"{given['role']}-{digest[:8]}", "fingerprint": digest}

    def terms(self, given: Given) -> Computed:
        raw = second.plain_json(given["terms"])
        return {
            "digest": second.b64(second.labelled_digest("tallystick/terms/v1", raw)),
            "evidence_message_sha256": second.b64(second.sha256(second.lp("tallystick/evidence/v1", raw))),
        }

    def renewal(self, given: Given) -> Computed:
        message = second.lp("tallystick/renewal/v1", given["renews"], second.plain_json(given["terms"]))
        return {"evidence_message_sha256": second.b64(second.sha256(message))}

    def program(self, given: Given) -> Computed:
        notice = second.plain_json(given["program"]["notice"])
        program = second.plain_json(given["program"])
        return {
            "digest": second.b64(second.labelled_digest("tallystick/program/v1", program)),
            "notice_digest": second.b64(second.labelled_digest("tallystick/notice/v1", notice)),
        }

    def backup(self, given: Given) -> Computed:
        """With the cipher of a library, since `hashlib` has none."""
        key, salt, prefix = (second.unb64(given[name]) for name in ("key", "salt", "prefix"))
        name = second.b64(second.sha256(second.lp("tallystick/backup-key/v1") + key)[:8])
        said = {"backup": "tallystick/v1", "host": given["host"], "day": given["day"], "key": name}
        label, plain = second.plain_json(said) + b"\n", given["plaintext"].encode()
        extracted = hmac.new(salt, key, hashlib.sha256).digest()
        cipher = AESGCM(hmac.new(extracted, label + b"\x01", hashlib.sha256).digest())
        out, number = bytes([40]) + salt + prefix, 0
        while True:
            room = given["segment_size"] - 16 - (40 if number == 0 else 0)
            piece, plain = plain[:room], plain[room:]
            out += cipher.encrypt(prefix + number.to_bytes(4, "big") + (b"\x00" if plain else b"\x01"), piece, None)
            number += 1
            if not plain:
                return {"label": label.decode(), "sealed": second.b64(out)}

    def signed(self, given: Given) -> Computed:
        return {"digest": second.b64(second.labelled_digest("tallystick/signed/v1", given["token"].encode()))}


def constructions(of: type) -> set[str]:
    return {name for name in vars(of) if not name.startswith("_")}


def test_every_vector_is_computed_and_every_construction_has_one() -> None:
    assert set(VECTORS) == constructions(Product) == constructions(Text)
    assert PAGE.count("```json") == len(VECTORS)


@pytest.mark.parametrize("name", sorted(VECTORS))
@pytest.mark.parametrize("computation", [Product(), Text()], ids=["product", "text"])
def test_a_vector_is_what_both_computations_give(name: str, computation: object) -> None:
    compute: Callable[[Given], Computed] = getattr(computation, name)
    assert compute(dict(VECTORS[name]["in"])) == VECTORS[name]["out"]


def test_the_vectors_hang_together() -> None:
    """The payload commits into the entry's body, and the link's secret makes the nullifier."""
    commitment, entry = VECTORS["commitment"], VECTORS["entry"]["in"]
    assert entry["body"] == commitment["out"]
    assert entry["id"] == commitment["in"]["entry_id"]
    assert VECTORS["nullifier"]["in"]["link_secret"] == VECTORS["link"]["out"]["link_secret"]


def members(cell: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", cell))


def rows(heading: str) -> dict[str, str]:
    """Return what a table of the page says behind each name in its first column."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return {name: line for line in section.splitlines() for name in re.findall(r"^\| `([^`]+)` \|", line)}


@pytest.mark.parametrize("kind", sorted(BODIES))
def test_the_page_names_every_member_of_a_body(kind: str) -> None:
    assert set(BODIES[kind].model_fields) <= members(rows("Entries")[kind]) | {kind}


def test_the_page_names_every_member_of_an_opening_and_of_what_it_carries() -> None:
    told = rows("Openings")
    head = Checkpoint("gym.example/log/2027", 1, bytes(32))
    for part in (LogOpening("gym.example/log/2028"), LogOpening("gym.example/log/2028", head, head)):
        assert part.body().keys() <= {name for row in told.values() for name in members(row)} | told.keys()
    assert told.keys() >= CARRIED_KINDS | CARRIED.keys()
    for kind in ("disclosure", "answer"):
        assert set(CARRIED[kind].model_fields) <= members(told[kind]) | {kind}


@pytest.mark.parametrize("kind", SignedObject.__subclasses__(), ids=lambda kind: kind.__name__)
def test_the_page_names_every_signed_object(kind: type[SignedObject]) -> None:
    assert set(kind.model_fields) - {"at"} <= members(rows("Signed objects")[kind.TYPE])


def test_the_page_names_every_type_of_event() -> None:
    for event_type, kind in CATALOGUE.items():
        line = next(line for line in PAGE.splitlines() if line.startswith("| `") and f"`{event_type}`" in line)
        assert set(kind.schema.model_fields) <= members(line)
