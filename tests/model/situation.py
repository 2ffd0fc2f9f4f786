"""What the model knows of a control plane: plain values, compared and sorted as they are.

One situation holds tenants with their runs, the stack of each, the workers and one Hub. Empty text
stands where the product has None, so that situations of one shape can be ordered.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from control_plane.domain.kinds import KINDS
from control_plane.domain.run import TERMINAL_RUN, RunKind, RunStatus

MODE_A: Final = "A"
MODE_B: Final = "B"
OPERATIONS_OF_A_BUILD: Final = 9  # at least: no accident of a scope comes to the last of them


class Content(NamedTuple):
    """What the engine's state of a stack holds.

    ``spec`` is the one that was applied in full, 0 for none. ``half`` counts the operations that an
    apply has done beyond it, ``gone`` tells that a resource is missing which the cloud had lost,
    ``pending`` that an operation was interrupted.
    """

    spec: int = 0
    half: int = 0
    gone: bool = False
    pending: bool = False


NOTHING: Final = Content()


class Run(NamedTuple):
    """A run. ``plan`` is the content over which its plan was made, in a tuple, empty without one.

    ``yes`` are the people who approved, ``late`` whether the time of its approval or of its resume
    has passed, ``written`` the contents that it knows as its own, ``by_cloud`` whether it was
    blocked since the cloud differs, ``before`` the run whose place it takes. ``waits`` is true
    while a turn of it is in the queue, ``is_open_effect`` while an attempt has no outcome yet,
    ``quiet`` from when a timer checked it again until it is somewhere else.
    """

    kind: RunKind
    status: RunStatus = RunStatus.REQUESTED
    blocked_on: str = ""
    blocked_from: str = ""
    spec: int = 0
    plan: tuple[Content, ...] = ()
    approval: str = ""
    yes: tuple[str, ...] = ()
    late: bool = False
    cancel: bool = False
    started: bool = False
    evidence: str = "none"
    state_before: tuple[Content, ...] = ()
    written: tuple[Content, ...] = ()
    by_cloud: bool = False
    before: int = -1
    waits: bool = True
    is_open_effect: bool = False
    quiet: bool = False

    @property
    def looks(self) -> bool:
        """Whether it plans and applies nothing."""
        return KINDS[self.kind].looks

    @property
    def has_ended(self) -> bool:
        """Whether nothing moves it any more."""
        return self.status in TERMINAL_RUN


class Lock(NamedTuple):
    """A lock of ours: on which host, whether its engine is dead, whether its deadline passed."""

    host: int
    dead: bool = False
    expired: bool = False


class Evidence(NamedTuple):
    """What the newest verification found, of which content, by which run."""

    ok: bool
    content: Content
    run: int


class Tenant(NamedTuple):
    """A tenant with one deployment. ``facts`` is the number of the spec that they lead to.

    ``known`` is the content that the rows name, ``lost`` tells that the cloud lacks a resource of
    the state, ``finding`` that this is known, ``call`` the worker of the newest open engine call.
    ``row`` is what the tenant's row says: its status, and whose turn it is.
    """

    mode: str
    facts: int = 1
    runs: tuple[Run, ...] = ()
    applied_spec: int = 0
    unsettled: bool = False
    known: tuple[Content, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    stack: tuple[Content, ...] = ()
    lost: bool = False
    lock: tuple[Lock, ...] = ()
    hold: str = "none"
    finding: bool = False
    call: int = -1
    row: tuple[str, str] = ("requested", "")

    @property
    def newest(self) -> int:
        """Number of the newest run that changes something, -1 without one."""
        found = [i for i, run in enumerate(self.runs) if not run.looks]
        return found[-1] if found else -1

    @property
    def newest_spec(self) -> int:
        """Number of the newest spec that a run made, 0 without one."""
        return max((run.spec for run in self.runs), default=0)

    @property
    def content(self) -> Content:
        """What the stack holds."""
        return self.stack[0] if self.stack else NOTHING


class Worker(NamedTuple):
    """A worker, alone on its host. ``point`` is where its engine call is, empty when it is idle.

    ``owns`` tells that the queue knows it as the one that has the run's turn, ``stopping`` that its
    engine was asked to stop.
    """

    tenant: int = -1
    run: int = -1
    point: str = ""
    owns: bool = False
    stopping: bool = False


IDLE: Final = Worker()


class Budget(NamedTuple):
    """How often each of these may still happen."""

    changes: int = 0
    looks: int = 0
    drifts: int = 0
    holds: int = 0
    cancels: int = 0
    rejects: int = 0
    accidents: int = 0
    days: int = 0


class Situation(NamedTuple):
    """Everything, at one moment."""

    tenants: tuple[Tenant, ...]
    workers: tuple[Worker, ...]
    hub_is_ready: bool
    budget: Budget

    def with_tenant(self, number: int, tenant: Tenant) -> Situation:
        """Return it with one tenant replaced."""
        tenants = (*self.tenants[:number], tenant, *self.tenants[number + 1 :])
        return self._replace(tenants=tenants)

    def with_worker(self, number: int, worker: Worker) -> Situation:
        """Return it with one worker replaced."""
        workers = (*self.workers[:number], worker, *self.workers[number + 1 :])
        return self._replace(workers=workers)

    def spend(self, what: str) -> Situation:
        """Return it with one less of a budget."""
        left = getattr(self.budget, what) - 1
        return self._replace(budget=self.budget._replace(**{what: left}))


class Scope(NamedTuple):
    """How much is searched. ``people`` decide in Mode B, of whom ``needed`` must approve."""

    modes: tuple[str, ...] = (MODE_B,)
    workers: int = 2
    runs: int = 2  # of each tenant, looks not counted
    people: tuple[str, ...] = ("olga",)
    needed: int = 1
    budget: Budget = Budget()

    def start(self) -> Situation:
        """Return the situation in which nobody has asked for anything."""
        return Situation(
            tenants=tuple(Tenant(mode=mode) for mode in self.modes),
            workers=(IDLE,) * self.workers,
            hub_is_ready=MODE_A not in self.modes,
            budget=self.budget,
        )

    def needed_for(self, tenant: Tenant) -> int:
        """Return how many people approve a plan of a tenant."""
        return self.needed if tenant.mode == MODE_B else 0


def left_to_do(content: Content, spec: int) -> int:
    """Return how many operations bring a content to a spec."""
    if content.spec == 0:
        return OPERATIONS_OF_A_BUILD - content.half
    if content.spec == spec:
        return int(content.gone)
    return 2 - content.half


def after_one(content: Content, spec: int, *, interrupted: bool) -> Content:
    """Return a content after one more operation; ``interrupted`` leaves the next one pending."""
    if left_to_do(content, spec) == 1:
        return Content(spec=spec)
    return content._replace(half=content.half + 1, pending=interrupted)
