"""Errors of the node; `app` holds the only table from a class to a status.

TallyError
  KeyInvalid           an app's key is unknown, expired or missing
  ScopeMissing         an app's key may not do this
  NotFound             nothing here has that id, or the caller may not know of it
    NotPublished       the published head does not cover what is asked for
  OfferRefused         a link offer cannot be taken; why is not said
  CodeRefused          a code by letter cannot be taken; why is not said
  Refused              the ledger's rules say no, with the code of the decision to take
  AskedTooMuch         more was asked for than one answer has room for
  IdempotencyMissing   a write without a key
  IdempotencyRefused   a write under a key that was used for something else
  ReplayDetected       a signed request was seen before
  PartnerUnknown       no partner of that name was added here
  PeerUnavailable      a partner's node does not answer now
  StatusUnavailable    whether a partner's claim still stands could not be looked up
  StorageUnavailable   the database is locked, full or read-only; nothing was done
  StoreUnavailable     the files of the log cannot be read or written; nothing was published
  LogEnded             a successor goes on where this log ended
  LogNotContinued      the database is older than the published log, or of another one
  LogUnreadable        a file of the published log is missing or damaged, or its store does not answer
  ForkSuspected        a witness has seen a log that this one does not continue
  WitnessForgot        the database has forgotten what the node's witness keys have cosigned; nothing is cosigned
  FolderInUse          another process runs the node in this folder
  LogReadOnly          others hold a head of this log that it does not continue; nothing is written to it any more
  LogUnasked           nobody could be asked yet whether this log may go on, and the settings say to wait
  ClockBehind          the clock is behind the log's last entry; nothing is written until it is right
  SettingsInvalid      the node's settings or key files cannot be used
    KeysLocked         the key files are sealed, and the passphrase is missing or another
  BackupRefused        a data backup cannot be made or put back, with the code of the reason
  SignerUnavailable    the external signer does not answer, or not with a signature of its key
"""

from tallystick_ledger.errors import BadInput, TallyError


class KeyInvalid(TallyError):
    """An app's key is unknown, expired or missing; which of them is not said."""

    code = "key_invalid"


class ScopeMissing(TallyError):
    """An app's key may not do this."""

    code = "scope_missing"


class NotFound(TallyError):
    """Nothing here has that id, or the caller may not know of it."""

    code = "not_found"


class NothingHeld(NotFound):
    """Nothing is held about a customer of that id, so that there is nothing to do about it."""

    code = "nothing_held"


class NotPublished(NotFound):
    """The published head does not cover what is asked for: not yet, or nothing ever will."""

    code = "not_published"


class OfferRefused(TallyError):
    """A link offer cannot be taken: unknown, used, expired or clashing, and which of them is not said."""

    code = "offer_refused"


class CodeRefused(TallyError):
    """A code by letter cannot be taken: unknown, used, expired or told wrong too often; which of them is not said."""

    code = "code_refused"


class Refused(TallyError):
    """A write that the rules do not allow, with the code of the decision to take.

    Attributes:
        existing_id: what already stands where this would have stood, or None.
    """

    def __init__(self, code: str, problem: str, *, remedy: str, existing_id: str | None = None) -> None:
        super().__init__(problem, remedy=remedy)
        self.code = code
        self.existing_id = existing_id


class AskedTooMuch(BadInput):
    """More was asked for than one answer has room for."""

    code = "limit_reached"


class IdempotencyMissing(TallyError):
    """A write came without an idempotency key."""

    code = "idempotency_key_missing"


class IdempotencyRefused(TallyError):
    """An idempotency key was used before, with another body."""

    code = "idempotency_key_reused"


class ReplayDetected(TallyError):
    """A signed request was seen before."""

    code = "replay_detected"


class PartnerUnknown(TallyError):
    """No partner of that name was added here."""

    code = "partner_unknown"


class PeerUnavailable(TallyError):
    """A partner's node does not answer now."""

    code = "peer_unavailable"


class StatusUnavailable(TallyError):
    """Whether a partner's claim still stands could not be looked up; it is not used."""

    code = "status_unavailable"


class StorageUnavailable(TallyError):
    """The database is locked, full or read-only; nothing was done."""

    code = "storage_unavailable"


class StoreUnavailable(TallyError):
    """The place of the log's files cannot be read or written now; nothing was published."""

    code = "store_unavailable"


class LogEnded(TallyError):
    """A successor goes on where this log ended; nothing was appended.

    Attributes:
        successor: the name of the log that goes on.
    """

    code = "log_ended"

    def __init__(self, problem: str, *, remedy: str, successor: str) -> None:
        super().__init__(problem, remedy=remedy)
        self.successor = successor


class LogNotContinued(TallyError):
    """The database is older than the published log, or of another one: to go on would fork it."""

    code = "log_not_continued"


class LogUnreadable(TallyError):
    """A file of the published log is missing or damaged, or its store does not answer."""

    code = "log_unreadable"


def log_unreadable() -> LogUnreadable:
    """Return the error for a published file that cannot be shown: ours to mend, and no mistake of who asks."""
    return LogUnreadable(
        "A file of the published log is missing or damaged, or its store does not answer.",
        remedy="Try again later; the operator audits the log's folder with tally audit.",
    )


class ForkSuspected(TallyError):
    """A witness has seen a log that this one does not continue: publication has stopped.

    Attributes:
        note: the head that it has seen, signed by our own key.
    """

    code = "fork_suspected"

    def __init__(self, problem: str, *, remedy: str, note: bytes = b"") -> None:
        super().__init__(problem, remedy=remedy)
        self.note = note


class WitnessForgot(TallyError):
    """This node's database has forgotten what its witness keys have cosigned; nothing is cosigned with them."""

    code = "witness_forgot"


class FolderInUse(TallyError):
    """Another process runs the node in this folder."""

    code = "folder_in_use"


class LogReadOnly(TallyError):
    """Others hold a head of this log that it does not continue; nothing is written to it any more."""

    code = "log_read_only"


class LogUnasked(TallyError):
    """Nobody could be asked yet whether this log may go on, and the settings say to wait."""

    code = "log_unasked"


def log_read_only() -> LogReadOnly:
    """Return the error for a write to a log that must not be written any more."""
    return LogReadOnly(
        "Others hold a head of this log that it does not lead to, so nothing more is written to it.",
        remedy="The operator restores the newest backup, or begins a successor: tally-node successor FOLDER",
    )


class ClockBehind(TallyError):
    """The clock is behind the log's last entry by more than clocks may differ; nothing is written until it is right."""

    code = "clock_skew"


class NotReady(TallyError):
    """The node runs, and publishes nothing so far."""

    code = "not_ready"


class TooManyRequests(TallyError):
    """A caller calls more often than it may.

    Attributes:
        retry_after_s: when it may call again, in seconds, at least 1.
    """

    code = "rate_limited"
    retryable = True

    def __init__(self, problem: str, *, remedy: str, retry_after_s: int) -> None:
        super().__init__(problem, remedy=remedy)
        self.retry_after_s = retry_after_s


class SettingsInvalid(TallyError):
    """The node's settings or key files cannot be used."""

    code = "settings_invalid"


class KeysLocked(SettingsInvalid):
    """The key files are sealed, and the passphrase is missing or another."""

    code = "keys_locked"


class SignerUnavailable(TallyError):
    """The external signer does not answer in time, refuses, or gives what its key did not sign; nothing was done."""

    code = "signer_unavailable"


class BackupRefused(TallyError):
    """A data backup cannot be made there, or not be put back; nothing was changed. Its code says why."""

    def __init__(self, code: str, problem: str, *, remedy: str) -> None:
        super().__init__(problem, remedy=remedy)
        self.code = code


def no_such_thing() -> NotFound:
    """Return the error for what is not there, or not for this caller: the two look alike."""
    return NotFound("There is no such thing here.", remedy="Check the id, and whose it is.")
