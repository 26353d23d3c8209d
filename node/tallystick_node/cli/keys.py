"""`tally-node keys`: the node's own keys, by role, and the keys of this company's apps."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from tallystick.wire import SCOPES
from tallystick_node.cli.shared import (
    NEW_PASSPHRASE_VARIABLE,
    Folder,
    clock_of,
    console,
    new_passphrase,
    passphrase_for,
    role_named,
    writing_clock,
)
from tallystick_node.errors import SettingsInvalid
from tallystick_node.keys.changes import (
    OVERLAP_DEFAULT_DAYS,
    OVERLAP_MAX_DAYS,
    REASONS,
    Reason,
    reseal_keys,
    revoke_key,
    rotate_key,
    seal_keys,
)
from tallystick_node.keys.ring import RingKey
from tallystick_node.operator.apps import AppKeyLine, add_app_key, list_app_keys, remove_app_key
from tallystick_node.setup import open_key_folder, read_keys

keys = typer.Typer(help="The node's own keys, and those of this company's apps.", no_args_is_help=True)

RoleName = Annotated[str, typer.Argument(help="What the key is for: log, claim, http, ...")]


@keys.command("add")
def keys_add(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="The app's name; it stands in the evidence of consents it vouches for.")],
    scope: Annotated[list[str] | None, typer.Option(help="What the key may do; give it as often as needed.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="How long it is valid.")] = None,
    *,
    every_scope: Annotated[bool, typer.Option(help="All of them, for a sandbox.")] = False,
) -> None:
    """Make a key for an app of this company; it is shown this once."""
    scopes = list(SCOPES) if every_scope else scope or []
    made = add_app_key(folder, name=name, scopes=scopes, clock=writing_clock(folder), life_days=days)
    console.print(made.secret)


@keys.command("remove")
def keys_remove(
    folder: Folder, key: Annotated[str, typer.Argument(help="The app key's id, as `list` shows it.")]
) -> None:
    """Remove an app's key; the next request under it is refused."""
    remove_app_key(folder, key)
    console.print(f"{key} opens nothing any more.")


@keys.command("list")
def keys_list(folder: Folder) -> None:
    """Print the node's keys by role, then the keys of its apps; no secret is shown."""
    own = read_keys(folder).keys
    of_id, of_role = max(len(line.id) for line in own), max(len(line.role) for line in own)
    console.print(f"{'own key':<{of_id}} {'role':<{of_role}} since, until")
    for line in own:
        console.print(f"{line.id:<{of_id}} {line.role:<{of_role}} from {_time(line.from_s)}{_end(line)}", markup=False)
    rows = [(app.id, app.name, _until(app), " ".join(app.scopes)) for app in list_app_keys(folder)]
    titled = [("app key", "name", "until", "scopes"), *rows]
    widths = [max(len(row[at]) for row in titled) for at in range(3)]
    for *fixed, scopes in titled if rows else ():
        console.print(*(f"{text:<{width}} " for text, width in zip(fixed, widths, strict=True)), scopes, markup=False)


@keys.command("rotate")
def keys_rotate(
    folder: Folder,
    role: RoleName,
    overlap_days: Annotated[
        int, typer.Option(min=0, max=OVERLAP_MAX_DAYS, help="How long the old key still counts.")
    ] = OVERLAP_DEFAULT_DAYS,
) -> None:
    """Put a new key in the place of a role's present one; a running node takes it up, and tells its partners."""
    named = role_named(role)
    with open_key_folder(folder, clock=writing_clock(folder), passphrase=passphrase_for()) as place:
        changed = rotate_key(place, named, overlap_days=overlap_days)
    console.print(f"{changed.id(named)} is used from now on.")
    if named == "identity":
        console.print(f"The fingerprint is another now: {changed.fingerprint}", markup=False)
        console.print("Compare it with every partner, who adds this node again: tally-node partner add")


@keys.command("revoke")
def keys_revoke(
    folder: Folder,
    role: RoleName,
    since: Annotated[str, typer.Option(help="Since when others may have had it: 2027-03-05T18:00Z, or seconds.")],
    reason: Annotated[str, typer.Option(help="compromised, lost or superseded.")] = "compromised",
    key: Annotated[str | None, typer.Option(help="Its id, where it is not the present one.")] = None,
) -> None:
    """Declare that nothing signed with a key since a time counts; a new one takes its place at once."""
    named = role_named(role)
    with open_key_folder(folder, clock=writing_clock(folder), passphrase=passphrase_for()) as place:
        present = place.load().id(named)
        changed = revoke_key(place, named, since_s=_seconds(since), reason=_reason(reason), key=key)
        beside = [
            each.id
            for each in changed.ring.keys
            if each.role == named and each.can_sign(place.now_s) and not each.is_current
        ]
    console.print(f"Revoked: {key or present}. {changed.id(named)} is used from now on.")
    if beside:
        console.print(f"Still counting beside it: {', '.join(beside)}. To revoke one of these, name it with --key.")


@keys.command("encrypt")
def keys_encrypt(folder: Folder) -> None:
    """Seal the keys under a passphrase. The disk may keep old copies: where that matters, rotate them afterwards."""
    with open_key_folder(folder, clock=clock_of(folder), passphrase=new_passphrase()) as place:
        names = seal_keys(place)
    console.print(f"Sealed: {', '.join(names) or 'nothing that was not sealed already'}.", markup=False)


@keys.command("passphrase")
def keys_passphrase(folder: Folder) -> None:
    """Seal the keys under another passphrase; the present one opens what was copied before, and nothing here any more.

    The new one comes from the file that TALLYSTICK_NEW_PASSPHRASE_FILE names, or is typed twice. Start a running node
    again with it.
    """
    told = new_passphrase(NEW_PASSPHRASE_VARIABLE)
    with open_key_folder(folder, clock=clock_of(folder), passphrase=passphrase_for()) as place:
        names = reseal_keys(place, told)
    console.print(f"Sealed anew: {', '.join(names)}.", markup=False)


def _reason(text: str) -> Reason:
    for reason in REASONS:
        if reason == text:
            return reason
    raise SettingsInvalid("There is no such reason.", remedy=f"Choose from {', '.join(REASONS)}.")


def _seconds(text: str) -> int:
    try:
        at = int(text) if text.isdecimal() else datetime.fromisoformat(text)
        if isinstance(at, int):
            return at
        if at.tzinfo is None:
            raise ValueError("a time without a zone")
        return int(at.timestamp())
    except ValueError as error:
        raise SettingsInvalid("A time is not one.", remedy="Write 2027-03-05T18:00Z, or seconds since 1970.") from error


def _end(line: RingKey) -> str:
    until = "" if line.until_s is None else f" until {_time(line.until_s)}"
    revoked = "" if line.revoked_since_s is None else f" {line.reason}: revoked since {_time(line.revoked_since_s)}"
    return until + revoked + {"file": "", "signer": " (at the signer)", "nowhere": " (destroyed)"}[line.held]


def _until(app: AppKeyLine) -> str:
    return "no end" if app.expires_at_s is None else f"{_time(app.expires_at_s)}"


def _time(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S}Z"
