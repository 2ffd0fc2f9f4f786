"""Approvers with keys of their own, who sign as ``ssh-keygen -Y sign`` does."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from control_plane.adapters.approvers import FileApprovers
from control_plane.domain.actor import Role
from control_plane.domain.approver_key import NAMESPACE as KEYS
from control_plane.domain.approver_key import ApproverKey, confirming, enrolling
from control_plane.domain.audit import commitment
from control_plane.domain.signed_decision import (
    NAMESPACE,
    SignedStatement,
    shown_digest,
    subject,
    verdict_facts,
    written,
)
from control_plane.domain.sshsig import fingerprint, signed_bytes
from control_plane.services import approver_keys
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from tests.workflows.deciding import Site
from tests.world import World, person

HOST = "localhost"
_NONCES = count(1)
BOTH = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN)


class Hand:
    """A person with an SSH key."""

    def __init__(self, name: str, *roles: Role, seed: str = "") -> None:
        self.name = name
        self.who: Caller = person(name, *(roles or (Role.OPS_APPROVER,)))
        self._key = Ed25519PrivateKey.from_private_bytes(
            hashlib.sha256(f"{name}{seed}".encode()).digest()
        )
        self.raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        line = self._key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        self.public = line.decode()
        self.fingerprint = fingerprint(self.public)

    @property
    def line(self) -> str:
        """The line of the approver in a worker's file."""
        return f'{self.name} namespaces="{NAMESPACE}" {self.public}'

    def write(self, folder: Path) -> Path:
        """Write the key as ``ssh-keygen`` keeps it, and return the path of the private half."""
        file = folder / f"{self.name}_ed25519"
        content = self._key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        file.write_bytes(content)
        file.chmod(0o600)
        file.with_name(f"{file.name}.pub").write_text(f"{self.public} {self.name}\n", "utf-8")
        return file

    def sign(self, statement: str, namespace: str = NAMESPACE) -> str:
        """Return the signature of a statement, base64."""
        value = self._key.sign(signed_bytes(statement, namespace))
        public = _string(b"ssh-ed25519") + _string(self.raw)
        signed = _string(b"ssh-ed25519") + _string(value)
        parts = (public, namespace.encode(), b"", b"sha512", signed)
        blob = b"SSHSIG" + struct.pack(">I", 1) + b"".join(map(_string, parts))
        return base64.b64encode(blob).decode()

    # --- keys ----------------------------------------------------------------------------------
    def about_key(self, facts: Mapping[str, Any], now: datetime) -> dict[str, str]:
        """Return a signed statement about a key."""
        text = written(
            {**facts, "nonce": _nonce()}, issued_at=now, expires_at=now + timedelta(minutes=15)
        )
        return {"statement": text, "signature": self.sign(text, KEYS)}

    def enrollment(self, now: datetime) -> dict[str, str]:
        """Return what the API takes to enroll the key."""
        facts = enrolling(HOST, self.name, self.public, self.fingerprint)
        return {"public_key": self.public, **self.about_key(facts, now)}

    def enroll(self, world: World) -> ApproverKey:
        """Enroll the key."""
        body = self.enrollment(world.clock.now())
        return perform(world.core, self.who, approver_keys.enroll_key, **body)

    def confirm(self, world: World, other: Hand) -> ApproverKey:
        """Confirm somebody's key with this one."""
        key_id, body = self.confirmation(world, other)
        return perform(world.core, self.who, approver_keys.confirm_key, key_id, **body)

    def confirmation(self, world: World, other: Hand) -> tuple[str, dict[str, str]]:
        """Return the id of somebody's key, and what the API takes to confirm it with this one."""
        (key,) = (k for k in world.rows("approver_key").values() if k.actor_id == other.name)
        shown = {
            "actor_id": key.actor_id, "public_key": key.public_key,
            "fingerprint": key.fingerprint,
        }  # fmt: skip
        facts = confirming(HOST, shown, self.name, self.fingerprint)
        body = {"by_key": self.fingerprint, **self.about_key(facts, world.clock.now())}
        return key.id, body

    # --- decisions -----------------------------------------------------------------------------
    def decision(
        self, site: Site, *, verdict: str = "approve", reason: str = "read it", **changes: Any
    ) -> SignedStatement:
        """Return a signed decision on what waits; ``changes`` replace parts of its statement."""
        with site.world.core.uow() as uow:
            run = site.run
            approval, plan = uow.approvals.need(run.approval_id), uow.plans.need(run.plan_id)
            deployment = uow.deployments.need(run.deployment_id)
        salt, nonce, now = hashlib.sha256(b"salt").digest(), _nonce(), site.world.clock.now()
        about = {
            "id": approval.id, "run_id": run.id, "stack": deployment.stack,
            "region": deployment.region, "account_id": deployment.account_id,
            "plan_digest": plan.digest,
        }  # fmt: skip
        ticks = [each.urn for each in plan.irreversible] if verdict == "approve" else []
        shown = [
            [each.to_document() for each in items]
            for items in (plan.operations, plan.outputs, plan.resources)
        ]
        facts = {
            **subject(host=HOST, tree=str(run.tenant_id), approval=about, parts=plan.parts),
            **verdict_facts(
                actor=self.name, approver_key=self.fingerprint, verdict=verdict,
                reason_digest=commitment(salt, reason), acknowledged=ticks,
            ),
            "shown": shown_digest(*shown),
            "nonce": nonce,
        }  # fmt: skip
        times = {"issued_at": now, "expires_at": approval.expires_at}
        times |= {name: changes.pop(name) for name in tuple(changes) if name in times}
        text = written({**facts, **changes}, **times)
        return SignedStatement(
            statement=text, signature=self.sign(text), approver_key=self.fingerprint,
            nonce=changes.get("nonce", nonce), reason_salt=salt.hex(),
        )  # fmt: skip


ADA, BEN = Hand("ada-admin", *BOTH), Hand("ben-admin", *BOTH)
OLGA, OTTO, EVE = Hand("olga"), Hand("otto"), Hand("eve")


def enrolled(world: World, *hands: Hand) -> None:
    """Let two platform admins confirm each other, and those of all ``hands``."""
    for hand in (ADA, BEN, *hands):
        hand.enroll(world)
    ADA.confirm(world, BEN)
    BEN.confirm(world, ADA)
    for hand in hands:
        ADA.confirm(world, hand)


def signing_site(world: World, folder: Path, *known: Hand, needed: int = 1) -> Site:
    """Return a site whose rules ask for signed decisions, with a worker that knows some keys.

    A change waits for its decision.
    """
    site = Site(world)

    def change(content: dict[str, Any]) -> None:
        for rule in content["rules"]:
            if rule["id"] == "dedicated":
                rule |= {"signed": "required", "decisions": needed}

    site.follow(folder / "rules", change)
    file = folder / "approvers.keys"
    file.write_text("".join(f"{hand.line}\n" for hand in known), encoding="utf-8")
    world.core = replace(world.core, approvers=FileApprovers(host=HOST, file=file))
    site.change()
    return site


def _nonce() -> str:
    return f"{next(_NONCES):032x}"


def _string(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content
