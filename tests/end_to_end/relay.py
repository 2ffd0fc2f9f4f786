"""A relay on the way to a server, which can be cut as a network is: packets vanish, nobody is told.

Cut, its sockets drop whatever arrives (a socket filter of the kernel, ``SO_ATTACH_FILTER``), before
TCP sees it: nothing is acknowledged, no connection is closed or refused, keepalive probes and new
connections get no answer. Either end finds out by its own time limits alone. Mended, it lets
through what is sent again.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Final, Self

_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h
_SO_DETACH_FILTER: Final = 27
_RETURN_NOTHING: Final = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
_DROP_ALL: Final = struct.pack("HL", 1, ctypes.addressof(_RETURN_NOTHING))  # struct sock_fprog
_CHUNK: Final = 65536
_BACKLOG: Final = 64


class Relay:
    """Passes connections on to ``target``, a (host, port); listens on loopback.

    ``pause_seconds`` may be set at any time: how long each piece on its way to the target waits.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self.pause_seconds = 0.0
        self._is_cut = False
        self._open: set[socket.socket] = set()
        self._changing = threading.RLock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """Let nothing through from now on."""
        with self._changing:
            self._is_cut = True
            for each in (self._listener, *self._open):
                _drop(each)

    def mend(self) -> None:
        """Let everything through again."""
        with self._changing:
            self._is_cut = False
            for each in (self._listener, *self._open):
                each.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._changing:
            for each in (self._listener, *self._open):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(near,), name="relay", daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, socket.socket() as far:
            try:
                with self._changing:
                    self._open |= {near, far}
                    if self._is_cut:
                        _drop(near)
                        _drop(far)
                far.connect(self._target)
                back = threading.Thread(target=_pass_on, args=(far, near), daemon=True)
                back.start()
                self._pass_on_slowly(near, far)
                back.join()
            except OSError:
                return  # refused by the server: so is who wanted it
            finally:
                with self._changing:
                    self._open -= {near, far}

    def _pass_on_slowly(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while content := near.recv(_CHUNK):
                if self.pause_seconds:
                    time.sleep(self.pause_seconds)
                far.sendall(content)
        _shut(far)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(_CHUNK):
            sink.sendall(content)
    _shut(sink)


def _shut(sink: socket.socket) -> None:
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _drop(each: socket.socket) -> None:
    each.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _DROP_ALL)
