"""`tally verify`."""

from pathlib import Path
from typing import Annotated

import typer

from tallystick.audit import AuditNotRun
from tallystick.audit.findings import printable
from tallystick.audit.keys import parse_vkeys
from tallystick.cli.shared import FINDINGS, policy_in, read, say
from tallystick_ledger.entry import ENTRY_SIZE_MAX_BYTES
from tallystick_ledger.errors import BadInput, TallyError
from tallystick_ledger.tlog.checkpoint import Checkpoint
from tallystick_ledger.tlog.keys import PUBLIC_KEY_SIZE_BYTES
from tallystick_ledger.tlog.policy import POLICY_SIZE_MAX_BYTES
from tallystick_ledger.tlog.proof import PROOF_SIZE_MAX_BYTES, InclusionProof, check_entry, check_proof, parse_proof


def verify_command(
    proof: Annotated[Path, typer.Argument(help="A .tlog-proof file.")],
    entry: Annotated[Path, typer.Option(help="The entry it is about, byte for byte.")],
    key: Annotated[Path | None, typer.Option(help="File of verifier keys, one a line.")] = None,
    policy: Annotated[Path | None, typer.Option(help="Trust policy (c2sp.org/tlog-policy).")] = None,
) -> None:
    """Verify offline that an entry stands in a log, under keys you have from elsewhere."""
    if (key is None) == (policy is None):
        raise AuditNotRun("Nothing says whose signature counts.", remedy="Give either --key FILE or --policy FILE.")
    raw, claimed = read(entry, ENTRY_SIZE_MAX_BYTES), read(proof, PROOF_SIZE_MAX_BYTES)
    trusted = policy_in(policy) if policy else None
    keys = parse_vkeys(read(key, POLICY_SIZE_MAX_BYTES), kinds=PUBLIC_KEY_SIZE_BYTES) if key else []
    try:
        opened = parse_proof(claimed)
        origin = _claimed_origin(opened)
        if trusted is None:
            checkpoint = check_proof(opened, entry=raw, origin=origin, keys=keys)
        else:
            checkpoint = trusted.check(opened.checkpoint, origin)
            check_entry(opened, entry=raw, checkpoint=checkpoint)
    except TallyError as error:
        say(f"DOES NOT HOLD. {error.code}: {error.problem}")
        raise typer.Exit(FINDINGS) from error
    typer.echo(_verified(opened, checkpoint))


def _claimed_origin(proof: InclusionProof) -> str:
    """Return the origin that a proof's checkpoint claims; only a trusted key of that name makes it true."""
    try:
        return proof.checkpoint.partition(b"\n")[0].decode()
    except UnicodeDecodeError as error:
        raise BadInput("A checkpoint is not UTF-8.", remedy="Ask for the proof again.") from error


def _verified(proof: InclusionProof, checkpoint: Checkpoint) -> str:
    return f"HOLDS. Entry {proof.index} of {printable(checkpoint.origin)}, under its head of {checkpoint.size} entries."
