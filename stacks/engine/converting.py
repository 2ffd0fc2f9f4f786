"""Taking over a state that an earlier release left in the engine's own layout.

The plain command of the engine exports it, with its secrets in the open, and this seals them again
and makes it the first state of the stack.
"""

from __future__ import annotations

import json
import os
from typing import Any

from stacks.engine.backend import backend_for
from stacks.engine.keeper import Order
from stacks.engine.sealing import Sealer
from stacks.engine.values import SECRET, SIGNATURE, is_secret

CALL = "converted"


def convert_one() -> None:
    """Read an order and an exported deployment as one line, and print what became of it.

    ``{"resources": N}``, or ``{"resources": null}`` where the stack has a state of this release.
    """
    with os.fdopen(0, "rb") as given:
        document = json.loads(given.read())
    order = Order(**document["order"], token="")
    sealer = Sealer(order.passphrase, order.stack)
    backend = backend_for(
        order.backend_url,
        order.stack,
        engine=order.engine,
        key_mark=sealer.mark,
        endpoint=order.endpoint,
    )
    said: dict[str, Any] = {"resources": None}
    if backend.state() is None:
        state = _sealed(document["deployment"], sealer)
        backend.take(CALL).close("settled", state)
        said["resources"] = len(state.get("resources") or ())
    os.write(1, json.dumps(said).encode() + b"\n")


def _sealed(value: Any, sealer: Sealer) -> Any:
    if isinstance(value, list):
        return [_sealed(each, sealer) for each in value]
    if not isinstance(value, dict):
        return value
    if is_secret(value) and "plaintext" in value:
        return {SIGNATURE: SECRET, "ciphertext": sealer.encrypt(value["plaintext"].encode())}
    return {key: _sealed(each, sealer) for key, each in value.items()}
