"""The toys, imported when they are first asked for, or by `warm` in the background: they compile, and JAX takes its time."""

from __future__ import annotations

import functools
import importlib
import threading
from types import ModuleType


@functools.cache
def toys() -> ModuleType:
    return importlib.import_module(".._toys", __package__)


def warm() -> None:
    """Imports them beside what the server does first, which is to show a page."""
    threading.Thread(target=toys, name="spanax-toys", daemon=True).start()
