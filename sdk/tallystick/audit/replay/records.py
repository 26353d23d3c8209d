"""A replay's state as records, one after the other, and back.

What a replay remembers is whatever members its dataclasses have, so they and their types say how it is written: a
replay that remembers more next year is saved whole without a line changing here.
"""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, MutableSet
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import GenericAlias
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tallystick_ledger.errors import BadInput

_EXACT = ConfigDict(strict=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

_MAPPING, _LIST, _SET, _VALUE = range(4)


@dataclass(frozen=True, slots=True)
class Member:
    """Where one member of a replay is, and how what it holds is written.

    Attributes:
        holder: the names that lead to the dataclass that has it.
        name: its own.
        form: a mapping has a record for each item, a list or set for each element, any other value one.
        parts: the types of what one record has: of a mapping, its key's and its value's.
        adapter: of one record's value, in a list, since its settings then hold for what stands inside.
        grows: it may be kept elsewhere than in memory: its type is that of any mapping, or any set.
    """

    holder: tuple[str, ...]
    name: str
    form: int
    parts: tuple[Any, ...]
    adapter: TypeAdapter[Any]
    grows: bool

    def of(self, state: object) -> object:
        """Return the dataclass that has the member, in a replay's state."""
        for name in self.holder:
            state = getattr(state, name)
        return state

    @property
    def is_set(self) -> bool:
        """Whether it holds elements, each once."""
        return self.form == _SET

    def held_in(self, state: object) -> Any:
        """Return what the member holds, in a replay's state."""
        return getattr(self.of(state), self.name)


def records_of(state: object) -> Iterator[tuple[str, bytes]]:
    """Yield the records of a dataclass: the path of a member, and JSON of what it holds, or of a part of that."""
    for path, member in members_of(state).items():
        held = member.held_in(state)
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
    member = members_of(state).get(path)
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


def members_of(state: object) -> Mapping[str, Member]:
    """Return the members of a replay's state by their paths."""
    kind: Any = type(state)
    return _members(kind)


@cache
def _members(kind: type) -> dict[str, Member]:
    return dict(_walk(kind, ()))


def _walk(kind: Any, holder: tuple[str, ...]) -> Iterator[tuple[str, Member]]:
    hints = get_type_hints(kind)
    for each in fields(kind):
        hint = hints[each.name]
        origin, parts = get_origin(hint), get_args(hint)
        if is_dataclass(hint):
            yield from _walk(hint, (*holder, each.name))
            continue
        form, of = _VALUE, (hint,)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            form, of = _MAPPING, parts if len(parts) == 2 else (*parts, int)  # a Counter names its keys alone
        elif origin in (list, set, MutableSet):
            form, of = (_LIST if origin is list else _SET), parts
        grows = origin in (MutableMapping, MutableSet)
        yield ".".join((*holder, each.name)), Member(holder, each.name, form, of, exactly(*of), grows)


def exactly(*parts: Any) -> TypeAdapter[Any]:
    """Return what writes and reads a tuple of values of these types as JSON, each of just its type."""
    in_a_list: Any = GenericAlias(tuple, parts)
    return TypeAdapter(in_a_list, config=_EXACT)
