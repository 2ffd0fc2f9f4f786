"""The processes and folders of builds that run, to end them with the process that builds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Running:
    """What the builds of one builder have running: their commands and folders."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._processes: set[subprocess.Popen[str]] = set()
        self._folders: set[Path] = set()
        self._ending = threading.Event()

    @contextmanager
    def process(self, process: subprocess.Popen[str]) -> Iterator[None]:
        """Keep a process for as long as the block lasts."""
        with self._mutex:
            self._processes.add(process)
            if self._ending.is_set():
                end_group(process.pid)
        try:
            yield
        finally:
            with self._mutex:
                self._processes.discard(process)

    @contextmanager
    def folder(self, folder: Path) -> Iterator[Path]:
        """Keep a folder for as long as the block lasts, and remove it then."""
        with self._mutex:
            self._folders.add(folder)
        try:
            yield folder
        except Exception:
            self.wait_if_ending()  # its files went with ``end_all``
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with self._mutex:
                self._folders.discard(folder)

    def end_all(self) -> None:
        """End every command with its providers, at once: nothing in the world depends on them.

        This process is about to end: a thread that waits for one of the commands waits forever;
        what it would record about a build that was cut is less true than the rows are.
        """
        self._ending.set()
        with self._mutex:
            for process in self._processes:
                end_group(process.pid)
            folders = tuple(self._folders)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def wait_if_ending(self) -> None:
        """Return at once, or never after ``end_all``."""
        if self._ending.is_set():
            threading.Event().wait()


def end_group(pid: int) -> None:
    """End a process and everything it started in its session."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
