"""The last act: a customer of the issuer asks to be erased, and gets a certificate that anybody can check.

Source: DESIGN flow 8 and P9.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tallystick.errors import NodeProblem
from tallystick.wire import EntryProof, Erasure
from tallystick_node.demo.leaks import holds_plain, stored
from tallystick_node.demo.people import Person
from tallystick_node.demo.screen import Screen
from tallystick_node.demo.town import LONG_TICK_MAX_S, Town

CERTIFICATE_FILE = "certificate.json"
VERIFIED_WITHIN_S = 30


def erase(
    town: Town, screen: Screen, person: Person, events: Mapping[str, Sequence[EntryProof]], *, then: str
) -> Erasure:
    """Erase somebody, wait until the partner has attested, and check what is gone and what stays.

    Args:
        person: who asks the issuer.
        events: the ids of what was recorded of that one, each with its proofs of then.
        then: a day later, New York time, such as `2027-04-07 10:05`.
    """
    app, first = town.issuer.app, person.name.split()[0]
    gone = {town.issuer.name: {person.at_gym, person.insurer_hint}, town.payer.name: {person.gym_hint}}
    before = {name: holds_plain(gone[name], stored(each.folder)) for name, each in town.companies.items()}
    screen.check(
        "P9",
        f"Until now her days open, and {sum(map(len, before.values()))} files of both companies name her.",
        bool(app.events.get(next(iter(events))).event) and all(before.values()),
    )
    app.subjects.erase(person.at_gym)
    screen.check(
        "P9",
        f"At once none of {len(events)} days can be read any more, by nobody.",
        all(_is_erased(town, event) for event in events),
    )
    town.go_to(then)
    attested = town.wait(
        f"the {town.payer.called} has attested", lambda: _attested(town, person), tick_max_s=LONG_TICK_MAX_S
    )
    town.rest()
    kept = [each for each in attested.fields if each.fate == "kept"]
    answered = "; ".join(f"{each.field} kept ({each.ground})" for each in kept) or "nothing kept"
    screen.step(
        f"Both ledgers say it, of the link alone. The {town.payer.called} answered for {len(attested.fields)} fields,"
        f" and signed: {answered}."
    )
    file = town.issuer.folder.parent / CERTIFICATE_FILE
    file.write_text(app.subjects.certificate(person.at_gym).model_dump_json() + "\n", encoding="utf-8")
    fingerprints = [each.keys.fingerprint for each in town.companies.values()]
    screen.check(
        "P9",
        f"{first} gets a certificate that names nobody; tally verify says that it holds (command at the end).",
        _verifies(file, fingerprints) and not holds_plain({person.at_gym, person.name}, {file.name: file.read_bytes()}),
    )
    screen.check(
        "P9",
        f"The proofs of her {len(events)} days, given before, lead to the same entries in the ledger as it is now.",
        all(app.proofs.get(each.index).entry == each.entry for proofs in events.values() for each in proofs),
    )
    town.private.erased = gone  # looked for once the nodes have stopped
    return attested


def _is_erased(town: Town, event: str) -> bool:
    try:
        town.issuer.app.events.get(event)
    except NodeProblem as refused:
        return refused.code == "payload_erased"
    return False


def _attested(town: Town, person: Person) -> Erasure | None:
    found = town.issuer.app.subjects.erasures(person.at_gym).erasures
    return next((each for each in found if each.state == "attested"), None)


def _verifies(file: Path, fingerprints: Sequence[str]) -> bool:
    """Return whether `tally verify` exits 0 over a certificate, in a process of its own, without a node."""
    options = [part for each in fingerprints for part in ("--fingerprint", each)]
    command = [sys.executable, "-c", "from tallystick.cli import main; main()", "verify", str(file), *options]
    ran = subprocess.run(command, capture_output=True, timeout=VERIFIED_WITHIN_S, check=False)  # noqa: S603  # our own
    return ran.returncode == 0
