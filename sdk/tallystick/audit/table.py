"""A report for people, at a terminal."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tallystick.audit.report import KeyUse, LogReport, Report


def report_table(report: Report, *, evidence_kept: bool = False) -> RenderableType:
    """Return the report as tables; all of its text is shown as it is, never read as markup.

    Args:
        report: what was found.
        evidence_kept: whether its evidence was left in a folder.
    """
    return Group(*_parts(report, evidence_kept=evidence_kept))


def _parts(report: Report, *, evidence_kept: bool) -> Iterator[RenderableType]:
    for source in report.sources:
        yield _source(source)
    if report.findings:
        yield _findings(report)
    for exhibit in report.exhibits:
        kept = "kept" if evidence_kept else "NOT KEPT (--evidence FOLDER does)"
        yield Text(f"Evidence, {kept}: {exhibit.name}")
    for note in report.notes:
        yield Text(f"Not compared: {note}")
    verdict = "HOLDS" if report.holds else f"DOES NOT HOLD: {_count(len(report.findings), 'finding')}"
    yield Text(
        f"{verdict}. {_count(len(report.rules), 'rule')} checked.", style="bold green" if report.holds else "bold red"
    )
    yield Text(report.limits, style="dim")


def _source(source: LogReport) -> Table:
    table = Table(title=Text(source.where), title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 2))
    table.add_row("log", Text(source.origin or "no head that can be read"))
    if source.origin:
        table.add_row("head", Text(f"{_count(source.size, 'entry', 'entries')}, root {source.root}"))
    for key in source.keys:
        table.add_row("key", Text(_key(key)))
    if source.since:
        table.add_row("since", Text(f"{_count(source.since, 'entry', 'entries')} checked by an earlier audit"))
    table.add_row("entries", _entries(source))
    if source.grades:
        table.add_row("consent", Text(f"receipts given by evidence of grade: {_kinds(source.grades)}"))
    if source.unchecked:
        table.add_row("unchecked", Text(f"{_kinds(source.unchecked)}: no rule for these yet", style="yellow"))
    for note in source.notes:
        table.add_row("note", Text(note, style="yellow"))
    return table


def _entries(source: LogReport) -> Text:
    if not source.replayed:
        return Text("hashed, NOT REPLAYED: nothing is said of what they mean", style="yellow")
    return Text(_kinds(source.entries) or "none read")


def _key(use: KeyUse) -> str:
    if not use.signed:
        return f"{use.key} ({use.source}): no good signature"
    return f"{use.key} ({use.source}): signed{'' if use.signed_at is None else ' ' + _time(use.signed_at)}"


def _time(at_s: int) -> str:
    if at_s > datetime(9999, 1, 1, tzinfo=UTC).timestamp():
        return f"at {at_s} s"
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _findings(report: Report) -> Table:
    table = Table(title="Findings", title_justify="left")
    for heading in ("rule", "where", "problem"):
        table.add_column(heading, overflow="fold")
    for finding in report.findings:
        table.add_row(Text(finding.rule), Text(finding.where), Text(finding.problem))
    return table


def _kinds(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
