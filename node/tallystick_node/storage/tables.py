"""The node's tables.

What an auditor sees is the log; everything here is either the log's own bytes (`head`, `blob`) or what the node needs
to act on them. Times are whole seconds: signed data never passes through a database's date type.

Subjects stand here under the company's own ids, since it is the company's database; they stand nowhere else.
"""

from sqlalchemy import BigInteger, Integer, Table, false, text
from sqlmodel import Field, Index, SQLModel


class Head(SQLModel, table=True):
    """The right edge of a log and its signed head; each commit locks its row.

    Attributes:
        log: the log's name, such as `2027`: what follows `HOST/log/` in its origin.
        published_size: entries below it are published, so the rows that hold them may be dropped; as far as was known
            when the last commit was made.
        successor: the log that goes on where this one ended; nothing is appended here any more.
        last_at_s: when the last entry was recorded; times never run back in a log.
        contradicted_by: a head of this log, as it was signed, that others hold and its entries do not lead to; nothing
            is appended here any more.
    """

    log: str = Field(primary_key=True)
    size: int
    peaks: bytes
    checkpoint: bytes
    published_size: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    successor: str | None = None
    last_at_s: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    contradicted_by: bytes | None = None


class Blob(SQLModel, table=True):
    """Entries of one commit, side by side, each behind its length as in an entry bundle.

    Attributes:
        log: the log's name.
        first: index of the first of them.
    """

    log: str = Field(primary_key=True)
    first: int = Field(primary_key=True)
    count: int
    entries: bytes


class Idempotency(SQLModel, table=True):
    """A reply that was given, kept for the same key to get it again.

    Attributes:
        subject: our customer that the reply tells of, "" for none; it is erased with that one.
    """

    caller: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    status: int
    body: str
    created_at_s: int = Field(index=True)
    subject: str = Field(default="", index=True, sa_column_kwargs={"server_default": text("''")})


class Nonce(SQLModel, table=True):
    """A signed request that was seen, until its signature expires."""

    key_id: str = Field(primary_key=True)
    nonce: str = Field(primary_key=True)
    expires_at_s: int = Field(index=True)


class AppKey(SQLModel, table=True):
    """A key of one of this company's apps: its hash, never itself."""

    id: str = Field(primary_key=True)
    digest: str = Field(unique=True)
    name: str
    scopes: str
    created_at_s: int
    expires_at_s: int | None = None


class Partner(SQLModel, table=True):
    """A partner that two people compared fingerprints for."""

    host: str = Field(primary_key=True)
    fingerprint: str
    descriptor: str
    added_at_s: int


class Offer(SQLModel, table=True):
    """A link offer this node made, found again by the digest of its code."""

    digest: str = Field(primary_key=True)
    subject: str
    partner: str
    program: str
    hint: str
    login: str
    challenge: str
    expires_at_s: int
    state: str
    link: str | None = None


class Accepting(SQLModel, table=True):
    """An offer this node is taking at a partner: written before the call, so that a crash loses no half of a secret."""

    offer: str = Field(primary_key=True)
    subject: str
    unique: str
    body: str
    message: str
    started_at_s: int


class Link(SQLModel, table=True):
    """A link; its secret is in custody.

    Attributes:
        waits_until_s: until when it waits for the own receipt of a subject that has come of age.
        answered_until_s: at the issuer, up to when earlier links of the same subject answered for the program.
    """

    id: str = Field(primary_key=True)
    partner: str
    program: str
    role: str
    subject: str = Field(index=True)
    partner_hint: str
    login: str
    state: str
    created_at_s: int
    ended_at_s: int | None = None
    waits_until_s: int | None = Field(default=None, index=True)
    answered_until_s: int = Field(default=0, sa_column_kwargs={"server_default": "0"})


class LinkUnique(SQLModel, table=True):
    """`u` of CONSTRUCTIONS: one link for each of our subjects, recipient and program.

    Attributes:
        answered_until_s: the end of the last period that links of this subject answered and have ended since.
    """

    unique: str = Field(primary_key=True)
    link: str | None = Field(default=None, index=True)
    free_from_s: int | None = None
    answered_until_s: int = Field(default=0, sa_column_kwargs={"server_default": "0"})


class Program(SQLModel, table=True):
    """A version of a program this node knows."""

    payer: str = Field(primary_key=True)
    program: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    document: str
    digest: str


class Agreement(SQLModel, table=True):
    """A program that two partners signed, or one of them so far."""

    id: str = Field(primary_key=True)
    payer: str
    program: str = Field(index=True)
    version: int
    issuer: str
    payer_token: str
    issuer_token: str | None = None


class Receipt(SQLModel, table=True):
    """A receipt.

    Attributes:
        live_leaf: index of the entry that made it live, in the log that is written now: after a turn of the year that
            is the part of the opening which carries it.
        lived_leaf: the same, after it was stopped.
        last_step: its last step as its entry has it, with what its ending let through.
        confirm_by_s: until when the subject must say yes again, where that is here; it pauses then.
        settles_until_s: until when what its ending lists may still come; None where nothing may.
        unacknowledged_since_s: when the step was taken here that the other partner has not signed for.
        next_close_s: when the next period of its program is to be evaluated here, if ever.
    """

    id: str = Field(primary_key=True)
    version: int
    link: str = Field(index=True)
    partner: str
    role: str
    state: str
    terms: str
    notice: str
    last_step: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    evidence: str | None = None
    signed: str | None = None
    acknowledgement: str | None = None
    requested_at_s: int
    acknowledged_at_s: int | None = None
    live_leaf: int | None = None
    uses: int = 0
    ended_at_s: int | None = None
    end_acknowledged_at_s: int | None = None
    valid_until_s: int
    next_period: str | None = None
    next_close_s: int | None = None
    lived_leaf: int | None = None
    confirm_by_s: int | None = Field(default=None, index=True)
    settles_until_s: int | None = Field(default=None, index=True)
    unacknowledged_since_s: int | None = Field(default=None, index=True)

    # In the order in which they are closed: at the end of a month many are due at one moment.
    __table_args__ = (Index("receipt_by_close", "next_close_s", "id"),)


class ReceiptVersion(SQLModel, table=True):
    """A version of a receipt that is not the one in force.

    Attributes:
        state: `requested` while the subject has not answered; `superseded`, `refused` or `expired`.
        last_step: of one that is requested, as its entry has it.
    """

    receipt: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    state: str = Field(index=True)
    terms: str
    last_step: str
    changed_at_s: int


class SignedFor(SQLModel, table=True):
    """What this node answered a stop that a partner signed: the same, however often it is asked.

    Attributes:
        signed: digest of the partner's signed stop.
        token: our signed acknowledgement.
        crossed: the receipt and the state, where it had ended here before; each crosses an end once.
    """

    __table_args__ = (Index("signedfor_crossed", "crossed", unique=True),)

    signed: str = Field(primary_key=True)
    token: str
    crossed: str | None = None


class Duty(SQLModel, table=True):
    """What this node, where it receives, keeps of a receipt until a time; the row goes once that is discharged.

    Attributes:
        field, ground: words of `tallystick_consent.receipts.retention`.
        claim: of an answer, its digest; else "".
        due_s: until when it is kept.
        declared: the receipt's terms name it, so that its discharge is logged.
    """

    number: int | None = Field(default=None, primary_key=True)
    receipt: str = Field(index=True)
    field: str
    ground: str
    claim: str
    due_s: int = Field(index=True)
    declared: bool


class Event(SQLModel, table=True):
    """A sealed event, and what is needed to find it again; erased with its subject.

    Attributes:
        leaf: index of its entry.
        log: the name of the log in which that stands.
        corrected_by: the entry that says that it was wrong; it does not count any more.
    """

    id: str = Field(primary_key=True)
    leaf: int
    log: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    subject: str
    type: str
    data_class: str
    at_s: int
    receipt: str
    commitment: bytes
    ciphertext: bytes
    recorded_at_s: int
    corrected_by: str | None = None

    __table_args__ = (Index("event_by_subject_class_time", "subject", "data_class", "at_s"),)


class Ask(SQLModel, table=True):
    """A partner's question, kept as it came; whether it means anything is found out later."""

    id: int | None = Field(default=None, primary_key=True)
    partner: str
    link: str
    program: str
    version: int
    period: str
    received_at_s: int


class Decision(SQLModel, table=True):
    """What this node decided about a subject's period; never leaves it but to the subject.

    Attributes:
        band: which band was found, None where the rule has none or there was no answer.
        flags: what a person should look at, by how often, JSON.
        claim: digest of the claim that told it, "" where none did.
    """

    id: int | None = Field(default=None, primary_key=True)
    subject: str = Field(index=True)
    receipt: str = Field(index=True)
    partner: str
    program: str
    version: int
    period: str
    outcome: str
    counted: int
    not_counted: str
    reasons: str
    decided_at_s: int
    band: int | None = None
    flags: str = Field(default="{}", sa_column_kwargs={"server_default": text("'{}'")})
    claim: str = Field(default="", sa_column_kwargs={"server_default": text("''")})


class Contest(SQLModel, table=True):
    """That a subject says a decision of this node is wrong; ends with the receipt, as the decision does.

    Attributes:
        decision: the decision's number.
        ground: a word of `wire.Ground`; nothing a person wrote freely.
        state: `open`, then `upheld` or `declined`.
        because: why it was declined, a word; "" otherwise.
        correction: what upholding it corrected, "" for nothing.
        answer_by_s: when an answer is due.
        delayed: why it takes longer than a month, a word; "" where it does not.
    """

    id: str = Field(primary_key=True)
    subject: str = Field(index=True)
    receipt: str = Field(index=True)
    decision: int = Field(unique=True)
    ground: str
    contested_at_s: int
    state: str = Field(default="open", sa_column_kwargs={"server_default": text("'open'")})
    because: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    correction: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    answered_at_s: int | None = None
    answer_by_s: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    delayed: str = Field(default="", sa_column_kwargs={"server_default": text("''")})


class Disclosure(SQLModel, table=True):
    """The last step of an answer, as its entry has it."""

    claim: str = Field(primary_key=True)
    body: str


class Claim(SQLModel, table=True):
    """A claim this node issued or accepted.

    Attributes:
        leaf: index of the entry that issued or accepted it.
        entry: at a recipient, the id of that entry; "" where an older version accepted it.
        log: the name of the log in which that stands.
        logged_at_s: when that was recorded.
        band: at a recipient, the band that it says; None where its rule has none.
        status_list, status_index: where the issuer publishes whether it still stands; at the issuer alone.
        has_holder: it is bound to a wallet's key, so that its subject can present it.
        handed_at_s: when it was handed to its subject's wallet, if ever.
    """

    number: int | None = Field(default=None, primary_key=True)
    digest: str = Field(unique=True)
    id: str
    role: str
    partner: str
    link: str
    receipt: str = Field(index=True)
    program: str
    version: int
    period: str
    nullifier: str = Field(index=True)
    state: str
    token: str
    salt: str
    expires_at_s: int
    leaf: int
    entry: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    log: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    logged_at_s: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    answer: str = ""
    acceptance: str = ""
    band: int | None = None
    status_list: str | None = None
    status_index: int | None = None
    has_holder: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    handed_at_s: int | None = None


class StatusList(SQLModel, table=True):
    """A list that says of the claims made for one partner whether they still stand.

    Attributes:
        used: how many places are taken.
        changes: how many claims were revoked in it, so that a signed copy is known to be current.
    """

    id: str = Field(primary_key=True)
    partner: str = Field(index=True)
    used: int
    changes: int
    created_at_s: int


class StatusPlace(SQLModel, table=True):
    """A place of a status list that is taken, by a claim that the place itself does not name."""

    list: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    revoked_at_s: int | None = None


class Overtaken(SQLModel, table=True):
    """A claim, by its digest, that its issuer took back before it had come here: it is not taken when it comes.

    Attributes:
        partner: whose word that is; of another issuer's claim it says nothing.
        receipt: under which the claim was issued.
    """

    partner: str = Field(primary_key=True)
    claim: str = Field(primary_key=True)
    receipt: str = Field(index=True)
    at_s: int


class Correction(SQLModel, table=True):
    """A correction of a subject's event, as it was signed; its id is its entry's. Erased with its subject."""

    id: str = Field(primary_key=True)
    subject: str = Field(index=True)
    token: str


class WalletKey(SQLModel, table=True):
    """The key of a subject's wallet, and the one link that it signs for."""

    public_key: str = Field(primary_key=True)
    link: str


class Reward(SQLModel, table=True):
    """A reward of one of our subjects; its id is the transfer's.

    Attributes:
        unique: `p`, while it is paid or waits; its own id after it was taken back, by the transfer `reversed_by`.
        cause: id of the entry that accepted its claim, which the transfer names; "" where an older version put it on
            the waiting list, and did not keep it.
    """

    id: str = Field(primary_key=True)
    subject: str = Field(index=True)
    link: str
    receipt: str
    claim: str
    program: str
    version: int
    period: str
    unique: str = Field(unique=True)
    asset: str
    amount_minor: int
    state: str
    posted_at_s: int | None = None
    reversed_by: str | None = None
    cause: str = Field(default="", sa_column_kwargs={"server_default": text("''")})


class Account(SQLModel, table=True):
    """The balance of an account."""

    name: str = Field(primary_key=True)
    asset: str = Field(primary_key=True)
    debits_posted: int
    debits_pending: int
    credits_posted: int
    credits_pending: int


class Transfer(SQLModel, table=True):
    """The last step of a transfer, as its entry has it.

    Attributes:
        reverses: the transfer that it takes back; each is taken back once.
    """

    id: str = Field(primary_key=True)
    body: str
    reverses: str | None = None

    __table_args__ = (Index("transfer_taken_back_once", "reverses", unique=True),)


class Message(SQLModel, table=True):
    """Something to deliver to a partner, once; `id` is its idempotency key there.

    Attributes:
        kind: which follow-up its answer has here.
        about: the receipt, agreement or claim it is about.
        receipt: the receipt under which an answer leaves; withheld with it.
        state: `queued`, `sending`, `delivered`, `withheld`, `expired` or `rejected`.
        maybe_arrived: an attempt ended without an answer, and may have reached the partner all the same.
    """

    number: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    partner: str
    path: str
    body: str | None = None
    kind: str
    about: str
    receipt: str | None = Field(default=None, index=True)
    state: str
    not_before_s: int
    attempts: int = 0
    next_attempt_s: int
    maybe_arrived: bool = False

    __table_args__ = (Index("message_by_partner_state", "partner", "state"),)


class Erasure(SQLModel, table=True):
    """A link that was, or is to be, erased at both of its ends.

    Attributes:
        link: its id; the row outlives what the link held.
        of: the tombstone's name of the subject that asked here; "" where the partner asked.
        buried: number of the tombstone.
        state: `due` until its time within the 24 hours; `asked`; `attested`, or `refused` by the partner. Where the
            partner asked, `attested` at once.
        receipts: ids of the link's receipts, JSON.
        held: claims that had not left, and those that may have, when the subject asked; JSON, by digest.
        request, attestation: as they were signed.
        log, leaf: where the entry stands by which it was asked for; null where the partner asked.
        attested_log, attested_leaf: where the entry stands that tells of the attestation.
    """

    id: str = Field(primary_key=True)
    link: str = Field(index=True)
    partner: str
    role: str
    of: str = Field(index=True)
    buried: int
    state: str = Field(index=True)
    receipts: str
    held: str
    due_s: int
    asked_at_s: int | None = None
    attested_at_s: int | None = None
    request: str = ""
    attestation: str = ""
    log: str = ""
    leaf: int | None = None
    attested_log: str = ""
    attested_leaf: int | None = None


class Buried(SQLModel, table=True):
    """A tombstone that these rows have obeyed.

    Attributes:
        name: the name on it, under which custody kept what it stands for: a keyed hash of a subject, or a link.
        scrubbed: whether what was deleted is in no file of the database any more.
        secrets_too: names of what custody destroyed with it, a JSON array.
        outlives: the name of what custody keeps until `until_s`; "" for nothing.
    """

    number: int = Field(primary_key=True)
    name: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    scrubbed: bool = False
    secrets_too: str = Field(default="[]", sa_column_kwargs={"server_default": text("'[]'")})
    outlives: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    until_s: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})


class Witnessed(SQLModel, table=True):
    """The checkpoint of a partner's log that this node cosigned last, its cosignature with it."""

    origin: str = Field(primary_key=True)
    origin_digest: str = Field(unique=True)
    size: int
    root: bytes
    note: bytes
    cosigned_at_s: int


class WitnessCount(SQLModel, table=True):
    """How often one of this node's witness keys has cosigned; a file beside the database counts along."""

    key: str = Field(primary_key=True)
    cosigned: int


class Followed(SQLModel, table=True):
    """The last head that was seen of a partner's log, and what of that log stands in ours.

    Attributes:
        keys: what `note` was signed with when it came, verifier keys one a line.
        state: `following`, or `forked` once it has shown two histories.
        own_log: the log of ours that the next three are about.
        anchors: how many entries in it are about this log.
        anchored_size: the size of the last head in it.
        news: how many entries in it were no anchors when that one was made.
    """

    origin: str = Field(primary_key=True)
    partner: str = Field(index=True)
    note: bytes
    keys: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    state: str
    own_log: str
    anchors: int
    anchored_size: int
    news: int
    seen_at_s: int


class KeyLogged(SQLModel, table=True):
    """The last step of one of this node's keys that its log tells of."""

    public: str = Field(primary_key=True)
    state: str


class AuditRead(SQLModel, table=True):
    """That an auditor read an entry bundle."""

    id: int | None = Field(default=None, primary_key=True)
    key: str
    path: str
    read_at_s: int


class Standing(SQLModel, table=True):
    """Who speaks for a subject that does not, or not alone, speak for itself; never leaves the node.

    Attributes:
        kind: `minor`, `joint` or `company`.
        speakers: the ids of those who may speak, a JSON array.
        of_age_from_s: of a minor, from when on it speaks for itself.
        needed: of joint holders, how many must say yes.
    """

    subject: str = Field(primary_key=True)
    kind: str
    speakers: str
    of_age_from_s: int | None = None
    needed: int | None = None
    recorded_at_s: int


class Act(SQLModel, table=True):
    """Something that a person did or was told, other than in an app of its own: sealed, and committed to.

    Attributes:
        kind: `give`, `renew`, `narrow`, `approve`, `refuse`, `defer`, `pause`, `stop`, `see`, `erase`, `dispute` or
            `match`; `answer` where one of ours answered, `delay` where one said that this takes longer.
        by: who spoke for the subject, "" for the subject itself.
        grade: how it was seen.
        state: `done`, or `open` where somebody has to act on it, then `granted` or `declined`.
        because: why it was declined, a word; "" otherwise.
        correction: what was corrected since it was granted, "" for nothing.
        answer_by_s: when an answer is due, 0 where nothing was asked for.
        delayed: why it takes longer than a month, a word; "" where it does not.
        yes_to: of an approval that still counts: the digest of exactly what was approved; "" for all others.
    """

    __table_args__ = (Index("act_open", "state", "answer_by_s"),)

    number: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    subject: str = Field(index=True)
    receipt: str = Field(index=True)
    kind: str
    by: str
    grade: str
    state: str
    commitment: bytes
    ciphertext: bytes
    at_s: int
    yes_to: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    because: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    correction: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    answered_at_s: int | None = None
    answer_by_s: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    delayed: str = Field(default="", sa_column_kwargs={"server_default": text("''")})


class Letter(SQLModel, table=True):
    """A one-time code that went out by letter; the code itself is derived, and kept nowhere.

    Attributes:
        tries: how often a wrong code was told for its subject meanwhile.
        state: `open`, `used`, or `dead` after too many of those.
    """

    id: str = Field(primary_key=True)
    subject: str = Field(index=True)
    state: str
    tries: int
    expires_at_s: int = Field(index=True)


class Matching(SQLModel, table=True):
    """What became of an offer that somebody brought by letter, found again by the digest of its code.

    Attributes:
        state: `pending`, `matched`, `ambiguous` or `rejected`.
        subject: the one customer it could be, "" where there were none or several.
    """

    offer: str = Field(primary_key=True)
    state: str
    subject: str = Field(index=True)
    link: str | None = None
    at_s: int


WHOLE = BigInteger().with_variant(Integer(), "sqlite")
"""Times, sizes and amounts have 64 bits on every database; SQLite's INTEGER has them already."""


def _table(model: type[SQLModel]) -> Table:
    table = SQLModel.metadata.tables[model.__name__.lower()]
    for column in table.columns:
        if isinstance(column.type, Integer):
            column.type = WHOLE
            if column.primary_key and model.model_fields[column.name].is_required():
                column.autoincrement = False  # no sequence of PostgreSQL for what we number ourselves
    return table


# What statements are built from: models describe, tables are asked (rows as objects are many times slower).
HEADS = _table(Head)
BLOBS = _table(Blob)
IDEMPOTENCY = _table(Idempotency)
NONCES = _table(Nonce)
APP_KEYS = _table(AppKey)
PARTNERS = _table(Partner)
OFFERS = _table(Offer)
ACCEPTING = _table(Accepting)
LINKS = _table(Link)
LINK_UNIQUE = _table(LinkUnique)
PROGRAMS = _table(Program)
AGREEMENTS = _table(Agreement)
RECEIPTS = _table(Receipt)
SIGNED_FOR = _table(SignedFor)
DUTIES = _table(Duty)
RECEIPT_VERSIONS = _table(ReceiptVersion)
EVENTS = _table(Event)
ASKS = _table(Ask)
DECISIONS = _table(Decision)
CONTESTS = _table(Contest)
DISCLOSURES = _table(Disclosure)
CLAIMS = _table(Claim)
STATUS_LISTS = _table(StatusList)
STATUS_PLACES = _table(StatusPlace)
OVERTAKEN = _table(Overtaken)
CORRECTIONS = _table(Correction)
WALLET_KEYS = _table(WalletKey)
REWARDS = _table(Reward)
ACCOUNTS = _table(Account)
TRANSFERS = _table(Transfer)
MESSAGES = _table(Message)
KEYS_LOGGED = _table(KeyLogged)
AUDIT_READS = _table(AuditRead)
WITNESSED = _table(Witnessed)
WITNESS_COUNTS = _table(WitnessCount)
FOLLOWED = _table(Followed)
STANDINGS = _table(Standing)
ACTS = _table(Act)
LETTERS = _table(Letter)
MATCHINGS = _table(Matching)
ERASURES = _table(Erasure)
BURIED = _table(Buried)
