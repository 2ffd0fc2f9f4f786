"""A provider that several commands share. By itself Terraform starts one for each command.

For a test it starts two for each run. With the AWS provider these starts, and reading its schema
each time, are most of a rehearsal. Here it is started once, as for debugging, and commands get its
address in ``TF_REATTACH_PROVIDERS`` (documentation of Terraform, "Debugging providers").

Terraform checks no hash of a provider that is already running. ``init`` has: what is started here
is what it has just put into the folder after comparing it with the lock file, and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from control_plane.adapters.terraform.running import Running, end_group
from control_plane.adapters.terraform.toolchain import Toolchain

START_SECONDS: Final = 60.0
# Terraform and its providers are Go programs. With Go's default, 100, almost a third of their time
# is collecting garbage, most of it of the provider's schema; this takes 200 MB more in each.
LESS_COLLECTING: Final = {"GOGC": "400"}
_REATTACH: Final = "TF_REATTACH_PROVIDERS"
_LISTENS: Final = re.compile(rf"{_REATTACH}='(.*)'")
# The provider ends with us, however we end: the pipe that is the shell's input is ours alone.
_UNTIL_INPUT_ENDS: Final = '"$0" -debug </dev/null & exec >/dev/null; read -r _; kill -9 "$!"'


@contextmanager
def shared_provider(
    folder: Path, toolchain: Toolchain, running: Running, *, start_seconds: float = START_SECONDS
) -> Iterator[dict[str, str]]:
    """Run the provider that ``init`` put into ``folder``; yields what commands need to share it.

    That is an addition to their environment, for commands that run in ``folder``: where the
    provider listens is relative to it. It is empty when the provider does not start within
    ``start_seconds``: then each command starts its own, and says what is wrong.
    """
    installed = toolchain.installed_in(folder)
    if installed is None or installed.executable is None:
        yield {}
        return
    with subprocess.Popen(
        ["/bin/sh", "-c", _UNTIL_INPUT_ENDS, installed.executable],
        cwd=folder,
        # A socket's path has a hundred characters or so, and ours should not be in a public folder.
        env=toolchain.child_environment(os.environ) | LESS_COLLECTING | {"TMPDIR": ".terraform"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            with running.process(process):
                yield _environment(process, toolchain.flavour.provider_address, start_seconds)
        finally:
            end_group(process.pid)


def _environment(
    process: subprocess.Popen[str], address: str, start_seconds: float
) -> dict[str, str]:
    late = threading.Timer(start_seconds, end_group, [process.pid])
    late.start()
    try:
        listens = _said(process.stdout)
    finally:
        late.cancel()
    # it names itself as in the registry of Terraform, whoever runs it
    return {_REATTACH: json.dumps({address: listens})} if listens else {}


def _said(lines: IO[str] | None) -> Mapping[str, object] | None:
    """Return where the provider says that it listens; None when it ends without."""
    for line in lines or ():
        if found := _LISTENS.search(line):
            (listens,) = json.loads(found.group(1)).values()
            return dict(listens)
    return None
