"""What the audit's rules are about: each promise, what it is replayed from, and what no rule can see of it.

An auditor who reads "held" must be able to read what that leaves open; so a promise without a rule stands here too.
"""

from dataclasses import dataclass

from tallystick.audit.rules import LIMITS, RULES, needs_of
from tallystick.audit.source import AuditNotRun


@dataclass(frozen=True, slots=True)
class Subject:
    """What the rules whose ids begin alike are about.

    Attributes:
        promise: what is to hold, in a sentence.
        read_from: what the rules read; "" where there are none.
        unseen: what no rule can see of it.
    """

    promise: str
    read_from: str
    unseen: str


SUBJECTS: dict[str, Subject] = {
    "log": Subject(
        "What is served is the signed log, and nothing else.",
        "every file of the log, hashed, and the keys the auditor was given",
        "whether the keys are the company's: compare their fingerprints with somebody who knows",
    ),
    "entry": Subject(
        "Every entry has the one spelling and the closed form of its kind.",
        "every entry's bytes",
        "kinds that this version does not know: the report counts them as unchecked",
    ),
    "P1": Subject(
        "The log is append-only: no signed head is ever inconsistent with an earlier one.",
        "heads, tiles, `opening`, `key` and `peer_head` entries, and heads that witnesses, partners and earlier audits"
        " hold",
        "a second history that was shown to somebody whom the auditor cannot ask",
    ),
    "P2": Subject(
        "What was acknowledged is durable.",
        "",
        "whether an answer that an app was given is in the log: give its proof to `tally verify`",
    ),
    "P3": Subject(
        "Nothing that identifies a person, and no private value, stands in an entry.",
        "every entry's form (`entry.malformed`: no free text has a place), and every `transfer`",
        "whether a name was chosen to mean a person (a program, a data class, an expense); logs, URLs and errors of the"
        " node, which are not in the ledger; digests, which a salt keeps from being guessed if there is one",
    ),
    "P4": Subject(
        "Every answer that was logged, accepted or paid names a receipt that was live, for that recipient, purpose,"
        " rung and period.",
        "`receipt`, `disclosure`, `acceptance` and `transfer` entries",
        "answers that went out by other means; whether the subject was who gave; which data an answer was made of; use"
        " numbers before the opening of a log that continues another",
    ),
    "P5": Subject(
        "A withdrawal reaches the other side and is acknowledged with a signed time, or the subject sees that it is"
        " not.",
        "`receipt` entries, and with both companies' logs those of the other one",
        "the signature itself, which only its two owners hold (`tally verify` checks one that is shown); what the"
        " subject saw; whether a recipient forgot what it had learned",
    ),
    "P6": Subject(
        "What two partners without a common link are shown does not let them match a subject.",
        "",
        "what partners pool: it is measured by a test of the product, and not told by a ledger",
    ),
    "P7": Subject(
        "At most one posted reward for each subject, program, period and slot.",
        "`disclosure`, `acceptance` and `transfer` entries, and what an opening carries of the 1,500 days before",
        "whether two unique values are one subject's: whoever makes them could make two",
    ),
    "P8": Subject(
        "Money is double entry: every asset sums to zero, no budget is overdrawn, both halves agree.",
        "`transfer` and `program` entries, and with both companies' logs the other halves",
        "whether a bank ever moved what the books say",
    ),
    "P9": Subject(
        "Erasure leaves every proof valid and no payload readable; what may be kept until a time is gone by then.",
        "`erasure` entries, and with both companies' logs the other end's; `receipt`, `acceptance` and `discharge`"
        " entries",
        "whether keys and payloads are gone: an attestation is a company's word, and so is a discharge; how long is"
        " kept what the terms name no field of",
    ),
    "P10": Subject(
        "The same idempotency key and body gives the same reply.",
        "",
        "what was answered to whom: replies are not in the ledger",
    ),
    "P11": Subject(
        "A denied ask looks the same for unknown, unlinked and unconsented.",
        "",
        "asks that were denied: they leave no entry, on purpose",
    ),
    "P12": Subject(
        "A witness never cosigns a fork.",
        "",
        "a fork that no head the auditor has seen is of; two cosigned heads of one size are found as P1.fork and"
        " P1.split_view",
    ),
    "P13": Subject(
        "One slow or dead partner delays nobody else.",
        "",
        "when something was sent: only that it was issued, and that it came back",
    ),
    "P14": Subject(
        "Every reward and every refusal can be explained to the subject.",
        "`program`, `disclosure`, `acceptance` and `transfer` entries: which version of which program a reward or fee"
        " was paid by, and for which answer; `correction` and `retraction` entries: because of what it was taken back",
        "refusals, and what was counted: neither leaves an entry; the subject reads both at the node",
    ),
    "P15": Subject(
        "What is over its bound is refused, and nothing is half done.",
        "",
        "what was refused: it leaves no entry; an entry over its bound is `entry.malformed`",
    ),
    "P16": Subject(
        "Times are honest, and a withdrawal whose acknowledgement is missing after its deadline convicts.",
        "the time of every entry, cosignatures' times, partners' heads, and `receipt` entries",
        "times between two heads that nobody else has seen; who is to blame for a missing acknowledgement, unless the"
        " other company's log is audited too; withdrawals that name no deadline, in a log where none names one (the"
        " report counts them in a note)",
    ),
    "P17": Subject(
        "All answers of one source to one recipient over one period, taken together, stay within what was agreed: those"
        " up to each rung within that rung.",
        "`disclosure`, `acceptance` and `receipt` entries, and what `program` entries say that answers tell",
        "which receipts are one person's, so programs are held together as if each person had all of them that could"
        " be asked for at one time: a version that was followed by another before the other program came is not held"
        " beside that; whether an entry says of its program what the program does"
        " (whoever has the document can compute it); programs of before that was said; periods of different spans",
    ),
    "X": Subject(
        "Two companies' books agree.",
        "the entries of both logs",
        "what only one of the two logs could show, where the other one was not given; which of the two was not heard,"
        " or did not listen",
    ),
}
"""Each promise and each other kind of rule, by what its ids begin with; `PROMISE.rule` is a rule's id."""


def explained(name: str) -> str:
    """Return what a rule, or all rules of a promise, check, from what, and what they cannot.

    Raises:
        AuditNotRun: there is no rule and no promise of that name.
    """
    if name in RULES:
        return "\n".join((_line(name), *_about(SUBJECTS[name.partition(".")[0]])))
    if name not in SUBJECTS:
        raise AuditNotRun("There is no such rule.", remedy="`tally audit --explain` lists them.")
    subject = SUBJECTS[name]
    return "\n".join((f"{name}: {subject.promise}", *map(_line, _rules_of(name)), *_about(subject, promised=False)))


def all_explained() -> str:
    """Return every rule's id and what it checks, by promise, and what no audit can say."""
    return "\n".join((*(line for name in SUBJECTS for line in _listed(name)), LIMITS))


def _listed(name: str) -> list[str]:
    rules = _rules_of(name)
    none = [] if rules else [f"  no rule; not checked: {SUBJECTS[name].unseen}."]
    return [f"{name}: {SUBJECTS[name].promise}", *none, *(f"  {_line(rule)}" for rule in rules)]


def _rules_of(name: str) -> list[str]:
    return [rule for rule in RULES if rule.partition(".")[0] == name]


def _line(rule: str) -> str:
    needs = needs_of(rule)
    return f"{rule}: {RULES[rule]}{f' ({needs})' if needs else ''}"


def _about(subject: Subject, *, promised: bool = True) -> list[str]:
    lines = [f"  promise: {subject.promise}"] if promised else []
    if subject.read_from:
        lines.append(f"  read from: {subject.read_from}.")
    return [*lines, f"  not checked: {subject.unseen}.", f"  {LIMITS}"]
