"""`tally audit`."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from tallystick.audit import (
    Asked,
    AuditNotRun,
    DirectorySource,
    Exhibit,
    Overflow,
    Saver,
    Source,
    all_explained,
    audit,
    explained,
    open_crew,
    open_web,
    read_state,
    report_table,
)
from tallystick.audit.findings import printable
from tallystick.bounded import client
from tallystick.cli.shared import FINDINGS, HOLDS, policy_in

MEMORY_MB = 200

PROGRESS_ENTRIES_MIN = 5_000
"""A log shorter than this is audited before a bar could be read."""

TIME_MAX_S = 253_402_300_799
"""The last second of 9999."""


def audit_command(
    sources: Annotated[list[str] | None, typer.Argument(help="Folders of logs, and URLs of nodes or logs.")] = None,
    policy: Annotated[Path | None, typer.Option(help="Trust policy (c2sp.org/tlog-policy).")] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(envvar="TALLYSTICK_KEY", help="Auditor's key, one for each URL in order: never sent to another."),
    ] = None,
    fingerprint: Annotated[
        list[str] | None, typer.Option(help="Fingerprint of a node's identity key, one for each URL in order.")
    ] = None,
    year: Annotated[
        str | None,
        typer.Option(help="Which log, where a URL is a node's: its year, or a successor's name, 2027-2; this year's."),
    ] = None,
    integrity: Annotated[
        bool, typer.Option("--integrity", help="Hash every entry and check every file, and replay nothing.")
    ] = False,
    since: Annotated[
        list[Path] | None, typer.Option(help="Saved audit to go on from, one for each source in order.")
    ] = None,
    save: Annotated[
        list[Path] | None,
        typer.Option(help="Where to save this audit as it goes, one for each source in order."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that do the work; one a core. 0: none beside this one.")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, whose workers do the work instead.")
    ] = None,
    memory: Annotated[
        int,
        typer.Option(min=160, help="About how much memory to take, in MB; what has no room goes to a temporary file."),
    ] = MEMORY_MB,
    max_age: Annotated[
        int | None, typer.Option(min=0, help="How old the newest cosignature of a head may be, in seconds.")
    ] = None,
    now: Annotated[
        int | None,
        typer.Option(min=0, max=TIME_MAX_S, help="What time it is, seconds since 1970 UTC; this machine's clock."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask the policy's witnesses what they have seen.")
    ] = False,
    evidence: Annotated[
        Path | None, typer.Option(help="Folder to leave evidence in, for `tally verify` and for others.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Say what the rules or promises named in place of sources check, or list all."),
    ] = False,
) -> None:
    """Audit logs: heads, every tile and entry, every rule; several logs are also held against each other."""
    if explain:
        typer.echo("\n".join(map(explained, sources)) if sources else all_explained())
        return
    if not sources:
        raise AuditNotRun(
            "Nothing to audit is named.", remedy="Name a folder that holds `checkpoint`, or a node's URL."
        )
    now_s = int(time.time()) if now is None else now
    with client(trust_env=True) as http:
        opened = _open_sources(
            sources, http=http, policy=policy, keys=key or [], fingerprints=fingerprint or [], year=year, now_s=now_s
        )
        savers = [Saver(_outside(path, sources)) for path in save or ()]
        with (
            Overflow.within(memory) as overflow,
            open_crew(workers=workers, dask=dask) as crew,
            _Bar() as bar,
        ):
            earlier = [read_state(path, overflow=overflow) for path in since or ()]
            asked = Asked(
                bar.show,
                crew,
                integrity_only=integrity,
                now_s=now_s,
                max_age_s=max_age,
                http=None if offline else http,
                overflow=overflow,
            )
            report = audit(opened, asked=asked, since=earlier, savers=savers)
    not_left: AuditNotRun | None = None
    if evidence is not None:
        try:
            _leave(report.exhibits, evidence)
        except AuditNotRun as error:
            not_left = error  # what cannot be left must not take the report with it
    if as_json:
        typer.echo(json.dumps(report.document(), indent=2, sort_keys=True))
    else:
        Console().print(report_table(report, evidence_kept=evidence is not None and not_left is None))
    if not_left is not None:
        raise not_left
    raise typer.Exit(HOLDS if report.holds else FINDINGS)


def _outside(path: Path, sources: Sequence[str]) -> Path:
    """Return where to save an audit; a file in the folder of a log is one that the next audit finds there."""
    for name in sources:
        if not _is_url(name) and Path(name).resolve() in path.resolve().parents:
            raise AuditNotRun(
                f"{printable(str(path))} lies in the folder of a log, where nothing but the log may be.",
                remedy="Save the audit elsewhere.",
            )
    return path


def _leave(exhibits: Sequence[Exhibit], folder: Path) -> None:
    """Write the evidence; a file that is there already is somebody's evidence, and stays."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for exhibit in exhibits:
            with (folder / exhibit.name).open("xb") as file:
                file.write(exhibit.raw)
    except OSError as error:
        raise AuditNotRun(
            f"Evidence cannot be left ({type(error).__name__}).", remedy="Give a new folder with --evidence."
        ) from error


class _Bar:
    """A progress bar on standard error, for people, once a log is long enough to wait for."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: TaskID | None = None
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._progress.stop()

    def show(self, done: int, total: int) -> None:
        if total < PROGRESS_ENTRIES_MIN or not self._progress.console.is_terminal:
            return
        if self._task is None or done < self._done:
            self._progress.start()
            self._task = self._progress.add_task("entries", total=total)
        self._progress.update(self._task, completed=done)
        self._done = done


def _open_sources(
    names: Sequence[str],
    *,
    http: httpx.Client,
    policy: Path | None,
    keys: Sequence[str],
    fingerprints: Sequence[str],
    year: str | None,
    now_s: int,
) -> list[Source]:
    urls = [name for name in names if _is_url(name)]
    for given, what in ((keys, "--key"), (fingerprints, "--fingerprint")):
        if given and urls and len(given) != len(urls):
            raise AuditNotRun(f"There is not one {what} for each URL.", remedy="Give one for each URL, in their order.")
    trusted = policy_in(policy) if policy else None
    source_of_policy = str(policy)
    keys_left, fingerprints_left = iter(keys), iter(fingerprints)
    sources: list[Source] = []
    for name in names:
        if _is_url(name):
            source: Source = open_web(
                name,
                http=http,
                year=datetime.fromtimestamp(now_s, UTC).year if year is None else year,
                year_is_guessed=year is None,
                api_key=next(keys_left, None),
                expected_fingerprint=next(fingerprints_left, None),
                policy=trusted,
                policy_name=source_of_policy,
            )
        else:
            source = DirectorySource(name, policy=trusted, policy_name=source_of_policy)
        sources.append(source)
    return sources


def _is_url(name: str) -> bool:
    return name.startswith(("http://", "https://"))
