"""Where the secret values of a message come from, when its mail is made and never before.

A row, an event and a log hold the reference alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from control_plane.domain.message_errors import SecretGone
from control_plane.workflows.core import Core
from control_plane.workflows.links import CODE_KIND, LINK_KIND, code_value, link_value

# by kind of reference: returns the value of an id, None when it is not valid any more
SECRET_KINDS: Final[dict[str, Callable[[Core, str], str | None]]] = {
    LINK_KIND: link_value,
    CODE_KIND: code_value,
}


def resolved(core: Core, secrets: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of secret variables.

    Raises ``SecretGone`` for one that is no longer valid, or whose kind this release does not know.
    """
    found = {}
    for name, reference in secrets.items():
        resolve = SECRET_KINDS.get(reference["kind"])
        if resolve is None:
            raise SecretGone(f"nothing resolves {reference['kind']}", kind=reference["kind"])
        value = resolve(core, reference["id"])
        if value is None:
            raise SecretGone(f"the {name} is not valid any more", kind=reference["kind"])
        found[name] = value
    return found
