"""Errors the whole tower shares; every one names a remedy.

They know nothing of HTTP: `tallystick_node.app` holds the only table from a class to a status.

TallyError
  BadInput            something from outside does not have the shape it must have
    EntryMalformed    a ledger entry is not canonical, or not in the envelope
    NoteMalformed     a signed note, key or policy is not written as its specification says
    ProofMalformed    a `.tlog-proof` file is not written as its specification says
    TileMalformed     a tile or bundle has the wrong width or a wrong path
    TransferInvalid   a transfer cannot be booked as written
    WeakKey           a public key under which nothing is proven or kept
  SignatureRejected   a signature is missing, of an unknown key, or wrong
  ProofRejected       a proof does not lead to the root it was checked against
  PolicyUnmet         too few of the cosigners a trust policy asks for have signed
  BooksRefused        a transfer would overdraw an account or does not fit its state
  KeyHistoryRefused   a key comes back, or changes as no key may
  PayloadUnavailable  a sealed payload or its key is not here, or does not open
  PayloadErased       a sealed payload was made unreadable on purpose
"""


class TallyError(Exception):
    """Something we refuse to do, said in words a partner's engineer can act on.

    Attributes:
        code: stable snake_case, for logs, tests and the HTTP edge; never reworded. A class has one; where it covers
            several decisions, an instance says which.
        problem: one sentence on what is wrong; never holds a person's data, a token or a key.
        remedy: one sentence on what to do next.
    """

    code: str = "internal_error"

    def __init__(self, problem: str, *, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"[{self.code}] {self.problem} Remedy: {self.remedy}"


class BadInput(TallyError):
    """Something from outside does not have the shape it must have."""

    code = "invalid_input"


class EntryMalformed(BadInput):
    """A ledger entry is not canonical, or not in the envelope."""

    code = "entry_malformed"


class NoteMalformed(BadInput):
    """A signed note, verifier key or policy is not written as its specification says."""

    code = "note_malformed"


class ProofMalformed(BadInput):
    """A proof file is not written as its specification says."""

    code = "proof_malformed"


class TileMalformed(BadInput):
    """A tile or entry bundle has the wrong width, or its path is not one a tile can have."""

    code = "tile_malformed"


class TransferInvalid(BadInput):
    """A transfer cannot be booked as it is written."""

    code = "transfer_invalid"


class WeakKey(BadInput):
    """A public key of a wrong length, in a second encoding, or of small order: nothing is proven or kept under it."""

    code = "key_weak"


class SignatureRejected(TallyError):
    """A signature is missing, of an unknown key, or wrong."""

    code = "signature_invalid"


class ProofRejected(TallyError):
    """A proof does not lead to the root it was checked against."""

    code = "proof_rejected"


class PolicyUnmet(TallyError):
    """Too few of the cosigners that a trust policy asks for have signed."""

    code = "policy_unmet"


class BooksRefused(TallyError):
    """A transfer would overdraw an account, or does not fit the state it is in.

    Attributes:
        code: `budget_exhausted`, `transfer_already_posted`, `transfer_already_voided`, `transfer_unknown` or
            `transfer_exists`.
    """

    def __init__(self, code: str, problem: str, *, remedy: str) -> None:
        super().__init__(problem, remedy=remedy)
        self.code = code


class KeyHistoryRefused(TallyError):
    """A step in the history of a key that no key may take: it comes back, or changes, or ends before it begins."""

    code = "key_history_refused"


class PayloadUnavailable(TallyError):
    """A sealed payload or its key is not here, or does not open."""

    code = "payload_unavailable"


class PayloadErased(TallyError):
    """A sealed payload was made unreadable on purpose: its key was destroyed."""

    code = "payload_erased"
