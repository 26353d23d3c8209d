"""What every journey begins with: two companies agree on a program, and a customer of both says yes to it."""

from collections.abc import Mapping
from typing import Any

from tallystick.wire import EntryProof, Receipt
from tallystick_consent.receipts.evidence import Evidence
from tallystick_node.demo.people import Person
from tallystick_node.demo.town import Town


def agree_on(town: Town, program: Mapping[str, Any]) -> tuple[EntryProof, ...]:
    """Let the payer publish a program and the issuer sign it; return what proves that it was published."""
    issuer, payer = town.issuer, town.payer
    published = payer.app.programs.publish(program)
    town.wait(f"the {issuer.name} has the program", lambda: issuer.app.programs.list().programs or None)
    issuer.app.programs.accept(str(program["program"]), int(program["version"]))
    town.wait(
        f"the {payer.name} has the {issuer.name}'s agreement",
        lambda: any(issuer.host in each.agreed for each in payer.app.programs.list().programs),
    )
    return published.proofs


def join(town: Town, person: Person, program: str) -> tuple[Receipt, Receipt, Receipt]:
    """Link, ask, consent, acknowledge; return the receipt as it was asked for, as shown, and as both signed it."""
    issuer, payer = town.issuer.app, town.payer.app
    offer = payer.links.offer(
        subject=person.at_insurer,
        partner=town.issuer.host,
        program=program,
        hint=person.insurer_hint,
        login="aal2",
    )
    issuer.links.accept(subject=person.at_gym, offer=offer.offer, hint=person.gym_hint, login="aal2")
    person.link = payer.links.confirm(offer).link
    town.wait(
        f"the {town.issuer.name} knows that the link is confirmed",
        lambda: any(each.state == "active" for each in issuer.links.find(person.at_gym).links),
    )
    asked = payer.receipts.request(person.link)
    person.receipt = asked.receipt
    shown = town.wait(f"the {town.issuer.name} has the request", lambda: issuer.receipts.get(person.receipt))
    evidence = Evidence(grade="app_asserted", app="app", login="aal2")
    issuer.receipts.give(person.receipt, subject=person.at_gym, evidence=evidence)
    given = town.wait(f"the {town.payer.name} has signed the receipt", lambda: acknowledged(town, person))
    return asked, shown, given


def acknowledged(town: Town, person: Person) -> Receipt | None:
    """Return somebody's receipt once the payer has signed it, None before."""
    receipt = town.issuer.app.receipts.get(person.receipt)
    return receipt if receipt.acknowledged_at is not None else None
