"""What every use case and every phase needs, handed in by the composition root."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from control_plane.domain.actor import Actor, system
from control_plane.domain.rules import Rules
from control_plane.ports import (
    BundleBuilder,
    Clock,
    Ids,
    ObjectStore,
    Policies,
    SecretStore,
    Specs,
    StackEngine,
    Trail,
    UnitOfWorkFactory,
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Numbers that settings decide."""

    approval_life: timedelta | None  # None: as the approval rules say
    link_life: timedelta
    bundle_life: timedelta = timedelta(days=60)
    engine_attempts: int = 5  # of one run, when its process keeps dying


@dataclass(frozen=True, kw_only=True)
class Core:
    """The ports and rules of one process."""

    uow: UnitOfWorkFactory
    clock: Clock
    ids: Ids
    engine: StackEngine
    builder: BundleBuilder
    objects: ObjectStore
    secrets: SecretStore
    policies: Policies
    specs: Specs
    trail: Trail
    rules: Rules
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who acts in one request, and what ties its traces together."""

    actor: Actor
    request_id: str | None = None
    idempotency_key_sha256: str | None = None


WORKER = Caller(actor=system("worker"))
