"""A runner whose provider writes down what it is asked; for tests only."""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped] # has no types
from pulumi.runtime.proto import provider_pb2

from tests.stacks.runner_calls import tree_in, tree_with_program

_REQUESTS: dict[str, Any] = {
    "Configure": provider_pb2.ConfigureRequest,
    "Read": provider_pb2.ReadRequest,
    "Diff": provider_pb2.DiffRequest,
}
# The engine's server for views, which our look has no use for: a new address each time.
_OF_THE_ENGINE = ("resourceStatusAddress", "resourceStatusToken")

# Appended to the module that holds the provider. ``plain`` is one as they were before: it knows no
# handshake and takes no secrets.
_RECORDING = """

import base64 as _base64
import json as _json
import os as _os


class Provider(Provider):
    def _write(self, method, request):
        data = _base64.b64encode(request.SerializeToString()).decode()
        line = _json.dumps({{"pid": _os.getpid(), "method": method, "data": data}}) + "\\n"
        with open({path!r}, "a") as file:
            file.write(line)

    def Configure(self, request, context):
        self._write("Configure", request)
        answer = super().Configure(request, context)
        answer.acceptSecrets = not {plain}
        return answer

    def Read(self, request, context):
        self._write("Read", request)
        self._narrator(request.urn)("canary & <secret> in " + request.name)
        return super().Read(request, context)

    def Diff(self, request, context):
        self._write("Diff", request)
        return super().Diff(request, context)

    if {plain}:

        def Handshake(self, request, context):
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "no handshake")
"""

Asked = Counter[str]  # requests as JSON, each beginning with its method


@dataclass(frozen=True)
class Recording:
    """A tree to run the runner from, and what its providers have been asked."""

    tree: Path
    file: Path

    def asked(self) -> list[Asked]:
        """Return what each process was asked since the last time, in the order of their starts."""
        by_process: dict[int, Asked] = {}
        for line in self.file.read_text().splitlines():
            entry = json.loads(line)
            request = _REQUESTS[entry["method"]].FromString(base64.b64decode(entry["data"]))
            told = MessageToDict(request)
            for field in _OF_THE_ENGINE:
                told.pop(field, None)
            text = f"{entry['method']} {json.dumps(told, sort_keys=True)}"
            by_process.setdefault(entry["pid"], Counter())[text] += 1
        self.file.write_text("")
        return list(by_process.values())


def recording(folder: Path, *, program: str | None = None, plain: bool = False) -> Recording:
    """Make a tree, with ``program`` as the slice's if it is given."""
    folder.mkdir()
    tree = tree_in(folder) if program is None else tree_with_program(folder, program)
    file = folder / "asked"
    file.touch()
    server = tree / "stacks" / "sandbox" / "provider" / "server.py"
    server.write_text(server.read_text() + _RECORDING.format(path=str(file), plain=plain))
    return Recording(tree=tree, file=file)
