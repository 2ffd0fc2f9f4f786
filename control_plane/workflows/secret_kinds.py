"""Where the secret values of a message come from, when its mail is made and never before.

A row, an event and a log hold the reference alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from control_plane.domain.message_errors import SecretGone
from control_plane.workflows.core import Core

# by kind of reference: returns the value of an id; raises ``SecretGone`` when it is not valid
SECRET_KINDS: Final[dict[str, Callable[[Core, str], str]]] = {}


def resolved(core: Core, secrets: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of secret variables.

    Raises ``SecretGone`` for one that is no longer valid, or whose kind this release does not know.
    """
    found = {}
    for name, reference in secrets.items():
        resolve = SECRET_KINDS.get(reference["kind"])
        if resolve is None:
            raise SecretGone(f"nothing resolves {reference['kind']}", kind=reference["kind"])
        found[name] = resolve(core, reference["id"])
    return found
