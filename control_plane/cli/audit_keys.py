"""The signing key of the audit logs, on the machine of the signer."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from control_plane.cli import output
from control_plane.cli.errors import USAGE
from control_plane.cli.refusing import Json, refuse


def rotate_key(
    compromised: Annotated[
        bool,
        typer.Option("--compromised", help="The old key is in somebody else's hands: revoke it."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the next signing key, in TENANTPLANE_HOME; the signer takes it when it is restarted.

    The old key signs an event that names the new one, then each log has the new key from its next
    checkpoint on. The old private key is removed; its public key stays beside the new one.
    """
    from control_plane import config  # noqa: PLC0415 - heavy, and unused by what asks the API
    from control_plane.adapters.audit.keys import KeyFileUnusable, public_key_path  # noqa: PLC0415
    from control_plane.adapters.audit.note import VerifierKey, tree_origin  # noqa: PLC0415
    from control_plane.adapters.audit.rotation import (  # noqa: PLC0415
        Order,
        next_key_path,
        order_rotation,
    )
    from control_plane.adapters.home import Home, Key  # noqa: PLC0415

    settings = config.load()
    path = Home(settings.home.absolute()).key(Key.AUDIT)
    try:
        order = Order(user=getpass.getuser(), is_compromised=compromised)
        key = order_rotation(path, order)
    except KeyFileUnusable as error:
        refuse(str(error), USAGE)
    origin = tree_origin(settings.audit_host, "root")
    vkey = str(VerifierKey(name=origin, public_key=key.public_key))
    file = public_key_path(next_key_path(path))
    if as_json:
        output.as_json_text({"vkey": vkey, "file": str(file), "is_compromised": compromised})
        return
    output.say(f"made {next_key_path(path)}; its public key is {file.name}")
    output.say(f"witnesses must know this key of the root log before it signs: {vkey}")
    output.say("then restart the signer: it puts the new key into force and removes the old one")
