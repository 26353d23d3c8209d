"""What `tally verify` says of papers: the certificate of an erasure, and the export of everything about a customer."""

from collections.abc import Iterable

from tallystick.audit.findings import printable
from tallystick.papers import (
    CERTIFICATE_SIZE_MAX_BYTES,
    EXPORT_SIZE_MAX_BYTES,
    Trust,
    check_certificate,
    check_export,
    parse_certificate,
    parse_export,
)
from tallystick_ledger.encoding import parse_json_object
from tallystick_ledger.errors import BadInput
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.policy import Policy

PAPER_SIZE_MAX_BYTES = max(CERTIFICATE_SIZE_MAX_BYTES, EXPORT_SIZE_MAX_BYTES)


def is_paper(raw: bytes) -> bool:
    """Return whether a file says that it is a paper."""
    try:
        return raw.startswith(b"{") and not {"certificate", "export"}.isdisjoint(parse_json_object(raw))
    except BadInput:
        return False


def trust_in(fingerprints: Iterable[str], keys: Iterable[VerifierKey], policy: Policy | None) -> Trust:
    """Return whose word counts, from what was given on the command line."""
    named = frozenset(each.replace(":", "").replace(" ", "").lower() for each in fingerprints)
    return Trust(named, tuple(keys), policy)


def verified_paper(raw: bytes, trust: Trust) -> str:
    """Return what a paper shows and what it does not.

    Raises:
        TallyError: it does not hold.
    """
    if "certificate" in parse_json_object(raw):
        verdict = check_certificate(parse_certificate(raw), trust)
    else:
        verdict = check_export(parse_export(raw), trust)
    lines = ["HOLDS.", *verdict.shown, "Not proven by it:", *(f"  {each}" for each in verdict.told)]
    if verdict.unconfirmed:
        lines.append(
            "ONLY IF these fingerprints are theirs: the file itself says so. Compare them, or give --fingerprint."
        )
        lines += [f"  {host} {each}" for host, each in verdict.unconfirmed]
    return "\n".join(printable(line) for line in lines)
