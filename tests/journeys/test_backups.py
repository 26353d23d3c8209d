"""The gym backs its data up while it runs, Ana asks to be erased, and no backup of it ever tells of her again.

P9, DESIGN section 7 (`backup`, `restore`), docs/erasure.md; that none forks the log is in `test_never_fork`.
"""

import asyncio
import hashlib
import json
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from erasing import ana, erase_at_gym, files_of, found
from forked import Forks
from sqlalchemy import func, select
from town import Company, Membership, Town, agree, consent, link, town
from typer.testing import CliRunner

from tallystick.audit import DirectorySource, audit
from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.times import DAY_S
from tallystick_node.backups import node as backups
from tallystick_node.backups.log import Entries, WholeLogs
from tallystick_node.backups.node import BackedUp, PutBack, back_up, put_back
from tallystick_node.backups.rows import put_rows, revision_told, rows_of
from tallystick_node.cli import app
from tallystick_node.config import CLOCK_VARIABLE, SETTINGS_FILE, load_settings
from tallystick_node.errors import BackupRefused, FolderInUse
from tallystick_node.keys.day_keys import KEY_LIFE_DAYS
from tallystick_node.log.transaction import Transaction
from tallystick_node.migrations import (
    Schema,
    alembic_config,
    latest,
    open_database,
    rebuild,
    revision_in,
)
from tallystick_node.storage.database import close, connect, writing
from tallystick_node.storage.staging import staging
from tallystick_node.storage.tables import BLOBS, EVENTS, HEADS, LETTERS, RECEIPTS

LIES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "its end is missing": ("backup_cut_short", lambda raw: raw[: raw.index(b"\n") + 10]),
    "half of it is missing": ("backup_changed", lambda raw: raw[: len(raw) // 2]),
    "one byte is another": ("backup_changed", lambda raw: raw[:-100] + bytes([raw[-100] ^ 1]) + raw[-99:]),
    "something was added": ("backup_changed", lambda raw: raw + b"!"),
    "its header is another": ("backup_changed", lambda raw: raw.replace(b"\n(", b"\n)", 1)),
    "it is said to be of another day": ("backup_key_missing", lambda raw: _relabelled(raw, day=20_891)),
    "it is older than seven days": ("backup_key_dead", lambda raw: _relabelled(raw, day=20_800)),
    "its key is another": ("backup_key_wrong", lambda raw: _relabelled(raw, key="A" * 11)),
    "it is another node's": ("backup_of_another", lambda raw: _relabelled(raw, host="spa.example")),
    "it is no backup": ("backup_malformed", lambda _: b"{}\n"),
    "its label is written otherwise": ("backup_malformed", lambda raw: raw.replace(b'"day":', b'"day": ', 1)),
}

STRIDE = 5
"""How many steps apart a restoration is killed: it has many, most of them rows that are put in."""


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    """A gym and an insurer that have agreed on the program, in late February 2027."""
    with town(tmp_path) as made:
        gym, insurer = made.company("gym.example"), made.company("insurer.example")
        agree(made, insurer, gym)
        yield made


def backed_up(company: Company, file: Path) -> BackedUp:
    return back_up(company.folder, file, clock=company.clock)


def restored(company: Company, file: Path) -> PutBack:
    return put_back(company.folder, file, clock=company.clock)


def joined(story: Town) -> Membership:
    """Ana has linked the gym and the insurer, said yes, and trained once."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
    story.go_to("2027-03-01 20:00")
    person.visit("2027-03-01 18:00", 50)
    story.settle()
    return person


def wanted_of(person: Membership) -> list[bytes]:
    """Return what tells of her: ids, hints, the sealed visits, and each as base64 would have it."""
    sealed = [row.ciphertext for row in person.gym.node.rows(select(EVENTS.c.ciphertext))]
    plain = [each.encode() for each in (person.at_gym, person.at_insurer, "member since 2020", "policy ending 21")]
    given = [row.signed.encode() for row in person.gym.node.rows(select(RECEIPTS.c.signed)) if row.signed]
    raw = [*plain, *given, *sealed]
    return [*raw, *(b64encode(each)[:-4] for each in raw), *(to_base64url(each)[:-2].encode() for each in raw)]


def lines_of(company: Company) -> list[bytes]:
    """Return every row that a company has."""
    engine = connect(company.databases.node)
    try:
        return list(rows_of(engine))
    finally:
        close(engine)


def unpublished(line: bytes) -> bytes:
    """Return a line as it comes back: how far a log is published is found out anew."""
    row, at = json.loads(line), [column.name for column in HEADS.columns].index("published_size")
    if not isinstance(row, list) or len(row) != len(HEADS.columns) or row[0] != "2027":
        return line
    row[at] = 0
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize("known", [joined, pytest.param(ana, marks=pytest.mark.long)])
def test_p9_a_backup_from_before_her_erasure_tells_nothing_once_put_back_and_opens_nothing_after_seven_days(
    story: Town, tmp_path: Path, known: Callable[[Town], Membership]
) -> None:
    person, file = known(story), tmp_path / "gym.backup"
    gym, wanted = person.gym, wanted_of(person)
    assert found({"gym": files_of(gym)}, person.at_gym.encode())  # the search does find
    assert [each for each in wanted if any(each in line for line in lines_of(gym))]
    made = backed_up(gym, file)  # while it runs
    assert made.size_bytes == file.stat().st_size
    assert [each for each in wanted if each in file.read_bytes()] == []

    erase_at_gym(person, story)
    gym.stop()
    gym.lose_rows()
    done = restored(gym, file)
    assert (done.host, done.erased_since_count) == ("gym.example", 1)
    assert {place: each[:20] for each in wanted for place in found({"gym": files_of(gym)}, each)} == {}

    story.clock.at_s += KEY_LIFE_DAYS * DAY_S
    key = gym.folder / "custody" / f"backup-{made.opens_until_s // DAY_S - KEY_LIFE_DAYS}.key"
    assert key.exists()
    gym.start()
    gym.work()
    gym.stop()
    assert not key.exists()  # also while the log is read-only, since its own folder holds a longer one
    gym.lose_rows()
    with pytest.raises(BackupRefused) as dead:
        restored(gym, file)
    assert dead.value.code == "backup_key_dead"


@pytest.mark.long
def test_a_dead_key_is_destroyed_also_by_whoever_tries_to_use_it(story: Town, tmp_path: Path) -> None:
    """The node did not run for a week, so that its housekeeping has destroyed nothing."""
    gym, file = story.companies["gym.example"], tmp_path / "gym.backup"
    backed_up(gym, file)
    gym.stop()
    gym.lose_rows()
    story.clock.at_s += KEY_LIFE_DAYS * DAY_S
    with pytest.raises(BackupRefused) as dead:
        restored(gym, file)
    assert (dead.value.code, list((gym.folder / "custody").glob("backup-*"))) == ("backup_key_dead", [])


def test_what_is_put_back_is_what_was_backed_up_and_the_log_goes_on(story: Town, tmp_path: Path) -> None:
    person, file = joined(story), tmp_path / "gym.backup"
    gym = person.gym
    (visit,) = (row.id for row in gym.node.rows(select(EVENTS.c.id)))
    said = CliRunner(env=clock_file(story, tmp_path)).invoke(app, ["backup", str(gym.folder), str(file)])
    assert (said.exit_code, "custody" in said.output) == (0, True)
    gym.stop()
    before = [unpublished(line) for line in lines_of(gym)]
    gym.lose_rows()
    (gym.folder / "node.toml").unlink() if isinstance(gym.databases.node, Path) else None
    shutil.rmtree(gym.log)
    said = CliRunner(env=clock_file(story, tmp_path)).invoke(app, ["restore", str(gym.folder), str(file)])
    assert said.exit_code == 0, said.output
    assert lines_of(gym) == before
    gym.start()
    assert gym.app().events.get(visit).event == visit
    person.visit("2027-03-01 19:00", 50)
    story.settle()
    report = audit([DirectorySource(str(each.log)) for each in story.companies.values()])
    assert report.holds, report.findings


@pytest.fixture
def thrifty(story: Town) -> Membership:
    """Ana trains at a gym whose entries lie in its published files alone; some 300, so that one bundle is full."""
    gym = story.companies["gym.example"]
    gym.stop()
    keeps = load_settings(gym.folder).model_copy(update={"keeps_published_entries": False})
    (gym.folder / SETTINGS_FILE).write_text(keeps.text())
    gym.start()
    person = joined(story)

    def write(transaction: Transaction) -> None:
        for number in range(300):
            digest = hashlib.sha256(number.to_bytes(2)).digest()
            transaction.append("event", {"commitment": to_base64url(digest)})

    asyncio.run(gym.node.written(write))
    story.settle()
    for _ in range(3):
        person.visit("2027-03-01 18:00", 50)
        story.settle()
    assert gym.node.row(select(func.min(BLOBS.c.first))).min_1 > 256
    return person


@pytest.mark.long
def test_entries_that_lie_in_the_published_files_alone_are_backed_up_while_it_runs_and_come_back(
    story: Town, thrifty: Membership, tmp_path: Path
) -> None:
    gym, file = thrifty.gym, tmp_path / "gym.backup"
    assert not backed_up(gym, file).log_is_apart
    gym.stop()
    before = {
        each.name: each.read_bytes() for each in gym.log.rglob("*") if each.parent.name == "entries" and each.is_file()
    }
    gym.lose_rows()
    shutil.rmtree(gym.log)
    restored(gym, file)
    gym.start()
    thrifty.visit("2027-03-01 19:00", 50)  # nothing is dropped for it before it is published again
    story.settle()
    for name, raw in before.items():
        assert (gym.log / "tile" / "entries" / name).read_bytes() == raw
    assert "000" in before
    report = audit([DirectorySource(str(each.log)) for each in story.companies.values()])
    assert report.holds, report.findings
    thrifty.visit("2027-03-01 19:10", 50)
    story.settle()
    assert gym.node.row(select(func.min(BLOBS.c.first))).min_1 > 256  # and then it is


@pytest.mark.long
def test_a_backup_of_entries_that_are_lost_or_changed_is_refused_while_they_can_be_mended(
    thrifty: Membership, tmp_path: Path
) -> None:
    gym, bundle = thrifty.gym, thrifty.gym.log / "tile" / "entries" / "000"
    raw = bundle.read_bytes()
    for content in (raw[:-1] + bytes([raw[-1] ^ 1]), raw[:-1], None):
        bundle.unlink() if content is None else bundle.write_bytes(content)
        with pytest.raises(BackupRefused) as refused:
            backed_up(gym, tmp_path / "gym.backup")
        assert refused.value.code == "backup_log_damaged"
        assert list(tmp_path.glob("*gym.backup*")) == []
    left_out = back_up(gym.folder, tmp_path / "gym.backup", clock=gym.clock, with_log=False)
    assert left_out.log_is_apart


@pytest.mark.long
def test_a_backup_in_which_an_entry_is_missing_is_not_put_back(
    thrifty: Membership, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever made it did not look; whoever puts it back does."""
    gym, file = thrifty.gym, tmp_path / "gym.backup"
    with monkeypatch.context() as careless:
        careless.setattr(backups, "published_entries", lambda _store, end: iter([Entries(0, end, b"\0\0" * end)]))
        careless.setattr(WholeLogs, "require", lambda _: None)
        backed_up(gym, file)
    gym.stop()
    gym.lose_rows()
    with pytest.raises(BackupRefused) as refused:
        restored(gym, file)
    assert refused.value.code == "backup_log_damaged"
    rows = gym.databases.node
    assert not isinstance(rows, Path) or not rows.exists()


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_is_not_what_was_backed_up_is_refused_and_changes_nothing(
    lies_about: tuple[Company, Path, bytes], lie: str
) -> None:
    gym, file, raw = lies_about
    code, tell = LIES[lie]
    file.write_bytes(tell(raw))
    with pytest.raises(BackupRefused) as refused:
        restored(gym, file)
    assert refused.value.code == code
    rows = gym.databases.node
    assert not isinstance(rows, Path) or not (rows.exists() or staging(rows).exists())


@pytest.fixture(scope="module")
def lies_about(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Company, Path, bytes]]:
    """A gym that has lost its rows, where its backup is to be, and what was in it."""
    folder = Path(tmp_path_factory.mktemp("lies"))
    with town(folder) as made:
        gym, file = made.company("gym.example"), folder / "gym.backup"
        backed_up(gym, file)
        gym.stop()
        gym.lose_rows()
        yield gym, file, file.read_bytes()


def _relabelled(raw: bytes, **changes: object) -> bytes:
    label, sealed = raw.split(b"\n", 1)
    said = {**json.loads(label), **changes}
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode() + b"\n" + sealed


def test_nothing_is_overwritten_and_nothing_is_put_back_beside_a_running_node(
    lies_about: tuple[Company, Path, bytes], tmp_path: Path
) -> None:
    gym, file = lies_about[0], tmp_path / "gym.backup"
    gym.start()
    backed_up(gym, file)
    raw = file.read_bytes()
    with pytest.raises(BackupRefused) as exists:
        backed_up(gym, file)
    assert (exists.value.code, file.read_bytes() == raw) == ("backup_exists", True)
    with pytest.raises(FolderInUse):
        restored(gym, file)
    gym.stop()
    before = lines_of(gym)
    with pytest.raises(BackupRefused) as not_empty:
        restored(gym, file)
    assert (not_empty.value.code, lines_of(gym) == before) == ("restore_not_empty", True)
    with pytest.raises(BackupRefused) as unwritable:
        backed_up(gym, tmp_path / "nowhere" / "gym.backup")
    gym.lose_rows()  # as the other tests expect it
    assert unwritable.value.code == "backup_unwritable"


def test_a_clock_that_is_not_yet_known_to_be_the_nodes_own_destroys_no_key(
    lies_about: tuple[Company, Path, bytes], tmp_path: Path
) -> None:
    """The folder's settings are lost with its rows, and a sandbox's clock of 2039 was left in the shell."""
    gym, file, raw = lies_about
    keys = {each: each.read_bytes() for each in (gym.folder / "custody").glob("backup-*.key")}
    assert keys
    settings = (gym.folder / SETTINGS_FILE).rename(tmp_path / SETTINGS_FILE)
    (tmp_path / "clock").write_text(str(2_180_000_000))
    try:
        for content, refusal in ((b"{}\n", "no backup of a node"), (raw, "its key is destroyed")):
            file.write_bytes(content)
            left_over = {CLOCK_VARIABLE: str(tmp_path / "clock"), "COLUMNS": "500"}
            said = CliRunner(env=left_over).invoke(app, ["restore", str(gym.folder), str(file)])
            assert isinstance(said.exception, BackupRefused)
            assert refusal in str(said.exception)
            assert {each: each.read_bytes() for each in keys} == keys
    finally:
        settings.rename(gym.folder / SETTINGS_FILE)


@pytest.mark.long
def test_a_custody_that_would_bring_her_back_is_refused(story: Town, tmp_path: Path) -> None:
    """Custody's copy is older than the erasure that the backup knows of; or there is none at all."""
    person, file = joined(story), tmp_path / "gym.backup"
    gym = person.gym
    gym.stop()
    older = gym.back_up()
    gym.start()
    gym.app().subjects.erase(person.at_gym)
    backed_up(gym, file)
    gym.stop()
    keys = {each: each.read_bytes() for each in (gym.folder / "custody").glob("backup-*.key")}
    rows, custody = gym.databases.node, gym.databases.custody
    gym.restore(older)
    gym.lose_rows()
    for path, raw in keys.items():
        path.write_bytes(raw)
    with pytest.raises(BackupRefused) as refused:
        restored(gym, file)
    assert refused.value.code == "custody_older"
    assert not isinstance(rows, Path) or not rows.exists()
    if isinstance(custody, Path):
        custody.unlink()
        with pytest.raises(BackupRefused) as missing:
            restored(gym, file)
        assert missing.value.code == "custody_missing"


@pytest.mark.long
def test_a_backup_of_a_newer_version_is_refused(story: Town, tmp_path: Path) -> None:
    gym, file = story.companies["gym.example"], tmp_path / "gym.backup"
    with gym.node.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'node_9999'")
    backed_up(gym, file)
    gym.stop()
    gym.lose_rows()
    with pytest.raises(BackupRefused) as refused:
        restored(gym, file)
    assert refused.value.code == "backup_newer"


def clock_file(story: Town, folder: Path) -> dict[str, str]:
    """Return the environment in which another process has the story's time."""
    (folder / "clock").write_text(str(story.clock.at_s))
    return {CLOCK_VARIABLE: str(folder / "clock")}


@pytest.mark.long
def test_killed_at_any_step_a_backup_is_whole_or_not_there_and_a_restoration_is_done_again(
    story: Town, tmp_path: Path
) -> None:
    """Ana was erased after the backup; whatever is left behind tells nothing of her once the node has started."""
    person, file = joined(story), tmp_path / "gym.backup"
    gym, wanted = person.gym, wanted_of(person)
    with Forks(errors=tmp_path / "errors", environment=clock_file(story, tmp_path)) as forks:
        for step in range(1_000):
            died = forks.dies("backup", gym.folder, file, steps=step)
            left = [each for each in tmp_path.iterdir() if each.name.endswith(".backup.new")]
            assert all(each not in raw.read_bytes() for raw in left for each in wanted)
            if not died:
                break
            file.unlink(missing_ok=True)
        if not file.exists():
            backed_up(gym, file)
        gym.app().subjects.erase(person.at_gym)
        gym.stop()
        for step in range(0, 1_000, STRIDE):
            gym.lose_rows()
            if not forks.dies("restore", gym.folder, file, steps=step):
                break
            try:
                restored(gym, file)
            except BackupRefused:  # the rows are there already, and are obeyed when the node starts
                gym.start()
                gym.stop()
            assert {place: each[:20] for each in wanted for place in found({"gym": files_of(gym)}, each)} == {}


def test_the_rows_of_an_older_version_come_back_in_the_form_of_this_one(tmp_path: Path) -> None:
    older, rebuilt = connect(tmp_path / "older.db"), tmp_path / "rebuilt.db"
    with writing(older).begin() as connection:
        command.upgrade(alembic_config(Schema.NODE, connection), "node_0011")
        connection.exec_driver_sql("INSERT INTO letter VALUES ('ltr_1', 'ana', 'open', 0, 9)")
    first, *lines = list(rows_of(older))
    close(older)
    assert revision_told(first) == "node_0011"
    rebuild(rebuilt, Schema.NODE, "node_0011", lambda connection: put_rows(connection, lines))
    engine = open_database(rebuilt)
    with engine.connect() as connection:
        assert revision_in(connection) == latest(Schema.NODE)
        assert connection.execute(select(LETTERS.c.subject)).scalar_one() == "ana"
    close(engine)


def test_rows_that_are_not_all_there_leave_the_database_empty(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "node.db")
    begun = b'{"table":"letter","columns":["id","subject","state","tries","expires_at_s"]}'
    row = b'["ltr_1","ana","open",0,9]'
    for lines in (
        [],
        [begun, row],
        [begun, row, b'{"rows":2}'],
        [begun, b'["ltr_1"]', b'{"rows":1}'],
        [b'{"table":"letter","columns":["id"]}'],
        [b'{"table":"wallet","columns":["id"]}'],
        [b"[1]"],
        [b"x"],
    ):
        with pytest.raises(BackupRefused) as refused, writing(engine).begin() as connection:
            put_rows(connection, lines)
        assert refused.value.code == "backup_malformed"
    with engine.connect() as connection:
        assert connection.execute(select(LETTERS)).all() == []
    close(engine)
