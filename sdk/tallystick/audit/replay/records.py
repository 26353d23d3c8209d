"""A replay's state as records, one after the other, and back.

What a replay remembers is whatever members its dataclasses have, so they and their types say how it is written: a
replay that remembers more next year is saved whole without a line changing here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import GenericAlias
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tallystick_ledger.errors import BadInput

_EXACT = ConfigDict(strict=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

_MAPPING, _LIST, _SET, _VALUE = range(4)


@dataclass(frozen=True, slots=True)
class _Member:
    """Where one member of a replay is, and how what it holds is written.

    Attributes:
        holder: the names that lead to the dataclass that has it.
        name: its own.
        form: a mapping has a record for each item, a list or set for each element, any other value one.
        adapter: of one record's value, in a list, since its settings then hold for what stands inside.
    """

    holder: tuple[str, ...]
    name: str
    form: int
    adapter: TypeAdapter[Any]

    def of(self, state: object) -> object:
        for name in self.holder:
            state = getattr(state, name)
        return state


def records_of(state: object) -> Iterator[tuple[str, bytes]]:
    """Yield the records of a dataclass: the path of a member, and JSON of what it holds, or of a part of that."""
    for path, member in _members_of(state).items():
        held = getattr(member.of(state), member.name)
        if member.form == _MAPPING:
            items: Iterable[tuple[Any, ...]] = held.items()
        else:
            items = ((held,),) if member.form == _VALUE else ((each,) for each in held)
        for item in items:
            yield path, member.adapter.dump_json(item)


def take_record(state: object, path: str, raw: bytes) -> None:
    """Put one record back.

    Args:
        state: a dataclass of the type that the record is of, whose mappings and lists are empty at first.
        path: as `records_of` gave it.
        raw: likewise.

    Raises:
        BadInput: there is no such member, or it holds something else.
    """
    member = _members_of(state).get(path)
    try:
        if member is None:
            raise KeyError(path)
        item = member.adapter.validate_json(raw)
    except (KeyError, ValidationError) as error:
        raise BadInput(
            "A record of a saved audit is not one of this version.", remedy="Audit from the start."
        ) from error
    holder = member.of(state)
    if member.form == _MAPPING:
        getattr(holder, member.name)[item[0]] = item[1]
    elif member.form == _LIST:
        getattr(holder, member.name).append(item[0])
    elif member.form == _SET:
        getattr(holder, member.name).add(item[0])
    else:
        setattr(holder, member.name, item[0])


def _members_of(state: object) -> dict[str, _Member]:
    kind: Any = type(state)
    return _members(kind)


@cache
def _members(kind: type) -> dict[str, _Member]:
    return dict(_walk(kind, ()))


def _walk(kind: Any, holder: tuple[str, ...]) -> Iterator[tuple[str, _Member]]:
    hints = get_type_hints(kind)
    for each in fields(kind):
        hint = hints[each.name]
        origin, parts = get_origin(hint), get_args(hint)
        if is_dataclass(hint):
            yield from _walk(hint, (*holder, each.name))
            continue
        form, of = _VALUE, (hint,)
        if isinstance(origin, type) and issubclass(origin, dict):
            form, of = _MAPPING, parts if len(parts) == 2 else (*parts, int)  # a Counter names its keys alone
        elif origin in (list, set):
            form, of = (_LIST if origin is list else _SET), parts
        in_a_list: Any = GenericAlias(tuple, of)
        adapter: TypeAdapter[Any] = TypeAdapter(in_a_list, config=_EXACT)
        yield ".".join((*holder, each.name)), _Member(holder, each.name, form, adapter)
