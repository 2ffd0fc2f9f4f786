"""Signing on the approver's machine, by the ``ssh-keygen`` and the agent that are there."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from control_plane.cli.errors import REFUSED, USAGE
from control_plane.cli.refusing import refuse
from control_plane.domain.approver_key import NAMESPACE as KEYS
from control_plane.domain.audit import SALT_BYTES, commitment
from control_plane.domain.canonical import NotCanonical
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.errors import DomainError
from control_plane.domain.plan import plan_digest
from control_plane.domain.signed_decision import (
    NAMESPACE,
    shown_digest,
    subject,
    verdict_facts,
    written,
)
from control_plane.domain.sshsig import SshInvalid, fingerprint, public_key_of, unarmored

_KEY_LIFE: Final = timedelta(minutes=15)  # of what is signed to enroll or confirm a key
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key", envvar="TENANTPLANE_APPROVER_KEY",
        help="Your SSH key (ssh-ed25519): sign the decision with it.",
    ),
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Signer:
    """A key of the person here; the private half stays with ``ssh-keygen`` or its agent."""

    file: Path
    public_key: str

    @property
    def fingerprint(self) -> str:
        """The fingerprint, ``SHA256:…``."""
        return fingerprint(self.public_key)

    def sign(self, statement: str, namespace: str) -> str:
        """Return the signature of a statement, base64; a passphrase is asked for by ssh-keygen."""
        program = shutil.which("ssh-keygen")
        if program is None:
            refuse("ssh-keygen is not installed; it signs with your key", USAGE)
        words = [program, "-q", "-Y", "sign", "-f", str(self.file), "-n", namespace]
        done = subprocess.run(
            [*words, "-O", "hashalg=sha512"],
            input=statement.encode(), stdout=subprocess.PIPE, check=False,
        )  # fmt: skip
        if done.returncode:
            refuse(f"ssh-keygen did not sign with {self.file}; nothing was sent", REFUSED)
        try:
            return unarmored(done.stdout.decode("ascii", "replace"))
        except SshInvalid as error:
            refuse(str(error), REFUSED)


def signer_of(file: Path) -> Signer:
    """Return what signs with a key file, the private one or its ``.pub``."""
    private = file.with_suffix("") if file.suffix == ".pub" else file
    public = file if file.suffix == ".pub" else file.with_name(f"{file.name}.pub")
    try:
        return Signer(
            file=private if private.exists() else public,
            public_key=public_key_of(public.read_text(encoding="utf-8")),
        )
    except UnicodeDecodeError:
        refuse(f"{public}: this is not a public key of OpenSSH", USAGE)
    except SshInvalid as error:
        refuse(f"{public}: {error}", USAGE)


def signed_key_statement(
    signer: Signer, facts: Mapping[str, Any], *, now: datetime | None = None
) -> dict[str, str]:
    """Return a statement about a key, which lasts a quarter of an hour, with its signature."""
    now = now or datetime.now(UTC)
    text = written(
        {**facts, "nonce": secrets.token_hex(16)}, issued_at=now, expires_at=now + _KEY_LIFE
    )
    return {"statement": text, "signature": signer.sign(text, KEYS)}


def require_same_digest(plan: Mapping[str, Any], *others: str | None) -> None:
    """Refuse a plan whose digest is not that of its parts, or of what is decided on."""
    try:
        recomputed = plan_digest(plan["parts"])
    except ValueError as error:
        refuse(f"the digest of the plan cannot be recomputed here: {error}", REFUSED)
    for other in (plan["digest"], *others):
        if other is not None and other != recomputed:
            refuse(
                f"the parts of the plan have the digest {recomputed}, not {other}; "
                "nothing was signed",
                REFUSED,
            )


def signed_decision(
    signer: Signer,
    terms: Mapping[str, str],
    approval: Mapping[str, Any],
    plan: Mapping[str, Any],
    *,
    verdict: str,
    reason: str,
    acknowledge: Sequence[str],
) -> dict[str, str]:
    """Return a decision as its approver signs it: over the plan as it was fetched here.

    ``acknowledge`` are names or URNs of what cannot be undone.
    """
    urns = {each["item"]: each["urn"] for each in approval["irreversible"]}
    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_hex(16)
    try:
        facts = {
            **subject(
                host=terms["host"], tree=approval["tenant_id"] or PLATFORM, approval=approval,
                parts=plan["parts"],
            ),
            **verdict_facts(
                actor=terms["actor"], approver_key=signer.fingerprint, verdict=verdict,
                reason_digest=commitment(salt, reason.strip()),
                acknowledged=[*{urns.get(each, each) for each in acknowledge}],
            ),
            "shown": shown_digest(plan["operations"], plan["outputs"], plan["resources"]),
            "nonce": nonce,
        }  # fmt: skip
        text = written(
            facts, issued_at=datetime.now(UTC),
            expires_at=datetime.fromisoformat(approval["expires_at"]),
        )  # fmt: skip
    except NotCanonical as error:
        refuse(f"the plan cannot be signed: {error}", REFUSED)
    except DomainError as error:
        refuse(error.message, REFUSED)
    return {
        "statement": text, "signature": signer.sign(text, NAMESPACE),
        "approver_key": signer.fingerprint, "nonce": nonce, "reason_salt": salt.hex(),
    }  # fmt: skip
