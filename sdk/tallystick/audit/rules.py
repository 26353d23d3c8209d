"""The rules of the audit: what each id that a finding can carry stands for.

Ids are stable: scripts and reports rely on them. `P...` are the promises of the design; `log` and `entry` are about
bytes, and come first because nothing else counts where they fail; `X` holds two companies' books side by side.
"""

RULES: dict[str, str] = {
    "log.keys": "Every key file holds verifier keys of its kind, one a line, in the spelling of c2sp.org/signed-note.",
    "log.checkpoint": "The checkpoint is well formed, of the log its keys belong to, and has the root that the entries"
    " lead to.",
    "log.signature": "Every key that must sign the checkpoint has exactly one line in it, and its signature is right.",
    "log.unlisted_line": "Every signature line of the checkpoint is of a listed key.",
    "log.quorum": "As many witnesses as the policy asks for have signed the checkpoint; without a policy, one of those"
    " that are listed.",
    "log.tile": "Every tile, full, partial or left from an earlier size, is byte for byte what the entries hash to.",
    "log.bundle": "Every bundle holds as many entries as its place asks for, and those left from earlier sizes hold the"
    " same ones.",
    "log.missing_file": "Every file that a log of the signed size serves is there and can be read.",
    "log.unexpected_file": "Nothing else lies in the log's folder: no other file, no link, no tile beyond the signed"
    " size.",
    "entry.malformed": "Every entry is canonical JSON in the envelope, and its body has the form of its kind.",
    "P1.opening": "A log's first entries, and no others, are the parts of its opening, whole and in order, and name the"
    " log they stand in.",
    "P1.chain": "A log that continues another names that one's last head, and carries just what its entries lead to.",
    "P1.key_weak": "No key in a log's history is one under which signatures, or sealing, would mean nothing.",
    "P1.key_state": "A key is added once, retired or revoked after that, and never comes back.",
    "P1.key_head": "The keys that sign a log's head are in its own history of keys, and counted when they signed.",
    "P1.key_use": "Every answer and acceptance names a key of its role that counts at that place in the log.",
    "P1.key_descriptor": "A node's descriptor lists the keys that its log tells of, with the same begins and ends.",
    "P1.fork": "Two heads of one log are heads of one tree.",
    "P1.continues": "The log continues what an earlier audit saw of it.",
    "P1.split_view": "Every head of the log that a witness or a partner has seen lies on the tree of its head.",
    "P1.behind": "The log shows no smaller head than a witness or a partner has seen of it.",
    "P1.peer_head": "A head of another log that stands in a ledger is signed by that log.",
    "P3.account": "An account is named by its purpose, a program, a partner, or the pseudonym of a link: by no person.",
    "P3.unique": "The value that makes a reward payable once is none that the claim's issuer knows.",
    "P4.party": "A receipt stands only in the ledgers of its issuer and its recipient.",
    "P4.terms": "The terms of a receipt stay as they were in every step of one version.",
    "P4.transition": "A receipt goes only from a state to one that may follow it.",
    "P4.no_receipt": "Every answer names a receipt that is in the ledger.",
    "P4.not_live": "Every answer names a receipt that is in force, acknowledged and valid at that place and time.",
    "P4.receipt_leaf": "Every answer names the entry that made its receipt live.",
    "P4.recipient": "Every answer goes to the recipient that its receipt names.",
    "P4.purpose": "Every answer is for a purpose that its receipt covers.",
    "P4.rung": "No answer reveals more than its receipt permits.",
    "P4.program": "Every answer is for the program and version that its receipt names.",
    "P4.period": "Every answer is about a period that its receipt covers, and that had begun when it was given.",
    "P4.not_issued": "A claim is delivered or withheld only after it was issued in the same ledger.",
    "P4.disclosure": "A claim is delivered or withheld once, and as it was issued; who took it has signed for that.",
    "P4.grade": "Of every receipt that is given, its entry says how that was seen.",
    "P4.version": "Each version of a receipt follows the one in force, by number and digest; one is next at most.",
    "P4.widened": "A version that permits more than the one before was requested first.",
    "P4.uses": "No more answers are given under a receipt than it permits.",
    "P4.reconfirm": "No answer is given after the day by which the subject had to say yes again, and had not.",
    "P4.stale": "No answer is about a period that ended longer ago than its receipt permits.",
    "P4.whole": "No answer that must rest on all of a period is given under a receipt that covers a part of it.",
    "P4.after_withdrawal": "After a receipt was paused or ended, only what that entry lists is delivered, and within a"
    " day, unless a withdrawal settles it.",
    "P4.taken_back": "After a receipt was given again with less, only what it still covers is delivered, or within a"
    " day what had left and is listed.",
    "P4.number": "The answers under a receipt are numbered without a gap, so none is missing from the log.",
    "P4.acknowledgement": "For a receipt in force, the other partner signed just what was sent, and its own ledger says"
    " so too.",
    "P4.reward": "Every posted reward follows from an acceptance before it in the ledger, and each acceptance from at"
    " most one.",
    "P5.unsigned": "A pause or an ending that the other partner signs for names what was signed to tell it.",
    "P5.acknowledgement": "For a pause or an ending, the other partner signed just what was sent, and its own ledger"
    " says so too; one that met an end is signed for once, and changes nothing.",
    "P7.claim_twice": "A claim is issued once and accepted once.",
    "P7.nullifier": "A nullifier is delivered once and accepted once; an issuer's second claim for it says which"
    " undelivered one it replaces.",
    "P7.supersedes": "A claim replaces only one that was issued before it for the same nullifier.",
    "P7.slot": "A nullifier stands for one recipient, program and period, also where a claim replaces another.",
    "P7.paid_twice": "At most one reward that was not taken back is posted for each subject, program, period and slot.",
    "P7.unique": "What leaves a budget, unless it goes back where it came from, carries the value that makes it"
    " payable once.",
    "P8.overdrawn": "No budget promises or pays more than it holds.",
    "P8.state": "A transfer is reserved at most once, posted or voided once, and taken back at most once, whole and"
    " unchanged.",
    "P8.sum": "All postings of an asset sum to zero.",
    "P8.budget": "A program's budget of a period is funded from its own funds, by exactly what the program says.",
    "P8.program": "A version of a program stays as it was first logged.",
    "P8.reward": "A reward is what its program pays, taken from that program's budget of the accepted period.",
    "P9.party": "An erasure stands only in the ledgers of the two ends of its link.",
    "P9.step": "An erasure is logged once where the subject asked, then attested once, and stays as it was asked for.",
    "P9.still_live": "Before a link is erased, its receipts have ended.",
    "P9.after": "After a link was erased, nothing is issued, delivered or accepted under its receipts.",
    "P9.overdue": "What a recipient may keep until a time, by its receipt's terms, is discharged within a week of it.",
    "P9.discharge": "What is discharged was owed: once, by the recipient, and no sooner than it can be.",
    "P14.program": "Every answer is for a version of a program that stands in the ledger before it.",
    "P14.terms": "A reward or fee names the version of the program by which it is paid.",
    "P14.correction": "A correction names events that stand before it in its company's ledger, and no wrong one twice.",
    "P14.revoked": "A claim is revoked, or issued after its period was answered, because of a correction before it in"
    " the same ledger.",
    "P14.retraction": "A claim is retracted once, and only where it was accepted.",
    "P14.reversal": "A reward is taken back because the claim that it was paid for was retracted before.",
    "P16.order": "No entry states a time more than 5 minutes before that of an entry before it.",
    "P16.window": "The time that an entry states lies between those at which the heads around it were cosigned, or"
    " seen by a partner, give or take 5 minutes.",
    "P16.signed": "A partner's signature in a receipt's life states a time between what it is for and its entry, give"
    " or take 5 minutes.",
    "P16.acknowledged": "A pause or an ending with a deadline is signed for by the other partner before the log is 5"
    " minutes past it; the deadline is at most 30 days away, and named by all from the first that names one.",
    "P16.stale": "The newest cosignature of the head is no older than was asked for, and from no time to come.",
    "P17.alone": "What a program's answers tell, with their repetition and the size of the reward, is within the rung"
    " of every receipt they are given under; all programs say it, from the first in a log that does.",
    "P17.dates": "More than one answer about a single day needs a receipt that permits dates, where the program's"
    " entry does not say what it tells.",
    "P17.together": "What the programs up to each rung that one source answers to one recipient for one period tell"
    " together is within that rung.",
    "X.acceptance_missing": "Every claim that its issuer says it delivered, or one that it replaced, is accepted in the"
    " recipient's ledger.",
    "X.acceptance_differs": "A delivered claim and its own acceptance agree on parties, receipt, program, period,"
    " purpose, rung and nullifier.",
    "X.disclosure_missing": "Every accepted claim was issued in the issuer's ledger, within its audited head.",
    "X.disclosure_differs": "An accepted claim was issued at just the place the acceptance names, with the same"
    " content.",
    "X.withheld": "No claim is accepted that its issuer says it withheld, unless the issuer replaced it.",
    "X.retracted": "Every claim that its recipient says was retracted is revoked in its issuer's ledger.",
    "X.receipt_differs": "A version of a receipt has the same terms in both ledgers, and its withdrawal settles alike.",
    "X.program_differs": "A version of a program is the same in both ledgers.",
    "X.erasure_missing": "Every erasure that its partner is said to have attested stands in that partner's ledger.",
    "X.erasure_differs": "An erasure and its attestation are the same in both ledgers.",
    "X.half_missing": "Every posted transfer between partners has its other half in the other ledger.",
    "X.half_differs": "Both halves of a transfer have one id, asset, amount and terms, name each other, and end alike.",
}
"""What each rule checks, in a sentence, by its id."""

LIMITS = (
    "A log cannot prove that an event was true, that nothing went out by other means, "
    "or what a recipient did with an answer."
)


_NEED_SEVERAL = ("X.", "P1.fork", "P1.chain", "P1.peer_head")
_NEED_NO_REPLAY = ("log.", "P1.fork", "P1.continues", "P1.split_view", "P1.behind", "P16.stale")
"""Rules, by how their ids begin, that need more than one source, and those that need no replay of entries."""


_NEED_MORE = {
    "P1.split_view": "needs witnesses that are asked, or several logs",
    "P1.behind": "needs witnesses that are asked, or several logs",
    "P1.continues": "needs an earlier audit, --since",
    "P16.stale": "needs --max-age",
}


def needs_of(rule: str) -> str:
    """Return what an audit must be given to check a rule, beyond one log; "" for nothing."""
    return _NEED_MORE.get(rule, "needs several logs" if rule.startswith(_NEED_SEVERAL) else "")


def rules_for(
    source_count: int,
    *,
    replayed: bool = True,
    continued: bool = False,
    dated: bool = False,
    asked: bool = False,
) -> tuple[str, ...]:
    """Return the ids of the rules that an audit checks.

    Args:
        source_count: of how many logs.
        replayed: whether their entries were replayed, and not only hashed.
        continued: whether it goes on from an earlier one.
        dated: whether a greatest age was given for cosignatures.
        asked: whether witnesses were asked.
    """

    def is_checked(rule: str) -> bool:
        if rule in ("P1.split_view", "P1.behind"):
            return asked or (source_count > 1 and replayed)
        if rule == "P16.stale":
            return dated
        if rule == "P1.continues":
            return continued
        return (source_count > 1 or not rule.startswith(_NEED_SEVERAL)) and (
            replayed or rule.startswith(_NEED_NO_REPLAY)
        )

    return tuple(rule for rule in RULES if is_checked(rule))
