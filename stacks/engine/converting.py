"""Taking over a state that an earlier release left in the engine's own layout.

The plain command of the engine exports it, with its secrets in the open, and this seals them again
and makes it the first state of the stack. That command leaves a layout of its own in every store it
is started on, so it is asked first whether there may be something to export.
"""

from __future__ import annotations

import json
import os
import urllib.parse
from typing import Any

from stacks.engine.backend import backend_for
from stacks.engine.keeper import Order
from stacks.engine.sealing import Sealer
from stacks.engine.stores import TableStore, store_for
from stacks.engine.values import SECRET, SIGNATURE, is_secret

CALL = "converted"

_MARK = ".pulumi/meta.yaml"  # of the engine's layout
_TABLE = "pulumi_state"


def convert_one() -> None:
    """Read an order and an exported deployment as one line, and print what became of it.

    ``{"resources": N}``, or ``{"resources": null}`` where the stack has a state of this release.
    Without a deployment: ``{"is_wanted": …}``, whether there may be one to take over.
    """
    with os.fdopen(0, "rb") as given:
        document = json.loads(given.read())
    order = Order(**document["order"], token="")
    sealer = Sealer(order.passphrase, order.stack, order.former)
    backend = backend_for(
        order.backend_url,
        order.stack,
        engine=order.engine,
        sealer=sealer,
        endpoint=order.endpoint,
    )
    said: dict[str, Any] = {"resources": None}
    is_new = backend.state() is None
    if "deployment" not in document:
        said = {"is_wanted": is_new and _has_layout_of_engine(order)}
    elif is_new:
        state = _sealed(document["deployment"], sealer)
        backend.take(CALL).close("settled", state)
        said["resources"] = len(state.get("resources") or ())
    os.write(1, json.dumps(said).encode() + b"\n")


def _has_layout_of_engine(order: Order) -> bool:
    store = store_for(order.backend_url, endpoint=order.endpoint)
    if not isinstance(store, TableStore):
        return store.read(_MARK) is not None
    url = urllib.parse.urlsplit(order.backend_url)
    table = dict(urllib.parse.parse_qsl(url.query)).get("table", _TABLE)
    return store.beside(table).has(f"{urllib.parse.unquote(url.path.strip('/'))}/{_MARK}")


def _sealed(value: Any, sealer: Sealer) -> Any:
    if isinstance(value, list):
        return [_sealed(each, sealer) for each in value]
    if not isinstance(value, dict):
        return value
    if is_secret(value) and "plaintext" in value:
        return {SIGNATURE: SECRET, "ciphertext": sealer.encrypt(value["plaintext"].encode())}
    return {key: _sealed(each, sealer) for key, each in value.items()}
