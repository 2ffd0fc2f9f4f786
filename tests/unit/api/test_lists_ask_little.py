"""A list takes the same number of statements whatever is on its page, and so does a submission."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.run import RunStatus
from control_plane.ports.rows import UnitOfWork
from tests.entities import Entities
from tests.statements import counted_statements
from tests.unit.api.scene import Api, Scene, written

MANY = 50
# lists that have no pages: what belongs to one thing
WHOLE = {
    "/v1/tenants/{key}/outputs", "/v1/tenants/{key}/holds", "/v1/hubs/{hub_id}/holds",
    "/v1/bundles/{bundle_id}/links", "/v1/findings/{finding_id}/decisions",
    "/v1/tenants/{key}/amendments", "/v1/tenants/{key}/journeys", "/v1/tenants/{key}/events",
    "/v1/tenants/{key}/timeline", "/v1/standing",
}  # fmt: skip
KINDS = {"/v1/tenants/{key}/timeline": 16}  # one question for each kind of row, of few or many
# their entries come from the log of the auditor's role, in one page (tests/integration)
LOGS = {
    "/v1/tenants/{key}/audit/events", "/v1/audit/platform/events", "/v1/audit/trees",
    "/v1/audit/{tree}/quarantine",
}  # fmt: skip
READERS = {
    "/v1/provisioning-requests": Role.OPS_APPROVER,
    "/v1/tenants": Role.OPS_APPROVER,
    "/v1/tenants/{key}/outputs": Role.OPS_APPROVER,
    "/v1/tenants/{key}/findings": Role.OPS_APPROVER,
    "/v1/findings": Role.OPS_APPROVER,
    "/v1/findings/{finding_id}/decisions": Role.OPS_APPROVER,
    "/v1/hubs/{hub_id}/drift": Role.PLATFORM_ADMIN,
    "/v1/drift-sweeps": Role.PLATFORM_ADMIN,
    "/v1/runs": Role.OPS_APPROVER,
    "/v1/runs/{run_id}/events": Role.OPS_APPROVER,
    "/v1/tenants/{key}/events": Role.OPS_APPROVER,
    "/v1/tenants/{key}/journeys": Role.OPS_APPROVER,
    "/v1/tenants/{key}/timeline": Role.OPS_APPROVER,
    "/v1/standing": Role.OPS_APPROVER,
    "/v1/approvals": Role.OPS_APPROVER,
    "/v1/bundles": Role.SOLUTIONS_ARCHITECT,
    "/v1/bundles/{bundle_id}/links": Role.SOLUTIONS_ARCHITECT,
    "/v1/hubs": Role.PLATFORM_ADMIN,
    "/v1/hubs/{hub_id}/holds": Role.PLATFORM_ADMIN,
    "/v1/tenants/{key}/holds": Role.OPS_APPROVER,
    "/v1/tenants/{key}/amendments": Role.OPS_APPROVER,
    "/v1/accounts": Role.PLATFORM_ADMIN,
    "/v1/deliveries": Role.OPS_APPROVER,
    "/v1/intake-findings": Role.OPS_APPROVER,
    "/v1/event-subscriptions": Role.OPS_APPROVER,
    "/v1/event-subscriptions/{subscription_id}/deliveries": Role.OPS_APPROVER,
    "/v1/journeys": Role.OPS_APPROVER,
    "/v1/tasks": Role.OPS_APPROVER,
    "/v1/meetings": Role.OPS_APPROVER,
    "/v1/messages": Role.OPS_APPROVER,
    "/v1/suppressions": Role.OPS_APPROVER,
    "/v1/approver-keys": Role.OPS_APPROVER,
    "/v1/audit/{tree}/grants": Role.AUDITOR,
    "/v1/audit/{tree}/erasures": Role.AUDITOR,
}
DUE = datetime(2026, 1, 5, tzinfo=UTC)  # so that it is late
FILTERS: dict[str, list[str]] = {
    "/v1/tenants": [
        "status=pending",
        "domain=many.example.com",
        "contract_id=C-MANY",
        "drifted=true",
    ],
    "/v1/tenants/{key}/findings": ["with_closed=true"],
    "/v1/hubs/{hub_id}/drift": ["with_closed=true"],
    "/v1/runs": ["status=awaiting_approval", "tenant_id={key}"],
    "/v1/approvals": ["status=waiting"],
    "/v1/bundles": ["status=awaiting_architect"],
    "/v1/journeys": ["status=open", "late=true"],
    "/v1/tasks": ["status=open", "owner=ops", "mine=true", "late=true"],
    "/v1/meetings": ["status=invited", "tenant={key}"],
    "/v1/messages": ["status=queued", "event=step.blocked", "tenant_id={key}"],
    "/v1/suppressions": ["kind=opted_out"],
    "/v1/approver-keys": ["actor=many"],
    "/v1/deliveries": ["status=received", "source=signing", "envelope_id=many"],
    "/v1/intake-findings": ["status=open", "source=signing"],
    "/v1/event-subscriptions/{subscription_id}/deliveries": ["status=pending"],
}


def lists() -> list[str]:
    """Return the routes that the document says show items."""
    found = []
    for path, operations in written()["paths"].items():
        if "get" in operations:
            content = operations["get"]["responses"]["200"].get("content", {})
            schema = content.get("application/json", {}).get("schema", {})
            if "Page" in schema.get("$ref", "") or schema.get("type") == "array":
                found.append(path)
    return found


def test_every_list_is_in_the_tables() -> None:
    assert set(lists()) == set(READERS) | LOGS


@pytest.fixture
def crowded(scene: Scene) -> Scene:
    """A scene with many of everything that lists show."""
    with scene.world.core.uow() as uow:
        add_many(scene, uow)
        uow.commit()
    return scene


def add_many(scene: Scene, uow: UnitOfWork) -> None:
    """Copy what the scene has, with all that the copies refer to."""
    new = scene.world.core.ids.new
    run = uow.runs.need(scene.ids["run_id"])
    plan, approval = uow.plans.need(run.plan_id), uow.approvals.need(run.approval_id)
    tenant, deployment = uow.tenants.need(run.tenant_id), uow.deployments.need(run.deployment_id)
    contract = uow.contracts.find(tenant_id=tenant.id)[0]
    request, bundle = uow.requests.find(tenant_id=tenant.id)[0], uow.bundles.find()[0]
    hub, account = uow.hubs.find()[0], uow.accounts.find()[0]
    hub_home = uow.deployments.find(hub_id=hub.id, tenant_id=None)[0]
    make = Entities(ids=scene.world.ids)
    subscription = uow.event_subscriptions.page(limit=1)[0]
    sent = uow.publications.page(subscription.id, limit=1, before=None)[0]
    uow.playbooks.add(make.kept_playbook())
    grant = uow.grants.need(scene.ids["grant_id"])
    erasure = uow.erasures.need(scene.ids["erasure_id"])
    assert (run.status, plan.digest) == (RunStatus.AWAITING_APPROVAL, approval.plan_digest)
    for number in range(MANY + 5):
        name = f"many-{number}"
        # a second run each is of one tenant, so that the filter by tenant has a full page too
        owner = replace(tenant, id=new("tenant"), slug=name, domain="many.example.com",
                        drifted=True)  # fmt: skip
        place = replace(deployment, id=new("deployment"), tenant_id=owner.id, stack=name)
        own_contract = replace(
            contract, id=new("contract"), tenant_id=owner.id, envelope_id=name,
            provider=name, contract_id="C-MANY",
        )  # fmt: skip
        home = replace(hub, id=new("hub"), cell=f"m{number}")
        of_hub = uow.runs.find(deployment_id=hub_home.id)[0]
        uow.findings.add(make.finding(of_hub, subject=f"urn:{number}"))
        uow.intake.keep(
            make.delivery(dedupe_key=name, source="signing", envelope_id="many", tenant_id=owner.id)
        )
        uow.intake_findings.add(
            make.intake_finding(source="signing", subject=name, tenant_id=owner.id)
        )
        another = replace(subscription, id=new("event_subscription"))
        uow.event_subscriptions.add(another)
        uow.publications.begin(another.id)
        uow.publications.test(subscription.id, sent.event, sent.next_at)
        journey = make.journey(owner, contract_ref=own_contract.id)
        uow.journeys.add(journey)
        uow.journey_steps.add(
            make.step(owner, id=f"{journey.id}.talk", journey_id=journey.id, due_at=DUE)
        )
        uow.tasks.add(make.task(owner, dedupe_key=name, due_at=DUE))
        uow.meetings.add(make.meeting(owner))
        uow.meetings.add(make.meeting(tenant, kind=name))
        uow.messages.add(make.message(owner, dedupe_key=name))
        uow.messages.add(make.message(tenant, dedupe_key=f"of one {name}"))
        uow.suppressions.add(make.suppression(name))
        uow.approver_keys.add(make.approver_key(name))
        uow.grants.add(replace(grant, id=new("disclosure_grant")))
        uow.erasures.add(replace(erasure, id=new("erasure")))
        uow.sweeps.add(replace(uow.sweeps.page(limit=1)[0], id=new("sweep")))
        uow.add(
            owner,
            place,
            own_contract,
            replace(request, id=new("request"), tenant_id=owner.id, contract_ref=own_contract.id),
            home,
            replace(hub_home, id=new("deployment"), hub_id=home.id, stack=f"hub-{name}"),
            replace(account, id=new("account"), account_id=f"{4 * 10**11 + number}"),
            replace(
                bundle, id=new("bundle"), tenant_id=owner.id, deployment_id=place.id,
                status="awaiting_architect",
            ),
        )  # fmt: skip
        for its_tenant, at in ((owner.id, place.id), (tenant.id, deployment.id)):
            own_run = replace(
                run, id=new("run"), tenant_id=its_tenant, deployment_id=at, number=100 + number,
                plan_id=new("plan"), approval_id=new("approval"),
            )  # fmt: skip
            uow.runs.add(own_run)
            uow.findings.add(make.finding(own_run, deployment_id=at, subject=f"urn:{number}"))
            uow.plans.add(replace(plan, id=str(own_run.plan_id), run_id=own_run.id))
            uow.approvals.add(
                replace(
                    approval, id=str(own_run.approval_id), run_id=own_run.id, needed=2,
                    plan_id=str(own_run.plan_id), tenant_id=its_tenant,
                )
            )  # fmt: skip


def asked_for(api: Api, path: str, who: Role | str, query: str) -> tuple[int, list[str]]:
    """Return how many items an answer has and what it took to make it."""
    with counted_statements() as asked:
        answer = api.call("GET", f"{path}?{query}" if query else path, who)
    assert answer.status_code == 200, answer.text
    content = answer.json()
    return len(content["items"] if isinstance(content, dict) else content), asked


@pytest.mark.parametrize(
    ("path", "query"),
    [(path, query) for path in sorted(set(READERS) - WHOLE - {"/v1/runs/{run_id}/events"})
     for query in ["", *FILTERS.get(path, [])]],
)  # fmt: skip
def test_a_page_of_fifty_takes_the_statements_of_a_page_of_one(
    crowded: Scene, path: str, query: str
) -> None:
    query = query.format(**crowded.ids)
    tenants = tuple(tenant for tenant in crowded.world.rows("tenant"))
    limited = crowded.api.token(READERS[path], tenants=tenants)
    for who in (READERS[path], limited):
        address = path.format(**crowded.ids)
        one, few = asked_for(crowded.api, address, who, f"{query}&limit=1")
        fifty, many = asked_for(crowded.api, address, who, f"{query}&limit={MANY}")
        assert (one, fifty) == (1, MANY)
        assert len(few) == len(many) <= 8, many


@pytest.mark.parametrize("path", sorted(WHOLE | {"/v1/runs/{run_id}/events"}))
def test_what_belongs_to_one_thing_is_asked_for_at_once(crowded: Scene, path: str) -> None:
    _, asked = asked_for(crowded.api, path.format(**crowded.ids), READERS[path], "")
    assert len(asked) <= KINDS.get(path, 4), asked


def test_a_submission_writes_its_rows_and_its_events_in_few_statements(scene: Scene) -> None:
    body = scene.body("/v1/provisioning-requests")
    body["contract"]["mode"], body["company"]["legal_name"] = "C", "Somebody New Ltd"
    with counted_statements() as asked:
        scene.api.created("/v1/provisioning-requests", Role.AUTOMATION, body)
    written_to = [text.split("INTO ")[1].split()[0] for text in asked if "INSERT INTO" in text]
    assert sorted(written_to) == [
        "audit_disclosure", "audit_pending", "bundle", "contract", "idempotency_record",
    ], asked  # fmt: skip
    assert len(asked) <= 10, asked
