"""A whole control plane over an embedded database: every use case, without an engine or a cloud."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import cache
from itertools import count, islice
from pathlib import Path
from typing import Any

from control_plane.adapters.approvers import FileApprovers
from control_plane.adapters.http_guard import GuardedHttp
from control_plane.adapters.intake.keys import FileProviderKeys
from control_plane.adapters.invitations import write_invitation
from control_plane.adapters.objects.files import FileObjectStore
from control_plane.adapters.public_holidays import LibraryHolidays
from control_plane.adapters.rules.journeys import FolderPlaybooks
from control_plane.adapters.rules.loader import load_rules
from control_plane.adapters.rules.policies import read_signs
from control_plane.adapters.secrets.files import FileSecretStore, create_secret, read_secret
from control_plane.adapters.secrets.onboarding import DerivedOnboardingKeys
from control_plane.adapters.secrets.sealing import MasterSealing
from control_plane.adapters.specs import JsonSchemaSpecs
from control_plane.adapters.time_zones import SystemTimeZones
from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.canonical import digest
from control_plane.domain.deployment import Account
from control_plane.domain.engine import Operation, PlannedResource
from control_plane.domain.evaluation import MANDATORY, Evaluation, Violation
from control_plane.domain.kinds import KINDS
from control_plane.domain.risk import PlanSigns
from control_plane.domain.rules import Rules
from control_plane.ports.stores import PolicyScope
from control_plane.ports.systems import Systems
from control_plane.services import approvals, hubs, provisioning
from control_plane.services.looking import look_at_source
from control_plane.services.performing import perform
from control_plane.services.taking import take_delivery
from control_plane.workflows import PHASES
from control_plane.workflows.action_handlers import HANDLERS
from control_plane.workflows.core import Caller, Core, Limits, Whereabouts
from policies.removal import on_removal
from policies.rules import RULES
from tests.quiet_trail import QuietTrail
from tests.scripted_builder import ScriptedBuilder
from tests.scripted_data import ScriptedData
from tests.scripted_engine import HOST, ScriptedEngine
from tests.storage import Recorded, Storage
from tests.time_and_ids import FixedClock, SeededIds

SOURCE = Path(__file__).resolve().parent.parent
ACCOUNT = "123456789012"


def person(name: str, *roles: Role, tenants: tuple[str, ...] = ("*",)) -> Caller:
    """Return a person as a caller."""
    actor = Actor(id=name, kind=ActorKind.USER, roles=roles, tenants=tenants)
    return Caller(actor=actor, request_id="rq-test-0001")


def machine(name: str, *roles: Role, on_behalf_of: str | None = None) -> Caller:
    """Return a machine as a caller."""
    actor = Actor(
        id=name,
        kind=ActorKind.SERVICE,
        roles=roles,
        tenants=("*",),
        on_behalf_of=on_behalf_of,
    )
    return Caller(actor=actor, request_id="rq-test-0002")


AUTOMATION = machine("crm", Role.AUTOMATION)
OPS = person("olga", Role.OPS_APPROVER)
ARCHITECT = person("sam", Role.SOLUTIONS_ARCHITECT)
ADMIN = person("ada", Role.PLATFORM_ADMIN)
AUDITOR = person("audrey", Role.AUDITOR)
PLATFORM_AUDITOR = person("paula", Role.PLATFORM_AUDITOR)


@cache
def _rules() -> Rules:
    return load_rules(SOURCE / "rules")  # immutable, and slow to read


class SettablePolicies:
    """Policies whose verdict and digest a test sets."""

    def __init__(self) -> None:
        self.violations: list[dict[str, Any]] = []
        self.state_violations: list[dict[str, Any]] = []
        self.version = 1

    def digest(self) -> str:
        """Return the digest of the version."""
        return digest({"policies": self.version})

    def evaluate_plan(self, resources: Sequence[PlannedResource], scope: PolicyScope) -> Evaluation:
        """Return the violations set for plans."""
        return self._judged(self.violations, scope)

    def signs_of(
        self, operations: Sequence[Operation], resources: Sequence[PlannedResource]
    ) -> PlanSigns:
        """Return what the policies read in a plan, as in production."""
        return read_signs(operations, resources)

    def evaluate_state(
        self, resources: Sequence[PlannedResource], scope: PolicyScope
    ) -> Evaluation:
        """Return the violations set for states."""
        return self._judged(self.state_violations, scope)

    def on_removal(self, resource: PlannedResource) -> str:
        """Return what the policies say of the removal of a resource."""
        return on_removal(resource.type, resource.inputs)

    def _judged(self, violations: list[dict[str, Any]], scope: PolicyScope) -> Evaluation:
        found = tuple(map(Violation.from_document, violations))
        return Evaluation(
            ok=not any(each.enforcement == MANDATORY for each in found),
            violations=found,
            rules=tuple(rule.id for rule in RULES),
            digest=digest({"policies": self.version, "scope": asdict(scope)}),
        )


class World:
    """A core over a storage that is empty, and the shortcuts that tests read well with.

    With ``like``, over a storage that has the rows of that world, which made them and was then
    left alone: this one continues from there.
    """

    def __init__(self, storage: Storage, *, like: World | None = None, **limits: Any) -> None:
        folder = Path(tempfile.mkdtemp(dir=storage.folder))
        if like is None:
            create_secret(folder / "master.key")
            create_secret(folder / "onboarding.key")
            (folder / "objects").mkdir()
        else:
            shutil.copytree(like.folder, folder, dirs_exist_ok=True)
        self.folder = folder
        self.storage = storage
        self.clock = FixedClock()
        self.engine = ScriptedEngine() if like is None else like.engine.copied()
        self.builder = ScriptedBuilder()
        self.data = ScriptedData()
        self.ids = SeededIds() if like is None else like.ids.copied()
        self.policies = SettablePolicies()
        self.trail = QuietTrail(storage.events)
        self.receivers = GuardedHttp(loopback=True)
        self.core = Core(
            uow=storage.unit_of_work,
            clock=self.clock,
            ids=self.ids,
            engine=self.engine,
            builder=self.builder,
            objects=FileObjectStore(folder / "objects"),
            secrets=FileSecretStore(folder / "master.key"),
            data=self.data,
            policies=self.policies,
            specs=JsonSchemaSpecs(SOURCE / "stacks" / "schemas"),
            trail=self.trail,
            rules=_rules(),
            provider_keys=FileProviderKeys(folder / "intake"),
            onboarding_keys=DerivedOnboardingKeys(
                folder / "onboarding.key", "https://portal.example.com"
            ),
            take_delivery=take_delivery,
            look_at_source=look_at_source,
            systems=Systems(),
            events=self.receivers,
            sealing=MasterSealing(lambda: read_secret(folder / "master.key")),
            playbooks=FolderPlaybooks(()),
            actions=HANDLERS,
            holidays=LibraryHolidays(),
            zones=SystemTimeZones(),
            write_invitation=write_invitation,
            approvers=FileApprovers(host="localhost"),
            limits=Limits(approval_life=None, link_life=timedelta(hours=72), **limits),
            here=Whereabouts(worker="worker-1", host=HOST),
        )
        if like is not None:
            return
        with self.core.uow() as uow:
            uow.accounts.add(
                Account(
                    id=self.core.ids.new("account"),
                    account_id=ACCOUNT,
                    role_arn=None,
                    external_id=None,
                    shared=True,
                    claimed_by=None,
                    created_at=self.clock.now(),
                )
            )
            uow.commit()

    def work(self, do: Callable[[str, str], object] | None = None) -> None:
        """Do every phase that is enqueued, and those that these enqueue; ``do`` does one."""
        self.storage.work(
            do or (lambda phase, subject: PHASES[phase](self.core, subject)), now=self.clock.now
        )

    def rows(self, table: str) -> dict[Any, Any]:
        """Return the entities of a table by their ids, oldest first."""
        return self.storage.rows(table)

    def events(self) -> list[Recorded]:
        """Return what was recorded, in order."""
        return self.storage.events()

    def actions(self, tree: str | None = None) -> list[str]:
        """Return what was recorded, of one tree or of all: ``action:stage``."""
        return [
            f"{event.action}:{event.stage}"
            for event in self.events()
            if tree is None or event.tree == tree
        ]

    def ready_hub(self, region: str = "eu-west-1", cell: str = "c1", capacity: int = 10) -> str:
        """Make a Hub ready and return its id."""
        hub, run = perform(
            self.core, ADMIN, hubs.request_hub, region=region, cell=cell, capacity=capacity
        )
        self.work()
        self.approve(run.id)
        return hub.id

    def approve(self, run_id: str | None, who: Caller = OPS) -> None:
        """Approve a run's plan as somebody, and as others where its risks want more people.

        Then do what follows.
        """
        with self.core.uow() as uow:
            run = uow.runs.get(run_id or "")
            assert run is not None
            approval = uow.approvals.get(run.approval_id or "")
        assert approval is not None, f"the run is {run.status}: {run.error}"
        others = (person(f"approver-{number}", Role.OPS_APPROVER) for number in count(1))
        # of those that runs of the kind always need a test names each
        more = approval.needed - max(KINDS[run.kind].decisions, 1)
        for each in (who, *islice(others, more)):
            self.decide(approval.id, each)
        self.work()

    def decide(
        self, approval_id: str | None, who: Caller = OPS, verdict: str = "approve", **given: Any
    ) -> approvals.ApprovalDetails:
        """Decide as somebody who read the plan, and ticks what it cannot undo."""
        view = perform(self.core, who, approvals.get_approval, approval_id or "")
        ticks = [each.urn for each in view.plan.irreversible] if verdict == "approve" else []
        return perform(
            self.core, who, approvals.decide, view.approval.id, verdict=verdict,
            **{
                "plan_digest": view.approval.plan_digest, "reason": "read it",
                "acknowledge": ticks, **given,
            },
        )  # fmt: skip

    def submit(self, mode: str = "A", number: int = 1, **changes: Any) -> provisioning.Accepted:
        """Submit a request as automation."""
        return perform(
            self.core,
            AUTOMATION,
            provisioning.submit_request,
            request_body(mode, number, **changes),
        )

    def run(self, run_id: str | None) -> Any:
        """Return a run as it is now."""
        with self.core.uow() as uow:
            return uow.runs.get(run_id or "")

    def evidence(self, run: Any) -> Any:
        """Return what the verification of a run found."""
        with self.core.uow() as uow:
            return uow.evidence.get(run.evidence_id or "")

    def tenant(self, tenant_id: str) -> Any:
        """Return a tenant as it is now."""
        with self.core.uow() as uow:
            return uow.tenants.get(tenant_id)


def request_body(mode: str | None = "A", number: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a request of a company; ``changes`` replace parts of ``requirements``."""
    names = ["Dainese S.p.A.", "Straße & Söhne GmbH", "ØRSTED A/S", "3M", "İstanbul Ltd"]
    requirements: Mapping[str, Any] = {
        "residency": {"zone": "eu", "regions": ["eu-west-1"], "strict": False},
        "cloud": "aws",
        **changes,
    }
    return {
        "contract": {
            "provider": "docusign",
            "envelope_id": f"env-{number:04d}",
            "contract_id": f"C-2026-{number:04d}",
            "signed_at": "2026-11-20T14:03:00Z",
            "subscription": "enterprise",
            "mode": mode,
            "seats": 100,
            "sla_uptime_min": None,
        },
        "company": {
            "legal_name": names[number % len(names) - 1],
            "domain": f"customer{number}.example.com",
            "country": "IT",
            "time_zone": "Europe/Rome",
        },
        "contacts": [
            {"role": "it_admin", "name": "Ida Admin", "email": "ida@example.com", "locale": "it"}
        ],
        "requirements": dict(requirements),
        "environment": "production",
    }
