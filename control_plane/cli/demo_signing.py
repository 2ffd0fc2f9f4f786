"""The demo's approver has a key of her own: made here, enrolled, confirmed by an admin."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from control_plane.cli.client import Api
from control_plane.cli.signing import (
    Signer,
    require_same_digest,
    signed_decision,
    signed_key_statement,
    signer_of,
)
from control_plane.cli.telling import say
from control_plane.domain.approver_key import confirming, enrolling


def enrolled_signer(folder: Path, owner: Api, admin: Api) -> Signer | None:
    """Return what the owner signs with, once an admin has confirmed it; None without ssh-keygen."""
    program = shutil.which("ssh-keygen")
    if program is None:
        say("  SKIPPED: the signature of the decision, since ssh-keygen is not installed here")
        return None
    folder.mkdir(mode=0o700, exist_ok=True)
    found = {}
    for name, api in (("approver", owner), ("admin", admin)):
        file = folder / name
        subprocess.run([program, "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
        signer, terms = signer_of(file), api.get("/v1/approver-keys/terms")
        facts = enrolling(terms["host"], terms["actor"], signer.public_key, signer.fingerprint)
        body = {"public_key": signer.public_key, **signed_key_statement(signer, facts)}
        found[name] = signer, terms, api.post("/v1/approver-keys", body)
    (signer, _, key), (second, terms, _) = found["approver"], found["admin"]
    facts = confirming(terms["host"], key, terms["actor"], second.fingerprint)
    body = {"by_key": second.fingerprint, **signed_key_statement(second, facts)}
    admin.post(f"/v1/approver-keys/{key['id']}/confirmation", body)
    return signer


def sign(
    signer: Signer, api: Api, approval: Mapping[str, Any], decision: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a decision with its signature over the plan, whose digest is recomputed here."""
    plan = api.get(f"/v1/runs/{approval['run_id']}/plan")
    require_same_digest(plan, approval["plan_digest"], decision["plan_digest"])
    terms = api.get("/v1/approver-keys/terms")
    signed = signed_decision(
        signer, terms, approval, plan, verdict=decision["decision"], reason=decision["reason"],
        acknowledge=decision["acknowledge"],
    )  # fmt: skip
    say(f"  {terms['actor']} signs that with a key of her own, {signer.fingerprint}")
    return {**decision, "signed": signed}
