"""What was done with a bundle's bytes, as a signed statement beside the archive.

An in-toto statement v1 (https://in-toto.io/Statement/v1) in a DSSE envelope
(https://github.com/secure-systems-lab/dsse), signed with the bundle key: Ed25519 over the
pre-authentication encoding of type and payload.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from control_plane.adapters.terraform.minisign import MinisignKey

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
PREDICATE_TYPE: Final = "https://tenantplane.dev/attestations/rehearsal/v1"


def statement(
    *,
    archive_name: str,
    archive_sha256: str,
    content_digest: str,
    rehearsal: str,
    checks: Sequence[Mapping[str, Any]],
    tools: Mapping[str, str],
) -> dict[str, Any]:
    """Return the statement about one archive; ``archive_sha256`` is hex."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": archive_name, "digest": {"sha256": archive_sha256}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "content_digest": content_digest,
            "rehearsal": rehearsal,
            "tools": dict(tools),
            "checks": [
                {
                    "name": check["name"],
                    "ok": check["ok"],
                    "detail": check["detail"],
                    "seconds": f"{check['seconds']:.1f}",
                }
                for check in checks
            ],
        },
    }


def envelope(content: Mapping[str, Any], key: MinisignKey) -> bytes:
    """Return the DSSE envelope of a statement as JSON bytes."""
    payload = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    signature = key.signer.sign(pre_authentication(PAYLOAD_TYPE, payload))
    document = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {
                "keyid": key.key_id[::-1].hex().upper(),
                "sig": base64.b64encode(signature).decode(),
            }
        ],
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def pre_authentication(kind: str, payload: bytes) -> bytes:
    """Return the bytes that DSSE signs (PAE)."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)
