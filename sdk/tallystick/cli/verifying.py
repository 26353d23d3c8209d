"""`tally verify`: what a file is, and whether what it says holds, from the file and the keys you have alone."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tallystick.audit import AuditNotRun
from tallystick.audit.findings import printable
from tallystick.audit.keys import parse_vkeys
from tallystick.cli.papers import PAPER_SIZE_MAX_BYTES, Verified, is_paper, trust_in, verified_paper
from tallystick.cli.presented import Expected, is_presented, verified_presented
from tallystick.cli.shared import FINDINGS, NOT_RUN, policy_in, read, say
from tallystick.cli.signed import Known, is_signed, verified_signed
from tallystick.evidence import EVIDENCE_SIZE_MAX_BYTES, Verdict, parse_evidence
from tallystick_consent.claims.jws import TOKEN_SIZE_MAX_BYTES
from tallystick_ledger.encoding import parse_json_object
from tallystick_ledger.errors import BadInput, TallyError
from tallystick_ledger.tlog.blob import ENTRY_SIZE_MAX_BYTES
from tallystick_ledger.tlog.keys import PUBLIC_KEY_SIZE_BYTES, VerifierKey
from tallystick_ledger.tlog.policy import POLICY_SIZE_MAX_BYTES, Policy
from tallystick_ledger.tlog.proof import (
    PROOF_HEADER,
    PROOF_SIZE_MAX_BYTES,
    InclusionProof,
    check_entry,
    check_proof,
    parse_proof,
)

FILE_SIZE_MAX_BYTES = max(PROOF_SIZE_MAX_BYTES, EVIDENCE_SIZE_MAX_BYTES, PAPER_SIZE_MAX_BYTES)

KINDS = (
    "a .tlog-proof file (with --entry), evidence, a certificate of an erasure, an export, a receipt as both companies"
    " signed it, an object that a partner signed (a compact JWS), or a claim that a wallet presents"
)


def verify_command(
    file: Annotated[
        Path, typer.Argument(help="A .tlog-proof file, evidence, a customer's paper or a presented claim.")
    ],
    entry: Annotated[Path | None, typer.Option(help="The entry that a proof is about, byte for byte.")] = None,
    key: Annotated[Path | None, typer.Option(help="File of verifier keys, one a line.")] = None,
    policy: Annotated[Path | None, typer.Option(help="Trust policy (c2sp.org/tlog-policy).")] = None,
    descriptor: Annotated[
        list[Path] | None,
        typer.Option(
            help="Descriptor of who signed it: a presented claim's issuer, a partner; of a paper each one's, of today."
        ),
    ] = None,
    fingerprint: Annotated[
        list[str] | None, typer.Option(help="Fingerprint of a company's identity key, as two people compared it.")
    ] = None,
    verifier: Annotated[str, typer.Option(help="The name that you gave to the wallet.")] = "",
    nonce: Annotated[str, typer.Option(help="The nonce that you gave to the wallet.")] = "",
    status: Annotated[Path | None, typer.Option(help="The status list that a presented claim names.")] = None,
    of: Annotated[Path | None, typer.Option(help="What a signed acknowledgement is over, to be compared.")] = None,
    at: Annotated[int | None, typer.Option(help="Seconds since 1970-01-01 UTC to verify at; now, if left out.")] = None,
) -> None:
    """Verify offline a proof that an entry stands in a log, evidence against a log, a paper for a customer (a
    certificate of an erasure, an export, a receipt as both companies signed it), one object that a partner signed, or a
    claim that somebody presents, under keys you have."""
    raw = read(file, FILE_SIZE_MAX_BYTES)
    issuers, named = next(iter(descriptor or ()), None), next(iter(fingerprint or ()), "")
    if is_signed(raw):
        known = Known(issuers, named, of)
        _tell(lambda: verified_signed(raw, known))
        return
    if is_presented(raw):
        now_s = int(time.time()) if at is None else at
        expected = Expected(issuers, named, verifier, nonce, status, now_s)
        _tell(lambda: Verified(verified_presented(raw, expected)))
        return
    is_customers = is_paper(raw)
    is_evidence = not is_customers and _is_evidence(raw)
    if not (is_customers or is_evidence or raw.startswith(PROOF_HEADER)):
        # Nothing is said of whoever made it: most likely it is another file than was meant.
        raise AuditNotRun(f"{printable(str(file))} is no file that can be verified.", remedy=f"Give {KINDS}.")
    trusted = policy_in(policy) if policy else None
    keys = parse_vkeys(read(key, POLICY_SIZE_MAX_BYTES), kinds=PUBLIC_KEY_SIZE_BYTES) if key else []
    if key is not None and policy is not None:
        raise AuditNotRun("Two files say whose signature counts.", remedy="Give either --key FILE or --policy FILE.")
    is_proof = not (is_customers or is_evidence)
    if is_proof and entry is None:
        raise AuditNotRun("Nothing says what a proof is to prove.", remedy="Give the entry with --entry FILE.")
    if is_proof and key is None and policy is None:
        raise AuditNotRun("Nothing says whose signature counts.", remedy="Give either --key FILE or --policy FILE.")
    claimed = read(entry, ENTRY_SIZE_MAX_BYTES) if entry else b""
    told = [read(each, TOKEN_SIZE_MAX_BYTES) for each in descriptor or ()]
    if is_customers:
        _tell(lambda: verified_paper(raw, trust_in(fingerprint or (), keys, trusted, told)))
    elif is_evidence:
        _tell(lambda: _verified_evidence(raw, keys, trusted))
    else:
        _tell(lambda: Verified(_verified_proof(raw, claimed, keys, trusted)))


def _is_evidence(raw: bytes) -> bool:
    """Return whether a file says that it is evidence."""
    try:
        return raw.startswith(b"{") and "evidence" in parse_json_object(raw)
    except BadInput:
        return False


def _tell(verified: Callable[[], Verified]) -> None:
    """Print what was verified; end with an exit status that says so where it does not hold, or is not shown yet.

    Anybody can make keys that bear somebody's name.

    Raises:
        AuditNotRun: it could not be verified, since something was not given.
    """
    try:
        told = verified()
    except AuditNotRun:
        raise
    except TallyError as error:
        say(f"DOES NOT HOLD. {error.code}: {error.problem}")
        raise typer.Exit(FINDINGS) from error
    typer.echo(told.text)
    if not told.is_shown:
        raise typer.Exit(NOT_RUN)


def _verified_evidence(raw: bytes, keys: list[VerifierKey], trusted: Policy | None) -> Verified:
    evidence = parse_evidence(raw)
    keys, cosigners = (keys, []) if trusted is None else _keys_of(trusted)
    verdict = evidence.check(keys or evidence.keys, cosigners)
    heads = " and ".join(str(size) for size in verdict.sizes)
    origin, problem = printable(verdict.origin), printable(verdict.problem)
    says = ("CONVICTS", "HOLDS, AND ACCUSES NOBODY") if keys else ("WOULD CONVICT", "WOULD HOLD, AND ACCUSE NOBODY")
    unless = "" if keys else f" ONLY IF {_whose(verdict)}"
    lines = [
        f"{says[0]} {origin}{unless}. {problem}" if verdict.accuses else f"{says[1]}{unless}. {origin}: {problem}",
        f"Its heads in the file: {heads} entries.",
        *(f"Signed by {printable(each.text)}" for each in verdict.keys),
        *(f"Cosigned both: {printable(each.text)}" for each in verdict.cosigners),
    ]
    if not keys:
        lines.append("Whose they are only the file says. Compare them, or give --key or --policy.")
    return Verified("\n".join(lines), is_shown=bool(keys))


def _whose(verdict: Verdict) -> str:
    return "the keys below are " + ("its own" if verdict.accuses else "the right ones")


def _verified_proof(raw: bytes, claimed: bytes, keys: list[VerifierKey], trusted: Policy | None) -> str:
    proof = parse_proof(raw)
    origin = _claimed_origin(proof)
    if trusted is None:
        checkpoint = check_proof(proof, entry=claimed, origin=origin, keys=keys)
    else:
        checkpoint = trusted.check(proof.checkpoint, origin)
        check_entry(proof, entry=claimed, checkpoint=checkpoint)
    place = f"Entry {proof.index} of {printable(checkpoint.origin)}"
    return f"HOLDS. {place}, under its head of {checkpoint.size} entries."


def _claimed_origin(proof: InclusionProof) -> str:
    """Return the origin that a proof's checkpoint claims; only a trusted key of that name makes it true."""
    try:
        return proof.checkpoint.partition(b"\n")[0].decode()
    except UnicodeDecodeError as error:
        raise BadInput("A checkpoint is not UTF-8.", remedy="Ask for the proof again.") from error


def _keys_of(policy: Policy) -> tuple[list[VerifierKey], list[VerifierKey]]:
    """Return the keys of the logs, and those of the witnesses: one of these may bear the name of a log."""
    return [each.key for each in policy.logs], [each.key for each in policy.witnesses]
