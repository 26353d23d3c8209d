"""What a company has signed, opened for somebody who reads it long after: also where the key was given up since.

Pure. A key that was revoked counts for nothing from some time on, and when an object was signed only its signer says,
who may be a thief. So what is signed under it holds where the signer's own ledger names it, whatever time it says:
whoever stole that key alone cannot write there, and the company cannot disown what stands there. Without that it is
what somebody says.

Source: docs/keys.md (Revoke), CONSTRUCTIONS (keys).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tallystick.descriptor import Descriptor
from tallystick.papers.trust import Trust, day_text, require
from tallystick.wire import EntryProof
from tallystick_consent.claims.jws import key_id_of
from tallystick_consent.signed import SignedObject, open_object, signed_digest
from tallystick_ledger.entry import Entry, parse_entry
from tallystick_ledger.errors import SignatureRejected
from tallystick_ledger.tlog.proof import check_entry, parse_proof

_Object = TypeVar("_Object", bound=SignedObject)
_Object_co = TypeVar("_Object_co", bound=SignedObject, covariant=True)


@dataclass(frozen=True, slots=True)
class Opened(Generic[_Object_co]):
    """An object whose signature is checked.

    Attributes:
        host: whose signature that is.
        digest: by which ledgers name the object.
        given_up_s: since when its key counts for nothing; None where it was not revoked.
    """

    content: _Object_co
    host: str
    digest: str
    given_up_s: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """An entry that is shown to stand in the ledger of a company.

    Attributes:
        size: how many entries the head covers under which it stands.
    """

    host: str
    entry: Entry
    index: int
    size: int


def open_signed(token: str, kind: type[_Object], company: Descriptor) -> Opened[_Object]:
    """Return what is signed under a `receipt` key that a company had when it says that it was signed.

    Raises:
        SignatureRejected: it is not, or the key had not begun then, or was over.
        BadInput, ReceiptRejected: as `open_object`.
    """
    content = open_object(token, kind, keys=company.regardless().ed25519("receipt"))
    (key,) = (each for each in company.regardless().keys if each.id == key_id_of(token))
    if not key.is_good_at(content.at):
        raise SignatureRejected(
            "An object says that it was signed before its key began, or after its end.",
            remedy="Ask the company that signed it for the same under a key that counts.",
        )
    given_up_s = next(each.revoked_since_s for each in company.keys if each.id == key.id)
    return Opened(content, company.host, signed_digest(token), given_up_s)


def open_standing(stated: EntryProof, company: Descriptor, trust: Trust) -> Standing:
    """Return an entry that is shown to stand in a company's ledger.

    Raises:
        PaperRejected, SignatureRejected, ProofRejected, PolicyUnmet, BadInput: it is not shown to.
    """
    raw, proof = stated.entry.encode(), parse_proof(stated.proof.encode())
    head = trust.open_head(proof.checkpoint, company)
    check_entry(proof, entry=raw, checkpoint=head)
    require(proof.index == stated.index, "An entry in it stands elsewhere than it says.")
    return Standing(company.host, parse_entry(raw), proof.index, head.size)


def given_up(opened: Opened[SignedObject]) -> str:
    """Return that an object's key was given up, as the end of a sentence; "" where it was not."""
    if opened.given_up_s is None:
        return ""
    return f", under a key that counts for nothing since {day_text(opened.given_up_s)}"


def vouching(opened: Opened[SignedObject], standing: Iterable[Standing]) -> Standing | None:
    """Return the entry by which a company's own ledger says that an object is its own, if there is one.

    Args:
        standing: entries that name the object, of whichever ledgers.
    """
    return next((each for each in standing if each.host == opened.host), None)
