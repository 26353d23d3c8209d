"""Loads a library of the extra `[import]`, or says how to get it."""

from importlib import import_module
from types import ModuleType

from tallystick.importing.errors import ExtraMissing


def extra_module(name: str) -> ModuleType:
    """Return a module of the extra `[import]`; it is loaded when first asked for, so the base install needs none.

    Raises:
        ExtraMissing: the library is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ExtraMissing(
            "The libraries that read workouts are not installed.", remedy="Run: pip install 'tallystick[import]'"
        ) from error
