"""What the demo leaves for others to check: report.json, report.html, private.json.

Source: accept/README.
"""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick.audit import Report
from tallystick_node.demo.learned import Learned
from tallystick_node.demo.people import Private, called
from tallystick_node.demo.promises import Promises


@dataclass(frozen=True, slots=True)
class Played:
    """A journey as it was played.

    Attributes:
        partners: the issuer's name, and the payer's.
        learned: None where the story did not come to its end.
        private: every private value that was put in.
        agreed: values that both partners know by contract.
    """

    name: str
    partners: tuple[str, str]
    learned: Learned | None
    audits: tuple[Report, ...]
    private: Private
    agreed: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return it as report.json has it."""
        learned = self.learned.learned if self.learned else {}
        not_learned = self.learned.not_learned if self.learned else {}
        return {"name": self.name, "partners": list(self.partners), "learned": learned, "not_learned": not_learned}


def write_report(out: Path, *, played: Sequence[Played], promises: Promises) -> None:
    """Write report.json and report.html."""
    audits = [audit for journey in played for audit in journey.audits]
    journeys = [each.document() for each in played]
    document = {
        "journeys": journeys,
        "promises": promises.verdicts(),
        "checks": [{"promise": each.promise, "says": each.sentence, "held": each.held} for each in promises.checks],
        "audits": [each.document() for each in audits],
        "settlement": [],
        "stopped": promises.stopped,
    }
    (out / "report.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "report.html").write_text(_page(journeys, promises, audits), encoding="utf-8")


def write_private(out: Path, played: Sequence[Played]) -> None:
    """Write private.json: every private value that was put in, for a scanner to look for elsewhere."""
    groups: dict[str, list[str]] = {}
    for journey in played:
        issuer, payer = journey.partners
        groups[issuer] = sorted(journey.private.issuer | journey.private.hints)
        groups[payer] = sorted(journey.private.payer | journey.private.hints)
    groups["_agreed"] = sorted({value for journey in played for value in journey.agreed})
    (out / "private.json").write_text(json.dumps(groups, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _page(journeys: Sequence[dict[str, Any]], promises: Promises, audits: Sequence[Report]) -> str:
    sections = [
        _section(f"{called(partner)}: {title}", _list(journey[key].get(partner, [])))
        for journey in journeys
        for partner in journey["partners"]
        for key, title in (("learned", "learned"), ("not_learned", "did not learn"))
    ]
    rows = "".join(
        f'<tr class="{"held" if each.held else "broken"}"><td>{html.escape(each.promise)}</td>'
        f"<td>{html.escape(each.sentence)}</td><td>{'held' if each.held else 'BROKEN'}</td></tr>"
        for each in promises.checks
    )
    logs = [
        f"{source.origin}: {source.size} entries, root {source.root}: "
        f"{'holds' if report.holds else f'{len(report.findings)} findings'}"
        for report in audits
        for source in report.sources
        if len(report.sources) == 1
    ]
    body = (
        "".join(sections)
        + _section("What was checked", f"<table>{rows}</table>")
        + _section("Audits", _list([*logs, *(report.limits for report in audits[-1:])]))
    )
    names = " · ".join(journey["name"] for journey in journeys)
    return _PAGE.format(title=html.escape(f"Tallystick demo: {names}"), body=body)


def _section(title: str, content: str) -> str:
    return f"<section><h2>{html.escape(title)}</h2>{content}</section>\n"


def _list(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(each)}</li>' for each in sentences)}</ul>"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1d2b2a }}
h1 {{ font-size: 1.5rem }} h2 {{ font-size: 1.1rem; border-bottom: 1px solid #b9c9c6; text-transform: capitalize }}
td {{ padding: .2rem .8rem .2rem 0; vertical-align: top }}
.held td:last-child {{ color: #1b7a3d }} .broken td {{ color: #b00020; font-weight: bold }}
</style></head><body><h1>{title}</h1>
{body}</body></html>
"""
