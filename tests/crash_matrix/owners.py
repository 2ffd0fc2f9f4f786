"""Tenants and Hubs of the matrix: those that are there, and those that are made for a point."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain.run import RunStatus
from tests.crash_matrix.site import Site
from tests.end_to_end.installation import REGION

GOOD: Final = frozenset({RunStatus.APPLIED, RunStatus.NO_CHANGES, RunStatus.PLANNED})
DECIDERS: Final = ("olga", "otto")
_SECONDS: Final = 240.0  # for a run to which nothing happens
_CHOICES: Final = ({"zones": 3}, {"version": "2026.2"}, {"version": "2027.1"})


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A tenant or a Hub that is ready, with its deployment."""

    id: str
    path: str
    deployment: str


def applied(site: Site, mode: str) -> list[Owner]:
    """Return what is ready of a mode and not in a saga, oldest first."""
    if mode == "hub":
        found = site.rows(
            "SELECT h.id, d.id AS deployment FROM hub h JOIN deployment d ON d.hub_id = h.id"
            " AND d.kind = 'hub' WHERE h.status = 'ready' AND h.saga_id IS NULL ORDER BY h.id"
        )
    else:
        found = site.rows(
            "SELECT t.id, d.id AS deployment FROM tenant t JOIN deployment d ON d.tenant_id = t.id"
            " WHERE t.mode = %s AND t.status = 'ready' AND t.saga_id IS NULL ORDER BY t.id",
            mode,
        )
    kind = "hubs" if mode == "hub" else "tenants"
    return [
        Owner(id=each["id"], path=f"/v1/{kind}/{each['id']}", deployment=each["deployment"])
        for each in found
    ]


def oldest(site: Site, mode: str) -> Owner:
    """Return what is ready longest; the matrix makes one first."""
    return applied(site, mode)[0]


def spare(site: Site, mode: str) -> Owner:
    """Return something ready that may go, and make it if there is none.

    The oldest of a mode stays, and so does a Hub that has slices.
    """
    others = applied(site, mode)[1:]
    if mode == "hub":
        used = {row["hub_id"] for row in site.rows(
            "SELECT DISTINCT hub_id FROM deployment WHERE kind = 'slice' AND hub_id IS NOT NULL"
        )}  # fmt: skip
        others = [each for each in others if each.id not in used]
    if others:
        return others[-1]
    before = {each.id for each in applied(site, mode)}
    undisturbed(site, create_hub(site) if mode == "hub" else submit(site, mode))
    return next(each for each in applied(site, mode) if each.id not in before)


def submit(site: Site, mode: str) -> str:
    """Submit the contract of a new company; returns its run."""
    return str(site.api("crm").post("/v1/provisioning-requests", site.company(mode))["run_id"])


def create_hub(site: Site) -> str:
    """Request a shared Hub; returns its run."""
    body = {"region": REGION, "cell": f"c{next(site.companies) + 1}", "capacity": 900}
    return str(site.api("ada").post("/v1/hubs", body)["run_id"])


def choice_left(site: Site, owner: Owner) -> dict[str, Any] | None:
    """Return how a Hub can still be changed, None when nothing is left."""
    (row,) = site.rows("SELECT chosen FROM deployment WHERE id = %s", owner.deployment)
    chosen: dict[str, Any] = row["chosen"]
    versions = [each["version"] for each in _CHOICES if "version" in each]
    left = versions[versions.index(chosen["version"]) + 1 :] if "version" in chosen else versions
    if "zones" not in chosen:
        return {"zones": 3}
    return {"version": left[0]} if left else None


def change_hub(
    site: Site, owner: Owner, choice: dict[str, Any], *, with_plan: bool = False
) -> dict[str, Any]:
    """Change a Hub, or only plan the change; returns the answer."""
    query = {"dry_run": "true", "with_plan": "true"} if with_plan else {}
    body = {"environment": choice, "reason": "more room"}
    found: dict[str, Any] = site.api("ada").post(f"{owner.path}/changes", body, **query)
    return found


def run_of(answer: dict[str, Any], name: str = "run_id") -> str:
    """Return the run that a change is brought about by; where there is none, say the answer."""
    assert answer[name], f"no run follows: {answer}"
    return str(answer[name])


# --- runs to which nothing happens ---------------------------------------------------------------
def undisturbed(site: Site, run_id: str) -> None:
    """Follow a run to its good end, and approve it where it waits."""
    deadline = time.monotonic() + _SECONDS
    while True:
        run = row_of(site, run_id)
        status = RunStatus(run["status"])
        if status in GOOD:
            return
        if status is RunStatus.AWAITING_APPROVAL:
            approve(site, run)
        assert run["ended_at"] is None, run
        assert time.monotonic() < deadline, run
        time.sleep(0.05)  # between two looks at the row


def row_of(site: Site, run_id: str) -> dict[str, Any]:
    """Return the row of a run."""
    (run,) = site.rows("SELECT * FROM run WHERE id = %s", run_id)
    return run


def approve(site: Site, run: dict[str, Any]) -> None:
    """Let the next person approve a run that waits, and acknowledge what cannot be undone."""
    (approval,) = site.rows("SELECT * FROM approval WHERE id = %s", run["approval_id"])
    given = _given(site, approval)
    if given >= len(DECIDERS):
        return
    who = DECIDERS[given]

    def decide() -> object:
        now = row_of(site, run["id"])
        if now["status"] != RunStatus.AWAITING_APPROVAL or _given(site, approval) > given:
            return None  # an answer was lost, and the decision was not
        shown = site.api(who).get(f"/v1/approvals/{approval['id']}")
        body = {
            "decision": "approve",
            "plan_digest": approval["plan_digest"],
            "reason": "read it",
            "acknowledge": [each["urn"] for each in shown["irreversible"]],
        }
        return site.api(who).post(f"/v1/approvals/{approval['id']}/decisions", body)

    site.patiently(decide)


def _given(site: Site, approval: dict[str, Any]) -> int:
    return len(site.rows("SELECT id FROM decision WHERE approval_id = %s", approval["id"]))
