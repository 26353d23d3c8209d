"""How a group makes methods of its calls: `Blocking` one that returns the reply, `Awaited` one whose reply is awaited.

What is asked and what is believed are of the call; a group only says who carries it out.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, get_args

from tallystick.calls import next_cursor
from tallystick.core import Call
from tallystick.wire import Page

_C = TypeVar("_C")
_G = TypeVar("_G", bound=Page)
_T = TypeVar("_T")
_P = ParamSpec("_P")


class Run(Protocol):
    """Carries out a call."""

    def __call__(self, call: Call[_T], /) -> _T:
        """Return the reply, checked."""
        ...


class RunAsync(Protocol):
    """Carries out a call, awaited."""

    def __call__(self, call: Call[_T], /) -> Coroutine[object, object, _T]:
        """Return the reply, checked, once awaited."""
        ...


class Group(Generic[_C]):
    """The calls of a `Client` that belong together."""

    def __init__(self, calls: _C, run: Run) -> None:
        """Run `calls` by `run`."""
        self.calls = calls
        self.run = run


class AsyncGroup(Generic[_C]):
    """The calls of an `AsyncClient` that belong together."""

    def __init__(self, calls: _C, run: RunAsync) -> None:
        """Run `calls` by `run`."""
        self.calls = calls
        self.run = run


def _shown(build: Callable[..., Any]) -> dict[str, Any]:
    """Return what `help` and a shell show of a method: the arguments of the call that it makes, and its reply."""
    of_call = inspect.signature(build)
    reply = next(iter(get_args(of_call.return_annotation)), of_call.return_annotation)
    arguments = list(of_call.parameters.values())[1:]  # without `self`, the calls
    return {"__signature__": of_call.replace(parameters=arguments, return_annotation=reply)}


class Blocking(Generic[_C, _P, _T]):
    """A method that does one of the `calls` and returns its reply; arguments and docstring stay the same."""

    def __init__(self, build: Callable[Concatenate[_C, _P], Call[_T]]) -> None:
        """Run what `build` makes."""
        self._build = build
        self._shown = _shown(build)
        self.__doc__ = build.__doc__

    def __get__(self, group: Group[_C], owner: type) -> Callable[_P, _T]:
        """Return the method of one group."""

        def method(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            return group.run(self._build(group.calls, *args, **kwargs))

        method.__doc__ = self.__doc__
        method.__dict__.update(self._shown)
        method.__name__, method.__qualname__ = self._build.__name__, self._build.__qualname__
        return method


class Awaited(Generic[_C, _P, _T]):
    """A method that does one of the `calls`, awaited; arguments and docstring stay the same."""

    def __init__(self, build: Callable[Concatenate[_C, _P], Call[_T]]) -> None:
        """Run what `build` makes."""
        self._build = build
        self._shown = _shown(build)
        self.__doc__ = build.__doc__

    def __get__(self, group: AsyncGroup[_C], owner: type) -> Callable[_P, Coroutine[object, object, _T]]:
        """Return the method of one group."""

        def method(*args: _P.args, **kwargs: _P.kwargs) -> Coroutine[object, object, _T]:
            return group.run(self._build(group.calls, *args, **kwargs))

        method.__doc__ = self.__doc__
        method.__dict__.update(self._shown)
        method.__name__, method.__qualname__ = self._build.__name__, self._build.__qualname__
        return method


def each_page(read: Callable[[str | None], _G]) -> Iterator[_G]:
    """Yield the pages of a list, each read when it is needed."""
    cursor, pages_read = None, 0
    while pages_read == 0 or cursor is not None:
        page = read(cursor)
        yield page
        pages_read += 1
        cursor = next_cursor(page, cursor=cursor, pages_read=pages_read)


async def each_page_awaited(read: Callable[[str | None], Coroutine[object, object, _G]]) -> AsyncIterator[_G]:
    """As `each_page`, awaited."""
    cursor, pages_read = None, 0
    while pages_read == 0 or cursor is not None:
        page = await read(cursor)
        yield page
        pages_read += 1
        cursor = next_cursor(page, cursor=cursor, pages_read=pages_read)
