"""Claims at the issuer: a true answer is signed and logged before it is sent, then delivered, or expires.

It leaves at the release slot of its period, shuffled and jittered for its recipient alone (P6).

Source: DESIGN flow 4, CONSTRUCTIONS (between nodes), SCENARIOS 1.01, 1.16.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import Exists, bindparam, exists, insert, select, update

from tallystick import wire
from tallystick_consent.claims.claim import VCT, Answer, Claim, Confirmation, holder_key, issue_claim
from tallystick_consent.claims.jws import unchecked_payload
from tallystick_consent.claims.pairwise import SECRET_SIZE_BYTES, claim_digest, nullifier
from tallystick_consent.claims.release import leaving_at_s, slot_of
from tallystick_consent.decide import Refusal
from tallystick_consent.entries import DisclosureBody
from tallystick_consent.errors import ClaimRejected
from tallystick_consent.program import Program
from tallystick_consent.receipts.evidence import Evidence
from tallystick_consent.signed import Acceptance, signed_digest
from tallystick_ledger.books import Transfer, TransferState
from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.errors import PayloadUnavailable
from tallystick_ledger.times import DAY_S
from tallystick_node.flows.accounts import book_step, transfer_of
from tallystick_node.flows.claims.decisions import keep_refusal
from tallystick_node.flows.claims.ending import last_disclosure, log_disclosure, withhold_claims
from tallystick_node.flows.claims.reading import Reading, Slot
from tallystick_node.flows.claims.status import Places, place_columns
from tallystick_node.flows.links.rows import link_secret_name
from tallystick_node.flows.outgoing import queue_message
from tallystick_node.flows.programs import known_program, zone_of
from tallystick_node.flows.receipts.ending import finish_settling
from tallystick_node.flows.receipts.rows import receipt_of, with_subject
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import CLAIMS, ERASURES, MESSAGES, RECEIPTS
from tallystick_node.storage.tables.base import written

ISSUED_AGAIN_AFTER_S = 3_600
"""How long a claim that ran out, and that could not be issued anew for want of a key, is left alone."""

RELEASE_KEY = "release"
"""The secret in custody that release slots are drawn with; every process of the node draws alike."""

SLOT = 0
"""Journey 1 pays once a period; programs that pay more often number their slots."""

READ_TOGETHER_MAX = 1_000
"""Of how many slots the last claims are read in one statement: databases take some tens of thousands of parameters, and
who stops after years of days has thousands of periods to settle."""

_KEEP = insert(CLAIMS)
_COUNT_USE = update(RECEIPTS).where(RECEIPTS.c.id == bindparam("of")).values(uses=bindparam("used"))


class _Last(NamedTuple):
    """The claim that was made last for a slot of a link: its digest, under which receipt, and what became of it."""

    claim: str
    receipt: str
    state: str


class Issuing:
    """Makes the claims that answer some slots; what they need is read for all of them at once, when this is made."""

    def __init__(self, node: Node, transaction: Transaction, slots: Sequence[Slot]) -> None:
        self._node, self._transaction = node, transaction
        links = {slot.row.link for slot in slots}
        self._secrets = node.custody.find_many([link_secret_name(link) for link in links])
        nullifiers = [self._nullifier(slot) for slot in slots if link_secret_name(slot.row.link) in self._secrets]
        self._last: dict[str, _Last] = {}
        for begin in range(0, len(nullifiers), READ_TOGETHER_MAX):
            some = nullifiers[begin : begin + READ_TOGETHER_MAX]
            before = (CLAIMS.c.nullifier.in_(some), CLAIMS.c.role == "issuer")
            last = select(CLAIMS.c.nullifier, CLAIMS.c.digest, CLAIMS.c.receipt, CLAIMS.c.state).where(*before)
            for row in transaction.execute(last.order_by(CLAIMS.c.number)):
                self._last[row.nullifier] = _Last(*row[1:])
        self._places = {
            partner: Places(node, transaction, partner=partner, count=count)
            for partner, count in Counter(slot.row.partner for slot in slots).items()
        }
        self._uses = {slot.row.id: int(slot.row.uses) for slot in slots}

    def uses(self, row: Any) -> int:
        """Return how many answers a receipt has given by now."""
        return self._uses[row.id]

    def is_answered(self, slot: Slot) -> bool:
        """Return whether a claim stands for a slot, under whichever receipt of its link: a second is one too many.

        Raises:
            PayloadUnavailable: the secret of the link is missing.
        """
        last = self._last.get(self._nullifier(slot))
        return last is not None and last.state in ("issued", "delivered")

    def issue(self, slot: Slot, answer: Answer, *, correction: str = "", at_once: bool = False) -> str:
        """Sign, log and queue a true answer: the entry is committed before anything can be sent.

        It takes the place of the last claim for its slot, which was withheld, ran out or was revoked, under whichever
        receipt of the link. Returns the claim's digest, "" where the slot is answered already.

        Args:
            slot: one of those that this was made for.
            correction: id of the entry because of which a period is answered after its close.
            at_once: it is issued at its own time already, and leaves then.

        Raises:
            PayloadUnavailable: the secret of the link is missing.
        """
        node, transaction = self._node, self._transaction
        row, program, period = slot.row, slot.program, slot.period
        if self.is_answered(slot):
            return ""
        spent = self._nullifier(slot)
        last = self._last.get(spent)
        closed_s = program.closed_for_all_s(period, zone=zone_of(program))  # what is settled before leaves only then
        claim = Claim(
            jti=transaction.new_id("clm"),
            vct=VCT,
            iss=node.host,
            aud=row.partner,
            iat=transaction.now_s,
            exp=max(transaction.now_s, closed_s) + program.claim_valid_days * DAY_S,
            link=row.link,
            receipt=row.id,
            program=program.program,
            version=program.version,
            period=period,
            slot=SLOT,
            nullifier=spent,
            answer=answer,
            status=self._places[row.partner].draw(),
            cnf=holder_of(row),
        )
        token = issue_claim(
            claim,
            key_id=node.keys.id("claim"),
            private_key=node.keys.ed25519("claim"),
            random_bytes=transaction.random_bytes,
        )
        salt = transaction.random_bytes(SECRET_SIZE_BYTES)
        digest = to_base64url(claim_digest(token, salt=salt))
        supersedes = "" if last is None else last.claim
        if last is None or last.receipt != row.id:  # the same answer in another claim is no other use
            self._uses[row.id] += 1
        appended = log_disclosure(
            transaction,
            DisclosureBody(
                receipt=row.id,
                receipt_leaf=row.live_leaf,
                recipient=row.partner,
                purpose=program.purpose,
                rung=program.rung,
                program=program.program,
                program_version=program.version,
                period=period,
                claim=digest,
                nullifier=spent,
                use=self._uses[row.id],
                state="issued",
                supersedes=supersedes,
                key=node.keys.id("claim"),
            ),
            correction=correction,
        )
        transaction.collect(_COUNT_USE, of=row.id, used=self._uses[row.id])
        self._keep(claim, token, digest=digest, salt=salt, leaf=appended.index)
        queue_message(
            transaction,
            "claim.issued",
            partner=row.partner,
            about=digest,
            body=None,
            receipt=row.id,
            not_before_s=max(
                transaction.now_s if at_once else self._leaves_at_s(claim, closed_s=closed_s),
                self._retracted_s(supersedes),
            ),
        )
        self._last[spent] = _Last(digest, row.id, "issued")
        return digest

    def _keep(self, claim: Claim, token: str, *, digest: str, salt: bytes, leaf: int) -> None:
        assert claim.status is not None, "every claim has a place in a status list"
        self._transaction.collect(
            _KEEP,
            digest=digest,
            id=claim.jti,
            role="issuer",
            partner=claim.aud,
            link=claim.link,
            receipt=claim.receipt,
            program=claim.program,
            version=claim.version,
            period=claim.period,
            nullifier=claim.nullifier,
            state="issued",
            token=token,
            salt=to_base64url(salt),
            expires_at_s=claim.exp,
            leaf=leaf,
            log=self._transaction.log,
            logged_at_s=self._transaction.now_s,
            answer=claim.answer.model_dump_json(),
            acceptance="",
            has_holder=claim.cnf is not None,
            **place_columns(claim.status),
        )

    def keep(self) -> None:
        """Keep what was taken of the status lists, once every claim is made."""
        for places in self._places.values():
            places.keep()

    def _nullifier(self, slot: Slot) -> str:
        k_link = self._secrets.get(link_secret_name(slot.row.link))
        if k_link is None:
            raise _no_link_secret()
        named = {"issuer": self._node.host, "recipient": slot.row.partner, "program": slot.program.program}
        return to_base64url(nullifier(k_link, period=slot.period, slot=SLOT, **named))

    def _leaves_at_s(self, claim: Claim, *, closed_s: int) -> int:
        """Return when a claim leaves: in the first release slot of its period and recipient that opens from now on."""
        key, now_s = self._release_key, self._transaction.now_s
        slot = slot_of(closed_s, key=key, recipient=claim.aud, period=claim.period, ready_s=now_s)
        return leaving_at_s(claim.jti, key=key, recipient=claim.aud, period=claim.period, slot=slot)

    def _retracted_s(self, supersedes: str) -> int:
        """Return when the word leaves that an earlier claim is revoked, 0 where none waits: what takes its place would
        else be taken for the same answer once more."""
        if not supersedes:
            return 0
        waits = (MESSAGES.c.kind == "claim.revoked", MESSAGES.c.state.in_(("queued", "sending")))
        row = self._transaction.row(select(MESSAGES.c.not_before_s).where(MESSAGES.c.about == supersedes, *waits))
        return 0 if row is None else int(row.not_before_s)

    @cached_property
    def _release_key(self) -> bytes:
        return release_key(self._node)


def _no_link_secret() -> PayloadUnavailable:
    return PayloadUnavailable(
        "The secret of a link with a live receipt is missing.", remedy="Restore custody from its own backup."
    )


def require_link_secret(node: Node, link: str) -> None:
    """Return quietly if a link's secret is there.

    Raises:
        PayloadUnavailable: it is not.
    """
    if node.custody.find(link_secret_name(link)) is None:
        raise _no_link_secret()


def release_key(node: Node) -> bytes:
    """Return the secret that release slots are drawn with."""
    return node.custody.find_or_make(RELEASE_KEY)


def issue_answer(node: Node, transaction: Transaction, slot: Slot, answer: Answer) -> str:
    """Issue one answer; as `Issuing.issue` in everything."""
    issuing = Issuing(node, transaction, [slot])
    digest = issuing.issue(slot, answer)
    issuing.keep()
    return digest


def last_answer(transaction: Transaction, receipt: str, period: str) -> Any:
    """Return the claim made last for a period under a receipt, None where there is none."""
    mine = (CLAIMS.c.receipt == receipt, CLAIMS.c.role == "issuer", CLAIMS.c.period == period)
    return transaction.row(select(CLAIMS).where(*mine).order_by(CLAIMS.c.number.desc()))


def holder_of(row: Any) -> Confirmation | None:
    """Return whose signature shows that a claim under a receipt is presented by its subject; None without a wallet."""
    public_key = Evidence.model_validate_json(row.evidence).public_key if row.evidence else None
    return None if public_key is None else holder_key(public_key)


def claim_message(node: Node, digest: str) -> wire.PeerClaim | None:
    """Return what is sent of a claim, with its proof against the published head; None before that head covers it."""
    row = node.row(select(CLAIMS).where(CLAIMS.c.digest == digest))
    assert row is not None, "a claim is kept before its message is queued"
    proven = node.prove(row.log, row.leaf)
    if proven is None:
        return None
    return wire.PeerClaim(claim=row.token, salt=row.salt, entry=proven.entry, proof=proven.proof)


def claim_accepted(node: Node, transaction: Transaction, digest: str, token: str) -> None:
    """Log that a claim was delivered, with the recipient's signed acceptance, and book our half of the fee.

    Raises:
        SignatureRejected, BadInput, ClaimRejected: not the recipient's acceptance of this claim.
    """
    row = transaction.row(select(CLAIMS).where(CLAIMS.c.digest == digest))
    if row is None or row.state == "delivered":
        return
    acceptance = node.partners.opened(token, Acceptance, of=row.partner)
    owed = _owed(transaction, acceptance, row, host=node.host)
    accepted: dict[str, str] = {"acceptance": token}
    cause = ""
    # One that was revoked on its way stays so, and of a link that was erased meanwhile the ledger says no more: the
    # entry that ended its receipt lists it. The fee is owed all the same.
    if row.state != "revoked" and not _is_erased(transaction, row.link):
        signed = signed_digest(token)
        body = last_disclosure(transaction, digest).model_copy(update={"state": "delivered", "acceptance": signed})
        cause = log_disclosure(transaction, body).entry.id
        accepted["state"] = "delivered"
    transaction.execute(update(CLAIMS).where(CLAIMS.c.digest == digest).values(**accepted))
    if "state" in accepted:
        finish_settling(transaction, row.receipt)
    if owed is None or owed.fee is None:
        return
    book_step(
        transaction,
        Transfer(
            id=acceptance.fee,
            state=TransferState.POSTED,
            debit=f"receivable/{row.partner}",
            credit=f"income/fees/{owed.program}",
            asset=owed.fee.asset,
            amount_minor=owed.fee.amount,
            terms=owed.digest(),
            cause=cause,
            counterparty=row.partner,
        ),
    )


def _is_erased(transaction: Transaction, link: str) -> bool:
    """Return whether the ledger says that a link was erased."""
    logged = (ERASURES.c.link == link, ERASURES.c.state != "due")
    return transaction.row(select(ERASURES.c.id).where(*logged).limit(1)) is not None


def _owed(transaction: Transaction, acceptance: Acceptance, row: Any, *, host: str) -> Program | None:
    """Return the version of the program by which the fee for an accepted claim is to be booked, None where none is.

    A recipient that had taken an earlier claim, and whose answer was lost, answers like the first time: the fee is that
    of the version which the earlier claim was for. A slot that is answered anew brings no second fee: what says so
    names the first one, as it was booked here.

    Raises:
        ClaimRejected: the acceptance is of neither this claim nor an earlier one for its nullifier, or not at the fee
            that was agreed.
    """
    slot = (CLAIMS.c.nullifier == row.nullifier, CLAIMS.c.role == "issuer")
    mine = transaction.execute(select(CLAIMS.c.digest, CLAIMS.c.version, CLAIMS.c.acceptance).where(*slot)).all()
    taken = next((each for each in mine if each.digest == acceptance.claim), None)
    if acceptance.issuer == host and acceptance.nullifier == row.nullifier and taken is not None:
        said = (acceptance.fee_asset, acceptance.fee_amount)
        booked = transfer_of(transaction, acceptance.fee)
        program = known_program(transaction, row.partner, row.program, taken.version)
        if booked is not None:
            # Checked when they came; the key that signed them may have been given up since.
            paid_by = {unchecked_payload(each.acceptance)["fee"] for each in mine if each.acceptance}
            if acceptance.fee in paid_by and said == (booked.asset, booked.amount_minor):
                return None
        elif program.fee is None:
            if acceptance.fee == "" and said == ("", 0):
                return None
        elif acceptance.fee != "" and said == (program.fee.asset, program.fee.amount):
            return program
    raise ClaimRejected(
        "claim_mismatch",
        "An acceptance is of another claim, or at another fee.",
        remedy="Accept what was sent, at the fee that was agreed.",
    )


def claim_rejected(transaction: Transaction, digest: str) -> None:
    """Log that a claim will not be delivered: the recipient refused it for good, or its receipt ended on the way."""
    row = transaction.row(select(CLAIMS.c.state, CLAIMS.c.receipt).where(CLAIMS.c.digest == digest))
    if row is not None and row.state == "issued":
        withhold_claims(transaction, [digest])
        finish_settling(transaction, row.receipt)


def expire_claims(node: Node, transaction: Transaction, *, rows_max: int) -> int:
    """Replace claims that ran out before they were delivered, with the same nullifier; return how many ran out.

    One that may have arrived is neither ended nor replaced before its recipient has said whether it did: the outbox
    sends it on, also after an ending that lets it come, and a recipient that has taken it answers like the first time.
    """
    # One that is held is neither ended nor issued anew before its receipt is live again, or has ended.
    is_held = RECEIPTS.c.ended_at_s.is_(None) & RECEIPTS.c.live_leaf.is_(None)
    rows = transaction.execute(
        select(CLAIMS)
        .join(RECEIPTS, RECEIPTS.c.id == CLAIMS.c.receipt)
        .where(CLAIMS.c.state == written("issued"), CLAIMS.c.expires_at_s <= transaction.now_s)
        .where(CLAIMS.c.role == "issuer")
        .where(~is_held, ~_waits(transaction.now_s))
        .order_by(CLAIMS.c.expires_at_s, CLAIMS.c.number)
        .limit(rows_max)
    ).all()
    for row in rows:
        message = (MESSAGES.c.about == row.digest, MESSAGES.c.kind == "claim.issued")
        live = select(RECEIPTS.c.id).where(RECEIPTS.c.id == row.receipt, RECEIPTS.c.live_leaf.is_not(None))
        tried_no_further = select(MESSAGES.c.id).where(*message, MESSAGES.c.state == "withheld")
        if transaction.row(live) is None or transaction.row(tried_no_further) is not None:
            # The entry that ended its receipt, or that took it back, says all there is to say: it was listed.
            transaction.execute(update(CLAIMS).where(CLAIMS.c.digest == row.digest).values(state="expired"))
            transaction.execute(update(MESSAGES).where(*message, MESSAGES.c.state == "queued").values(state="expired"))
            finish_settling(transaction, row.receipt)
            continue
        try:
            again = _AnsweredAnew(node, transaction, row)
        except PayloadUnavailable:  # of this one: it keeps no other from running out
            later = {"not_before_s": transaction.now_s + ISSUED_AGAIN_AFTER_S}
            transaction.execute(update(MESSAGES).where(*message).values(**later))
            continue
        transaction.execute(update(MESSAGES).where(*message, MESSAGES.c.state == "queued").values(state="expired"))
        # Whether one arrived that its recipient never answered well is not known, and so not said.
        if transaction.row(select(MESSAGES.c.id).where(*message, MESSAGES.c.maybe_arrived)) is None:
            withhold_claims(transaction, [row.digest])
        ended = {"state": "expired", "token": "", "salt": ""}
        transaction.execute(update(CLAIMS).where(CLAIMS.c.digest == row.digest).values(**ended))
        again.tell()
    return len(rows)


def _waits(now_s: int) -> Exists:
    """Return the condition that a claim may have arrived, and is asked after, or could not be issued anew just now."""
    return exists().where(
        MESSAGES.c.partner == CLAIMS.c.partner,
        MESSAGES.c.state.in_(("queued", "sending")),
        MESSAGES.c.kind == "claim.issued",
        MESSAGES.c.about == CLAIMS.c.digest,
        (MESSAGES.c.state == "sending") | MESSAGES.c.maybe_arrived | (MESSAGES.c.not_before_s > now_s),
    )


class _AnsweredAnew:
    """What takes the place of a claim that ran out: all that is asked of an answer is asked again, since it may have
    come to rest on a part of its period. Nothing is written when this is made."""

    def __init__(self, node: Node, transaction: Transaction, ran_out: Any) -> None:
        """Read what decides.

        Raises:
            PayloadUnavailable: a key that is needed is missing.
        """
        row = transaction.row(with_subject().where(RECEIPTS.c.id == ran_out.receipt))
        assert row is not None, "receipts are never removed before their claims"
        program = known_program(transaction, ran_out.partner, ran_out.program, ran_out.version)
        period = program.period(ran_out.period, zone=zone_of(program))
        self._node, self._transaction = node, transaction
        self._slot = Slot(row, receipt_of(row, again=True), program, period.name)
        self._answer = Answer.model_validate_json(ran_out.answer)
        require_link_secret(node, row.link)
        self._read = Reading(node, transaction, [self._slot]).read(self._slot, uses=self._slot.receipt.uses)

    def tell(self) -> None:
        """Issue the answer anew, or keep for the subject to read why it is not."""
        if isinstance(self._read, Refusal):
            keep_refusal(self._transaction, self._slot.row, self._slot.program, self._slot.period, self._read)
        else:
            issue_answer(self._node, self._transaction, self._slot, self._answer)
