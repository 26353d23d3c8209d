"""Evidence files: what an audit, a node or a follower keeps when a log does not hold, for a third party to check.

Pure: bytes in, a verdict out; nothing is fetched. A file is one JSON object of at most `EVIDENCE_SIZE_MAX_BYTES`,
`{"v":1,"evidence":KIND,...}`; docs/evidence.md has its members. There are five kinds, and only the first accuses:

two_heads   Two heads that one log signed and that no log can have signed honestly. Of one size they have different
            roots. Of different sizes, `proof` is a consistency proof taken from the larger tree, and `root` the root
            that this tree has at the smaller size: the proof leads to the larger signed head and to `root`, and `root`
            is not the smaller signed head's. Every hash on the way from a root down is fixed by the one above it, as
            SHA-256 has no known collisions, and the two sizes fix which hashes the proof must be made of; so whatever
            entries the larger head stands for, their first ones have `root`, and never what was signed. It takes the
            log's private key to make such a file about it, and nothing that an honest log signs adds up to one.
wrong_tile  A tile or bundle as it was served, a signed head, and a proof of what the head covers at that place. It
            shows that the bytes are not the log's. Nobody signs a tile, so it convicts nobody of having served it.
wrong_line  A signature line that does not verify under the key it names. Anybody can write such a line.
refusal     How a witness refused a head of one's own log, for the operator to look at. It is not signed either.
withheld    A head that a log has signed, and what was found in its place later: nothing, or less. Nobody signs what is
            not there, so it shows what the log owes, and only whoever made it knows that it was missing.

Source: c2sp.org/tlog-checkpoint ("a log must never sign two ..."), RFC 9162 section 2.1.4, LEDGER-FORMATS section 10.
"""

from tallystick.evidence.form import parse_evidence
from tallystick.evidence.kinds import (
    ANSWER_SIZE_MAX_BYTES,
    EVIDENCE_SIZE_MAX_BYTES,
    FOUND_SIZE_MAX_BYTES,
    SHOWN_SIZE_MAX_BYTES,
    Evidence,
    EvidenceMalformed,
    EvidenceRejected,
    Refusal,
    TwoHeads,
    Verdict,
    Withheld,
    WrongLine,
    WrongTile,
    two_heads,
    wrong_tile,
)

__all__ = [
    "ANSWER_SIZE_MAX_BYTES",
    "EVIDENCE_SIZE_MAX_BYTES",
    "FOUND_SIZE_MAX_BYTES",
    "SHOWN_SIZE_MAX_BYTES",
    "Evidence",
    "EvidenceMalformed",
    "EvidenceRejected",
    "Refusal",
    "TwoHeads",
    "Verdict",
    "Withheld",
    "WrongLine",
    "WrongTile",
    "parse_evidence",
    "two_heads",
    "wrong_tile",
]
