"""Objects, secrets, schemas, policies, and the audit log as it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import IO, Protocol

from control_plane.domain.audit import rfc3339
from control_plane.domain.engine import Operation, PlannedResource
from control_plane.domain.evaluation import Evaluation
from control_plane.domain.risk import PlanSigns
from control_plane.domain.stack_salt import StackSalt
from control_plane.ports import Json


class ObjectStore(Protocol):
    """Bytes under a key: archives, attestations.

    Each raises ``Unavailable`` when the store cannot be reached.
    """

    def put(self, key: str, content: bytes) -> None:
        """Store durably; an existing key with other content is refused with ``Conflict``."""

    def get(self, key: str) -> bytes:
        """Return the content. Raises ``NotFound``."""

    def remove(self, key: str) -> None:
        """Remove the object, if there is one."""


@dataclass(frozen=True, kw_only=True)
class StackKeys:
    """What seals a stack's state, what an earlier release sealed it with, if it did, and what hides
    secrets in the state's digest (32 bytes)."""

    passphrase: str = field(repr=False)
    former: str | None = field(default=None, repr=False)
    hmac_key: bytes = field(repr=False)


class SecretStore(Protocol):
    """Keys that never leave the process."""

    def stack_keys(self, deployment_id: str, salt: StackSalt | None) -> StackKeys:
        """Return the keys of a deployment's stack; None is one that never had a salt."""

    def hmac_key(self, deployment_id: str) -> bytes:
        """Return the 32-byte key that hides secrets in digests of a deployment's data."""


class Specs(Protocol):
    """The closed schemas of specs."""

    def validate(self, program: str, spec: Json) -> None:
        """Check a spec against the schema of its program. Raises ``InvalidInput``.

        ``receipt``, ``destroy_receipt`` and ``import_report`` are checked in the same way.
        """


@dataclass(frozen=True, kw_only=True)
class PolicyScope:
    """What a plan is judged against: where it belongs and what it must carry.

    ``tenant``, ``deployment`` and ``environment`` are the values of the tags. ``slice_short`` is
    the short name of a slice of a shared Hub, None for anything else. ``unprotected`` names what
    the spec takes out of protection.
    """

    region: str
    account_id: str
    zone: str | None  # residency zone the owner asked for
    strict: bool
    mode: str
    tenant: str
    deployment: str
    environment: str
    slice_short: str | None = None
    unprotected: tuple[str, ...] = ()


class Policies(Protocol):
    """The policy rules over a plan or a resulting state."""

    def digest(self) -> str:
        """Return the digest of rules and parameters: a part of every plan digest."""

    def evaluate_plan(self, resources: Sequence[PlannedResource], scope: PolicyScope) -> Evaluation:
        """Evaluate a Pulumi plan's resources."""

    def signs_of(
        self, operations: Sequence[Operation], resources: Sequence[PlannedResource]
    ) -> PlanSigns:
        """Return what the properties of a plan say that approval rules ask for."""

    def evaluate_state(
        self, resources: Sequence[PlannedResource], scope: PolicyScope
    ) -> Evaluation:
        """Evaluate what exists after an apply."""

    def on_removal(self, resource: PlannedResource) -> str:
        """Return a sentence on what the removal of a resource destroys and leaves, or ''."""


@dataclass(frozen=True, kw_only=True)
class Pressure:
    """What must wait for the audit logs.

    ``behind`` says why all mutations must (sequencer or signer down), or is ''; ``held`` are the
    trees whose own mutations must, each with the reason.
    """

    behind: str = ""
    held: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """For how long signed heads have been known to this operator alone.

    ``size`` is that of the newest head of the root log that the quorum of witnesses cosigned, 0
    without one, ``newest`` that of its newest head. ``age`` is how long ago the quorum saw
    ``size``, ``exposed`` how long the oldest head that it has not seen is signed. ``problem`` says
    what is wrong, or is ''.
    """

    size: int
    newest: int
    witnessed_at: datetime | None
    age: timedelta | None
    exposed: timedelta
    problem: str = ""

    def judged(self, limit: timedelta, *, refresh: timedelta) -> Exposure:
        """Say what is wrong by a limit; an unchanged head is shown again after ``refresh``."""
        problem = ""
        if self.exposed > limit:
            minutes = self.exposed // timedelta(minutes=1)
            problem = f"signed heads have waited {minutes} minutes for the quorum of witnesses"
        elif self.age is not None and self.age > refresh + limit:
            minutes = self.age // timedelta(minutes=1)
            problem = f"the quorum of witnesses saw the newest head {minutes} minutes ago"
        return replace(self, problem=problem)

    def to_json(self) -> Json:
        """Return it in plain JSON."""
        at = self.witnessed_at
        return {
            "size": self.size,
            "newest": self.newest,
            "witnessed_at": None if at is None else rfc3339(at),
            "age_seconds": None if self.age is None else int(self.age.total_seconds()),
            "exposed_seconds": int(self.exposed.total_seconds()),
            "problem": self.problem or None,
        }


@dataclass(frozen=True, kw_only=True)
class Dossier:
    """A dossier of a log in a file that is deleted when it is closed (``docs/audit-log.md``).

    ``size`` is that of its checkpoint, ``manifest_digest`` what binds all of its files, and
    ``values`` how many personal values it holds, erased ones among them.
    """

    file: IO[bytes]
    size: int
    entries: int
    manifest_digest: str
    values: int = 0


class AuditReader(Protocol):
    """What a workflow asks of the audit log it writes to."""

    def first_fault(self) -> str:
        """Return the first fault that the logs are known to have, or ''; it reads no log."""

    def verify(self, tree: str) -> tuple[int, str]:
        """Verify a whole tree now; returns its entries and the first fault, or ''."""

    def pressure(self) -> Pressure:
        """Return what must wait for the logs now."""

    def events(self, tree: str, *, after: int, limit: int, action: str | None) -> Sequence[Json]:
        """Return {idx, leaf, header, body} of sequenced entries with ``idx >= after``."""

    def checkpoint(self, tree: str) -> str | None:
        """Return the newest checkpoint note, or None."""

    def dossier(
        self,
        tree: str,
        *,
        now: datetime,
        since: datetime | None,
        until: datetime | None,
        grant: str | None = None,
    ) -> Dossier:
        """Return the dossier of a tree, from its start, with the values of a grant.

        Raises ``AuditUnavailable``, ``GrantNotValid``.
        """

    def exposure(self) -> Exposure | None:
        """Return the exposure clock, None where no quorum of witnesses is asked for."""

    def witnesses(self) -> Sequence[Json]:
        """Return {name, key, is_asked, size, cosigned_at, fault, fault_since} of each witness."""

    def statuses(self, tree: str | None, *, after: str, limit: int) -> Sequence[Json]:
        """Return how far a tree is, or those after a name: {tree, size, signed, in_root, …}."""

    def proof(self, tree: str, idx: int) -> Json:
        """Return an inclusion proof under the newest checkpoint. Raises ``NotFound``."""

    def tile(self, tree: str, path: str) -> bytes:
        """Return the bytes of a tlog-tiles path. Raises ``NotFound``."""
