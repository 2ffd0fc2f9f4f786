"""A stack's state served to the plain `pulumi` command of a person, for reading."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from control_plane.domain.errors import EngineFailed

_OWNER = "organization/tenantplane"


@contextmanager
def served(
    order: Mapping[str, Any], *, source: Path, environment: Mapping[str, str]
) -> Iterator[dict[str, str]]:
    """Serve what ``order`` names; give what `pulumi` needs in its environment to read it.

    The order is that of ``stacks/engine/keeper.py`` without its token, ``environment`` that of
    runners. Raises ``EngineFailed``.
    """
    token = secrets.token_urlsafe(32)
    with (
        tempfile.TemporaryDirectory() as home,  # of the command: a token is of no use afterwards
        subprocess.Popen(
            [sys.executable, "-m", "stacks", "--read"],
            cwd=source, env=dict(environment), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is one for the command alone
        ) as process,
    ):  # fmt: skip
        orders, answers = process.stdin, process.stdout
        if orders is None or answers is None:
            raise TypeError("both are pipes")
        try:
            orders.write(json.dumps({**order, "token": token}) + "\n")
            orders.flush()
            said = json.loads(answers.readline() or "{}")
            if "port" not in said:
                text = said.get("text", "The state cannot be served.")
                raise EngineFailed(text, reason=said.get("code", "engine"))
            yield {
                "PULUMI_BACKEND_URL": f"http://127.0.0.1:{said['port']}",
                "PULUMI_ACCESS_TOKEN": token,
                "PULUMI_STACK": f"{_OWNER}/{order['stack']}",
                "PULUMI_HOME": home,
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            }
        finally:
            orders.close()
