"""What every use case and every phase needs, handed in by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from control_plane.domain.actor import Actor, system
from control_plane.domain.delivery import BODY_LIFE
from control_plane.domain.message import MESSAGE_LIFE
from control_plane.domain.rules import Rules
from control_plane.ports.approvers import Approvers
from control_plane.ports.bundles import BundleBuilder
from control_plane.ports.calendars import PublicHolidays, TimeZones
from control_plane.ports.engine import StackEngine
from control_plane.ports.events import EventSender, Sealing
from control_plane.ports.intake import ProviderKeys
from control_plane.ports.onboarding import OnboardingKeys
from control_plane.ports.playbooks import Playbooks
from control_plane.ports.rows import Clock, Ids, UnitOfWork, UnitOfWorkFactory
from control_plane.ports.staffing import InvitationWriter
from control_plane.ports.stores import AuditReader, ObjectStore, Policies, SecretStore, Specs
from control_plane.ports.systems import Systems
from control_plane.ports.tenant_data import TenantData
from control_plane.workflows.budget import RefusalBudget
from control_plane.workflows.reads import ReadTally

if TYPE_CHECKING:
    from control_plane.workflows.step_actions import ActionHandler

ReadKey = tuple[Actor, str, str]  # who read which tree by which route
# what a worker does with a delivery; it submits a request, which is a use case of the services
TakeDelivery = Callable[["Core", str], None]
LookAtSource = Callable[["Core", str], None]  # likewise: it maps what a provider says to requests


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Numbers that settings decide.

    ``call_life`` is how long an engine call can take at most, its orderly stop included;
    ``apply_life`` is what is left of it when its apply begins.
    """

    approval_life: timedelta | None  # None: as the approval rules say
    link_life: timedelta
    bundle_life: timedelta = timedelta(days=60)
    build_life: timedelta = timedelta(minutes=30)  # of one build of a bundle
    details_life: timedelta = timedelta(days=90)  # of the details of a run, after its end
    delivery_life: timedelta = BODY_LIFE  # of the content of a delivery, after it is settled
    message_life: timedelta = MESSAGE_LIFE  # of recipient and content, after it is settled
    look_every: timedelta | None = timedelta(days=1)  # at each deployment; None: only when asked
    call_life: timedelta = timedelta(hours=2)
    apply_life: timedelta = timedelta(hours=1, minutes=30)
    deaths: int = 5  # of a run's processes, before it ends with an error
    failures: int = 10  # transient ones in a row, likewise


@dataclass(frozen=True, kw_only=True)
class Whereabouts:
    """Which worker this process is, and on which host its engine calls run."""

    worker: str
    host: str


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who acts in one request, and what ties its traces together."""

    actor: Actor
    request_id: str | None = None
    idempotency_key_sha256: str | None = None
    address: str | None = None  # where the request comes from
    writes: bool = False  # asks the audit log first whether it takes changes now
    # trees that take no change of this caller now, and why; empty for who only reads
    held: Mapping[str, str] = field(default_factory=dict)


WORKER = Caller(actor=system("worker"))


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
    data: TenantData
    policies: Policies
    specs: Specs
    trail: AuditReader
    rules: Rules
    provider_keys: ProviderKeys
    onboarding_keys: OnboardingKeys
    take_delivery: TakeDelivery
    look_at_source: LookAtSource
    systems: Systems
    events: EventSender
    sealing: Sealing
    playbooks: Playbooks
    actions: Mapping[str, ActionHandler]  # what does each action of playbooks
    holidays: PublicHolidays
    zones: TimeZones
    write_invitation: InvitationWriter
    approvers: Approvers
    limits: Limits
    here: Whereabouts
    calls: set[str] = field(default_factory=set)  # engine calls that this process has open
    refusals: RefusalBudget = field(default_factory=RefusalBudget)
    reads: ReadTally[ReadKey] = field(default_factory=ReadTally)

    @contextmanager
    def act(self, caller: Caller = WORKER) -> Iterator[Act]:
        """Open a transaction in which ``caller`` acts; leaving it without a commit rolls back."""
        with self.uow() as uow:
            yield Act(core=self, uow=uow, caller=caller)


@dataclass(frozen=True, kw_only=True)
class Act:
    """What one caller does in one open transaction. The one that opened it commits it.

    ``if_undone`` puts back what was taken from memory for it, when it does not become durable.
    """

    core: Core
    uow: UnitOfWork
    caller: Caller
    if_undone: list[Callable[[], None]] = field(default_factory=list)

    def now(self) -> datetime:
        """Return the present time, aware, UTC."""
        return self.core.clock.now()

    def new_id(self, kind: str) -> str:
        """Return a new id of a kind of ``domain.ids.PREFIXES``."""
        return self.core.ids.new(kind)

    def by(self, caller: Caller) -> Act:
        """Return the same transaction with another one acting in it."""
        return replace(self, caller=caller)
