"""`tally`: the command of an app's developer and of an auditor.

Exit 0: it holds, or is done. Exit 1: there are findings, or a proof does not hold. Exit 2: it could not be run; the
error says why and what to do. Keys are best given in the environment, where other users do not see them.
"""

import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self, cast

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from tallystick.audit import RULES, AuditNotRun, DirectorySource, Source, audit, open_web, report_table
from tallystick.audit.findings import printable
from tallystick.audit.keys import parse_vkeys
from tallystick.client import Client
from tallystick.importing import import_files, load_facilities, visit_events, visit_key
from tallystick.importing.facilities import FACILITIES_SIZE_BYTES_MAX
from tallystick.wire import REQUEST_SIZE_MAX_BYTES
from tallystick_ledger.encoding import parse_json_object
from tallystick_ledger.entry import ENTRY_SIZE_MAX_BYTES
from tallystick_ledger.errors import BadInput, TallyError
from tallystick_ledger.tlog.checkpoint import Checkpoint
from tallystick_ledger.tlog.keys import PUBLIC_KEY_SIZE_BYTES
from tallystick_ledger.tlog.policy import POLICY_SIZE_MAX_BYTES, Policy, parse_policy
from tallystick_ledger.tlog.proof import PROOF_SIZE_MAX_BYTES, InclusionProof, check_entry, check_proof, parse_proof

HOLDS, FINDINGS, NOT_RUN = 0, 1, 2
PROGRESS_ENTRIES_MIN = 5_000
"""A log shorter than this is audited before a bar could be read."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Record journey events, and audit and verify what partners' ledgers say.",
)

Url = Annotated[str, typer.Option("--url", envvar="TALLYSTICK_URL", help="Your node.")]
Key = Annotated[str, typer.Option("--key", envvar="TALLYSTICK_KEY", help="Your app's key.", show_envvar=True)]
Fingerprint = Annotated[
    str, typer.Option("--fingerprint", envvar="TALLYSTICK_FINGERPRINT", help="SHA-256 of the node's identity key.")
]
Subject = Annotated[str, typer.Option("--subject", help="Your own id of the customer.")]


def main() -> None:
    """Run `tally`; every error ends in a sentence and an exit status."""
    try:
        app()
    except TallyError as error:
        _say(f"{error.code}: {error.problem}")
        _say(f"What to do: {error.remedy}")
    except Exception:  # noqa: BLE001  # a bug of ours must not end in 1, which says that an audit has findings
        traceback.print_exc()
        _say("internal_error: tally itself failed. What to do: report the lines above.")
    else:
        return
    sys.exit(NOT_RUN)


@app.command("audit")
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
    year: Annotated[int | None, typer.Option(help="Year of the log, where a URL is a node's; this year's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    explain: Annotated[str | None, typer.Option(help="Say what a rule checks, and end.")] = None,
) -> None:
    """Audit logs: heads, every tile and entry, every rule; several logs are also held against each other."""
    if explain is not None:
        typer.echo(_explained(explain))
        return
    if not sources:
        raise AuditNotRun(
            "Nothing to audit is named.", remedy="Name a folder that holds `checkpoint`, or a node's URL."
        )
    with httpx.Client() as http:
        opened = _open_sources(
            sources, http=http, policy=policy, keys=key or [], fingerprints=fingerprint or [], year=year
        )
        with _Bar() as bar:
            report = audit(opened, progress=bar.show)
    if as_json:
        typer.echo(json.dumps(report.document(), indent=2, sort_keys=True))
    else:
        Console().print(report_table(report))
    raise typer.Exit(HOLDS if report.holds else FINDINGS)


@app.command("verify")
def verify_command(
    proof: Annotated[Path, typer.Argument(help="A .tlog-proof file.")],
    entry: Annotated[Path, typer.Option(help="The entry it is about, byte for byte.")],
    key: Annotated[Path | None, typer.Option(help="File of verifier keys, one a line.")] = None,
    policy: Annotated[Path | None, typer.Option(help="Trust policy (c2sp.org/tlog-policy).")] = None,
) -> None:
    """Verify offline that an entry stands in a log, under keys you have from elsewhere."""
    if (key is None) == (policy is None):
        raise AuditNotRun("Nothing says whose signature counts.", remedy="Give either --key FILE or --policy FILE.")
    raw, claimed = _read(entry, ENTRY_SIZE_MAX_BYTES), _read(proof, PROOF_SIZE_MAX_BYTES)
    trusted = _policy(policy) if policy else None
    keys = parse_vkeys(_read(key, POLICY_SIZE_MAX_BYTES), kinds=PUBLIC_KEY_SIZE_BYTES) if key else []
    try:
        opened = parse_proof(claimed)
        origin = _claimed_origin(opened)
        if trusted is None:
            checkpoint = check_proof(opened, entry=raw, origin=origin, keys=keys)
        else:
            checkpoint = trusted.check(opened.checkpoint, origin)
            check_entry(opened, entry=raw, checkpoint=checkpoint)
    except TallyError as error:
        _say(f"DOES NOT HOLD. {error.code}: {error.problem}")
        raise typer.Exit(FINDINGS) from error
    typer.echo(_verified(opened, checkpoint))


@app.command("record")
def record_command(
    subject: Subject,
    kind: Annotated[str, typer.Option("--type", help="Such as visit.ended.")],
    data: Annotated[str, typer.Option(help="JSON object; @FILE reads a file, - the standard input.")],
    url: Url,
    key: Key,
    fingerprint: Fingerprint,
    receipt: Annotated[str | None, typer.Option(help="Under which receipt; the node finds it.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="Your own, to repeat a call safely.")] = None,
) -> None:
    """Record one event at your node, and verify the proof that it did."""
    document = parse_json_object(_text_of(data))
    with Client(url, key=key, fingerprint=fingerprint) as client:
        event = client.events.record(
            subject=subject, type=kind, data=document, receipt=receipt, idempotency_key=idempotency_key
        )
    places = [proof.index for proof in event.proofs]
    typer.echo(json.dumps({"event": event.event, "receipt": event.receipt, "entries": places}, sort_keys=True))


@app.command("import")
def import_command(
    paths: Annotated[list[Path], typer.Argument(help="FIT, GPX or TCX files, and folders of them.")],
    facilities: Annotated[Path, typer.Option(help="The approved facilities, a JSON file.")],
    subject: Annotated[str | None, typer.Option("--subject", help="Your own id of the customer.")] = None,
    url: Annotated[str | None, typer.Option("--url", envvar="TALLYSTICK_URL", help="Your node.")] = None,
    key: Annotated[str | None, typer.Option("--key", envvar="TALLYSTICK_KEY", help="Your app's key.")] = None,
    fingerprint: Annotated[str | None, typer.Option(envvar="TALLYSTICK_FINGERPRINT")] = None,
    receipt: Annotated[str | None, typer.Option(help="Under which receipt; the node finds it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be recorded.")] = False,
) -> None:
    """Find visits in workout files, and record each once; coordinates stay here."""
    found = import_files(paths, load_facilities(_read(facilities, FACILITIES_SIZE_BYTES_MAX)))
    events = visit_events(found.visits)
    table = Table("file", "outcome", "points", title=f"{len(found.visits)} visits found", title_justify="left")
    for file in found.files:
        table.add_row(Text(printable(file.name)), Text(file.reason or file.status), Text(str(file.points_count)))
    Console().print(table)
    if not dry_run:
        if not (subject and url and key and fingerprint):
            raise BadInput(
                "Nothing says where to record.", remedy="Give --subject, --url, --key and --fingerprint, or --dry-run."
            )
        with Client(url, key=key, fingerprint=fingerprint) as client:
            for visit, event in zip(found.visits, events, strict=True):
                kind, data = _type_and_data(event)
                client.events.record(
                    subject=subject, type=kind, data=data, receipt=receipt, idempotency_key=visit_key(visit, subject)
                )
        typer.echo(f"{len(events)} visits recorded, each once.")
    if any(file.status == "unreadable" for file in found.files):
        raise typer.Exit(FINDINGS)


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
    year: int | None,
) -> list[Source]:
    urls = [name for name in names if _is_url(name)]
    for given, what in ((keys, "--key"), (fingerprints, "--fingerprint")):
        if given and urls and len(given) != len(urls):
            raise AuditNotRun(f"There is not one {what} for each URL.", remedy="Give one for each URL, in their order.")
    trusted = _policy(policy) if policy else None
    source_of_policy = str(policy)
    keys_left, fingerprints_left = iter(keys), iter(fingerprints)
    sources: list[Source] = []
    for name in names:
        if _is_url(name):
            source: Source = open_web(
                name,
                http=http,
                year=year or datetime.now(UTC).year,
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


def _explained(rule: str) -> str:
    if rule not in RULES:
        raise AuditNotRun("There is no such rule.", remedy=f"Name one of: {', '.join(RULES)}.")
    return f"{rule}: {RULES[rule]}"


def _claimed_origin(proof: InclusionProof) -> str:
    """Return the origin that a proof's checkpoint claims; only a trusted key of that name makes it true."""
    try:
        return proof.checkpoint.partition(b"\n")[0].decode()
    except UnicodeDecodeError as error:
        raise BadInput("A checkpoint is not UTF-8.", remedy="Ask for the proof again.") from error


def _verified(proof: InclusionProof, checkpoint: Checkpoint) -> str:
    return f"HOLDS. Entry {proof.index} of {printable(checkpoint.origin)}, under its head of {checkpoint.size} entries."


def _type_and_data(event: Mapping[str, object]) -> tuple[str, dict[str, Any]]:
    kind, data = event["type"], event["data"]
    assert isinstance(kind, str), "an event's type is text"
    assert isinstance(data, dict), "an event's data is an object"
    return kind, cast("dict[str, Any]", data)


def _policy(path: Path) -> Policy:
    return parse_policy(_read(path, POLICY_SIZE_MAX_BYTES))


def _text_of(value: str) -> bytes:
    if value == "-":
        return sys.stdin.buffer.read(REQUEST_SIZE_MAX_BYTES + 1)
    return _read(Path(value[1:]), REQUEST_SIZE_MAX_BYTES) if value.startswith("@") else value.encode()


def _read(path: Path, size_max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(size_max_bytes + 1)
    except OSError as error:
        raise BadInput(
            f"The file {printable(str(path))} cannot be read.", remedy="Check its path and permissions."
        ) from error
    if len(raw) > size_max_bytes:
        raise BadInput(f"The file {printable(str(path))} is too large.", remedy="Check that it is the right one.")
    return raw


def _say(text: str) -> None:
    typer.echo(text, err=True)
