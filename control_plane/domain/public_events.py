"""What subscribers get and people watch: a closed catalogue of events, made from audit events.

A public event has the id and the time of the audit event that it was made from, and of its data
only what is named here: no value that names a person, no secret, no free text. Its envelope is
CloudEvents 1.0 in structured mode (https://github.com/cloudevents/spec, 1.0.2). A type whose data
changes in a way that a receiver notices gets a higher version; fields may be added without one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from control_plane.domain.audit import AuditEvent, rfc3339
from control_plane.domain.audit_catalogue import Stage
from control_plane.domain.canonical import canonical_json
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.finding import FindingKind

SOURCE: Final = "tenantplane"
CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
PING: Final = "subscription.ping"
_REMAINING: Final = str(FindingKind.REMAINING)
_DIGITS: Final = 12  # of a sequence: texts that sort as their numbers do
_SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "text": {"type": "string", "maxLength": 2000},
    "number": {"type": "integer"},
    "flag": {"type": "boolean"},
    "texts": {"type": "array", "items": {"type": "string", "maxLength": 2000}},
}
Fields = Mapping[str, str]
_Test = Callable[[AuditEvent], bool]


@dataclass(frozen=True, kw_only=True)
class PublicType:
    """One type of public event.

    ``fields`` maps the names of its data to their shapes, which are keys of ``_SCHEMAS``; those in
    ``always`` are in each event. ``targets`` maps fields to kinds of targets of the audit event.
    One that is not ``is_public`` is only watched: nobody can subscribe to it.
    """

    name: str
    description: str
    fields: Fields
    always: tuple[str, ...] = ()
    action: str | None = None
    test: _Test = field(default=lambda _: True)
    stage: Stage = Stage.COMPLETED
    targets: Mapping[str, str] = field(default_factory=dict)
    version: int = 1
    is_public: bool = True

    @property
    def type(self) -> str:
        """The type as the envelope has it, most general word first."""
        return f"{SOURCE}.{self.name}"

    @property
    def schema_id(self) -> str:
        """The URI of the schema of its data."""
        return f"urn:{SOURCE}:event:{self.name}:{self.version}"

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of its data; receivers ignore fields that they do not know."""
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": self.schema_id,
            "title": self.description,
            "type": "object",
            "properties": {name: dict(_SCHEMAS[kind]) for name, kind in self.fields.items()},
            "required": sorted(self.always),
        }

    def is_made_from(self, event: AuditEvent) -> bool:
        """Tell whether an audit event becomes one of this type."""
        return event.stage is self.stage and self.test(event)

    def data_of(self, event: AuditEvent) -> dict[str, Any]:
        """Return the data of the public event that an audit event becomes."""
        given = {**event.data, "run": event.run}
        first = dict(reversed(event.targets))
        given |= {name: first.get(kind) for name, kind in self.targets.items()}
        found = {name: given.get(name) for name in self.fields}
        return {name: _plain(value) for name, value in found.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class PublicEvent:
    """An event before anybody gets it; ``tenant_id`` is None for what belongs to no tenant."""

    id: str
    name: str
    version: int
    tenant_id: str | None
    time: datetime
    data: Mapping[str, Any]
    is_public: bool = True


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _status(*wanted: str) -> _Test:
    return lambda event: event.data.get("status") in wanted


def _moved_to(*wanted: str) -> _Test:
    """Of a tenant whose status changed: not when only whom it waits for did."""
    return lambda event: (
        event.data.get("status") in wanted
        and event.data.get("status") != event.data.get("previous_status")
    )


def _of_a_tenant(event: AuditEvent) -> bool:
    return event.tree != PLATFORM


def _drift_of_a_tenant(event: AuditEvent) -> bool:
    # what remains of something that is being removed is no drift
    return _of_a_tenant(event) and any(
        found.get("kind") != _REMAINING for found in event.data.get("findings", ())
    )


def _step_moved(event: AuditEvent) -> bool:
    # who is asked, and what failed, are events of their own
    return event.data.get("status") not in {"asked", "failed"}


_T, _N, _F, _L = "text", "number", "flag", "texts"
_STATUS: Final[Fields] = {"status": _T, "previous_status": _T, "waiting_on": _T, "run": _T,
                          "code": _T}  # fmt: skip
_RUN: Final[Fields] = {"run": _T, "deployment": _T, "status": _T, "previous_status": _T,
                       "attempt": _N, "code": _T}  # fmt: skip
_BUNDLE: Final[Fields] = {"bundle": _T, "number": _N}
_HOLD: Final[Fields] = {"hold": _T, "kind": _T}
_DELIVERY: Final[Fields] = {"delivery": _T, "source": _T, "code": _T, "request": _T,
                            "content_sha256": _T}  # fmt: skip
_STEP: Final[Fields] = {"journey": _T, "step": _T, "round": _N, "status": _T,
                        "previous_status": _T, "outcome": _T, "attempt": _N,
                        "code": _T}  # fmt: skip
_TASK: Final[Fields] = {"task": _T, "about": _T, "owner": _T, "step": _T}
_MESSAGE: Final[Fields] = {"message": _T, "event": _T, "persona": _T}


def _tenant_status(name: str, description: str, *statuses: str) -> PublicType:
    return PublicType(
        name=name, description=description, fields=_STATUS, always=("status",),
        action="tenant.status_changed", test=_moved_to(*statuses),
    )  # fmt: skip


def _run(
    name: str,
    description: str,
    action: str,
    *,
    stage: Stage = Stage.COMPLETED,
    fields: Fields = MappingProxyType({}),
) -> PublicType:
    return PublicType(
        name=name, description=description, fields={**_RUN, **fields}, always=("run",),
        action=action, stage=stage, targets={"deployment": "deployment"},
    )  # fmt: skip


def _bundle(name: str, description: str, action: str, **fields: str) -> PublicType:
    return PublicType(
        name=name, description=description, fields={**_BUNDLE, **fields}, always=("bundle",),
        action=action, targets={"bundle": "bundle"},
    )  # fmt: skip


def _delivery(name: str, description: str, status: str) -> PublicType:
    return PublicType(
        name=name, description=description, fields=_DELIVERY, always=("delivery", "source"),
        action="delivery.taken", test=_status(status), targets={"delivery": "delivery"},
    )  # fmt: skip


def _journey(name: str, description: str, *always: str, **fields: str) -> PublicType:
    return PublicType(
        name=name, description=description, fields={"journey": _T, **fields},
        always=("journey", *always), action=name, targets={"journey": "journey"},
    )  # fmt: skip


def _step(
    name: str,
    description: str,
    test: _Test,
    *,
    stage: Stage = Stage.COMPLETED,
    is_public: bool = True,
) -> PublicType:
    return PublicType(
        name=name, description=description, fields=_STEP, always=("journey", "step"),
        action="journey.step_moved", test=test, stage=stage, targets={"journey": "journey"},
        is_public=is_public,
    )  # fmt: skip


def _task(name: str, description: str, *, is_public: bool = True, **fields: str) -> PublicType:
    return PublicType(
        name=name, description=description, fields={**_TASK, **fields},
        always=("task", "about", "owner"), action=name, targets={"task": "task"},
        is_public=is_public,
    )  # fmt: skip


def _message(name: str, description: str, *, is_public: bool = True, **fields: str) -> PublicType:
    return PublicType(
        name=name, description=description, fields={**_MESSAGE, **fields}, always=("message",),
        action=name, targets={"message": "message"}, is_public=is_public,
    )  # fmt: skip


_LISTED: Final = (
    PublicType(name="tenant.accepted", description="A request was accepted: a tenant exists.",
               action="request.accepted", always=("tenant", "request", "slug"),
               fields={"tenant": _T, "request": _T, "slug": _T, "subscription": _T,
                       "country": _T, "environment": _T},
               targets={"tenant": "tenant", "request": "request"}),
    PublicType(name="tenant.mode_conflict", description="Contract and facts contradict each "
               "other; nothing is provisioned before an architect decides.",
               action="mode.conflict", always=("rules",),
               fields={"mode": _T, "required_mode": _T, "region": _T, "rules": _L,
                       "needs_review": _F}),
    _tenant_status("tenant.ready", "Everything of the tenant exists, and every check passed.",
                   "ready"),
    _tenant_status("tenant.failed", "The last run of the tenant failed; it can be retried.",
                   "failed"),
    _tenant_status("tenant.removed", "Nothing of the tenant is left but what has to remain.",
                   "deprovisioned"),
    PublicType(name="tenant.changed", description="Facts of the tenant were changed; a run or a "
               "bundle follows if that changes its infrastructure.",
               action="change.requested", always=("changed",), fields={"changed": _L}),
    PublicType(name="tenant.mode_changed", description="The tenant has another mode: its new "
               "deployment took over.",
               action="mode.switched", always=("mode", "previous_mode"),
               fields={"mode": _T, "previous_mode": _T}),
    PublicType(name="tenant.drifted", description="A look found that the cloud is not as it was "
               "applied.",
               action="drift.found", test=_drift_of_a_tenant, always=("count",),
               fields={"count": _N, "run": _T}),
    PublicType(name="tenant.drift_cleared", description="What was not as it was applied no "
               "longer differs; `count` says how much of it.",
               action="drift.cleared", test=_drift_of_a_tenant, always=("count",),
               fields={"count": _N, "run": _T}),
    PublicType(name="tenant.held", description="A hold was placed on the tenant: nothing begins "
               "to be applied.",
               action="hold.placed", test=_of_a_tenant, always=("hold", "kind"), fields=_HOLD,
               targets={"hold": "hold"}),
    PublicType(name="tenant.released", description="A hold on the tenant was released; "
               "`standing` counts those that still stand.",
               action="hold.released", test=_of_a_tenant, always=("hold", "kind"),
               fields={**_HOLD, "standing": _N}, targets={"hold": "hold"}),
    _run("run.requested", "A run was requested.", "run.requested",
         fields={"kind": _T, "retry_of": _T, "spec_version": _N}),
    _run("run.applied", "The engine applied the plan of a run.", "run.apply",
         fields={"plan_digest": _T}),
    _run("run.unchanged", "A run had nothing to apply.", "run.no_changes"),
    _run("run.blocked", "A run waits for a condition.", "run.blocked",
         fields={"blocked_on": _T}),
    _run("run.failed", "A run failed.", "run.errored", stage=Stage.FAILED),
    _run("run.canceled", "A run was canceled.", "run.canceled"),
    _run("approval.requested", "A run waits for decisions on its plan.",
         "run.approval_requested",
         fields={"plan_digest": _T, "expires_at": _T, "needed": _N}),
    PublicType(name="approval.decided", description="A person approved or rejected a plan; "
               "`approvals` counts those that hold of the `needed` ones.",
               action="decision.given", always=("approval", "run", "verdict"),
               fields={"approval": _T, "run": _T, "verdict": _T, "plan_digest": _T,
                       "approvals": _N, "needed": _N},
               targets={"approval": "approval"}),
    _bundle("bundle.ready", "A bundle was built, packed and signed.", "bundle.built",
            content_digest=_T, archive_digest=_T),
    _bundle("bundle.handed_over", "A bundle was handed over to the customer.",
            "bundle.handed_over", content_digest=_T),
    PublicType(name="bundle.applied", description="The receipt of the customer's apply was "
               "registered.",
               action="receipt.registered", always=("bundle",),
               fields={"bundle": _T, "receipt": _T, "content_digest": _T},
               targets={"bundle": "bundle"}),
    _journey("journey.started", "A journey began: a playbook is under way for the tenant.",
             "playbook", playbook=_T, version=_N, digest=_T),
    _step("journey.step_waiting", "A step of a journey waits for somebody; there is a task.",
          _status("asked")),
    _step("journey.step_failed", "A step of a journey failed; `code` says why. A person retries "
          "it, or leaves it out.", _status("failed"), stage=Stage.FAILED),
    _journey("journey.canceled", "A journey is canceled; what it did is taken back."),
    _journey("journey.ended", "A journey has ended: every step of it, or its taking back.",
             "status", status=_T),
    _task("task.opened", "Something waits for a person.", due_at=_T),
    _task("task.ended", "A task was done, or nobody has to do it any more.", status=_T),
    _message("message.sent", "A message was handed to the mail system.", channel=_T),
    _message("message.not_sent", "A message was suppressed, or could not be sent; `why` says "
             "the reason.", channel=_T, why=_T),
    _delivery("delivery.held", "A delivered contract waits for a person.", "held"),
    _delivery("delivery.refused", "A delivered contract cannot be understood; `code` says why.",
              "refused"),
    PublicType(name="subscription.disabled", description="An event subscription was disabled; "
               "`code` says why. Nothing is sent to it before somebody resumes it.",
               action="subscription.disabled", always=("subscription", "code"),
               fields={"subscription": _T, "code": _T}, targets={"subscription": "subscription"}),
    PublicType(name=PING, description="Somebody tests the subscription; nothing has happened.",
               fields={"subscription": _T}, always=("subscription",)),
    _step("journey.step_moved", "A step of a journey changed its status.", _step_moved,
          is_public=False),
    _task("task.reassigned", "A task was given to somebody else.", is_public=False),
    _message("message.queued", "A message to a person was queued.", is_public=False),
    _message("message.canceled", "Somebody decided that a message is not sent.",
             is_public=False),
)  # fmt: skip
PUBLIC_TYPES: Final[Mapping[str, PublicType]] = MappingProxyType(
    {each.name: each for each in _LISTED if each.is_public}
)
WATCHED_TYPES: Final[Mapping[str, PublicType]] = MappingProxyType(
    {each.name: each for each in _LISTED if not each.is_public}
)


def _by_action() -> Mapping[str, tuple[PublicType, ...]]:
    found: dict[str, tuple[PublicType, ...]] = {}
    for each in _LISTED:
        if each.action is not None:
            found[each.action] = (*found.get(each.action, ()), each)
    return MappingProxyType(found)


_BY_ACTION: Final = _by_action()


def public_event(event: AuditEvent) -> PublicEvent | None:
    """Return what subscribers get or people watch of an audit event, None for most."""
    for kind in _BY_ACTION.get(event.action, ()):
        if kind.is_made_from(event):
            return PublicEvent(
                id=event.id,
                name=kind.name,
                version=kind.version,
                tenant_id=None if event.tree == PLATFORM else event.tree,
                time=event.time,
                data=kind.data_of(event),
                is_public=kind.is_public,
            )
    return None


def envelope(event: PublicEvent, sequence: int) -> bytes:
    """Return the CloudEvent in structured mode: the bytes that are signed and sent.

    ``sequence`` grows with each event of a tenant, and of all that belongs to no tenant.
    """
    subject = {} if event.tenant_id is None else {"subject": event.tenant_id}
    return canonical_json(
        {
            "specversion": "1.0",
            "id": event.id,
            "source": SOURCE,
            "type": f"{SOURCE}.{event.name}",
            **subject,
            "time": rfc3339(event.time),
            "datacontenttype": "application/json",
            "dataschema": f"urn:{SOURCE}:event:{event.name}:{event.version}",
            "sequence": f"{sequence:0{_DIGITS}d}",
            "data": dict(event.data),
        }
    )
