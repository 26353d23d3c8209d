"""What `tally verify` says of papers: a certificate of an erasure, an export about a customer, a signed receipt."""

from collections.abc import Iterable
from typing import NamedTuple

from tallystick.audit.findings import printable
from tallystick.descriptor import plain_fingerprint
from tallystick.papers import (
    CERTIFICATE_SIZE_MAX_BYTES,
    EXPORT_SIZE_MAX_BYTES,
    SIGNED_RECEIPT_SIZE_MAX_BYTES,
    PaperVerdict,
    Trust,
    check_certificate,
    check_export,
    check_signed_receipt,
    parse_certificate,
    parse_export,
    parse_signed_receipt,
)
from tallystick_ledger.encoding import parse_json_object
from tallystick_ledger.errors import BadInput
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.policy import Policy


class Verified(NamedTuple):
    """What is said of a file that was verified, and whether it is shown: not by keys that only the file vouches for."""

    text: str
    is_shown: bool = True


PAPER_SIZE_MAX_BYTES = max(CERTIFICATE_SIZE_MAX_BYTES, EXPORT_SIZE_MAX_BYTES, SIGNED_RECEIPT_SIZE_MAX_BYTES)


def is_paper(raw: bytes) -> bool:
    """Return whether a file says that it is a paper."""
    try:
        return raw.startswith(b"{") and not {"certificate", "export", "receipt"}.isdisjoint(parse_json_object(raw))
    except BadInput:
        return False


def trust_in(
    fingerprints: Iterable[str], keys: Iterable[VerifierKey], policy: Policy | None, descriptors: Iterable[bytes] = ()
) -> Trust:
    """Return whose word counts, from what was given on the command line."""
    named = frozenset(map(plain_fingerprint, fingerprints))
    return Trust(named, tuple(keys), policy, tuple(each.decode("ascii", "replace").strip() for each in descriptors))


def verified_paper(raw: bytes, trust: Trust) -> Verified:
    """Return what a paper shows and what it does not; nothing is shown yet while a company in it is
    unconfirmed, nor of what has no proof in it.

    Raises:
        TallyError: it does not hold.
    """
    said = parse_json_object(raw)
    if "certificate" in said:
        verdict = check_certificate(parse_certificate(raw), trust)
    elif "receipt" in said:
        verdict = check_signed_receipt(parse_signed_receipt(raw), trust)
    else:
        verdict = check_export(parse_export(raw), trust)
    lines = [*verdict.shown, "Not proven by it:", *(f"  {each}" for each in verdict.told)]
    lines.insert(0, _said_first(verdict))
    if verdict.unconfirmed:
        lines.append("Whose they are only the file says. Compare them, and give each with --fingerprint:")
        lines += [f"  {host} {each}" for host, each in verdict.unconfirmed]
    is_shown = bool(verdict.shown) and verdict.is_whole and not verdict.unconfirmed
    return Verified("\n".join(printable(line) for line in lines), is_shown=is_shown)


def _said_first(verdict: PaperVerdict) -> str:
    if not verdict.shown:
        return "SHOWS NOTHING: nothing in it is proven."
    if verdict.unconfirmed:
        return "WOULD HOLD ONLY IF the fingerprints at the end are theirs."
    return "HOLDS." if verdict.is_whole else "HOLDS IN PART: some of it is not proven."
