"""The end of a process together with the one that started it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping


def parent_of(environment: Mapping[str, str], name: str, *, parent: int) -> int | None:
    """Return the process whose end ends this one: None where the variable ``name`` is not set.

    The one that sets it says its own number: it may be gone before this process could ask for its
    parent. ``parent`` counts where the variable holds anything else.
    """
    said = environment.get(name, "")
    return int(said) if said.isdecimal() else parent if said else None


def end_with(parent: int | None, end: Callable[[], None]) -> None:
    """Call ``end``, in a thread, when ``parent`` is no longer the parent of this process."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        end()

    if parent is not None:
        threading.Thread(target=watch, name="parent", daemon=True).start()
