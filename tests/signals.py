"""Sends a signal in the way that is rare and legal: to a thread that is not the main one."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import pytest

_libc = ctypes.CDLL(None, use_errno=True)


def signal_another_thread(pid: int, number: int) -> None:
    """Let a thread other than the main one take the signal.

    The system does that by itself when another thread is the first to look, as one that starts a
    thread may be; the main thread then sleeps on.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux can send a signal to one thread of another process")
    threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    others = sorted(thread for thread in threads if thread != pid)
    assert others, "the process has one thread"
    if _libc.tgkill(pid, others[0], number):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
