"""Removals of the matrix: their two runs, and what follows until nothing is left."""

from __future__ import annotations

import time
from typing import Any, Final

from control_plane.domain.run import RunStatus
from tests.crash_matrix.owners import Owner, approve, row_of
from tests.crash_matrix.site import Site

_SECONDS: Final = 300.0
_WHY: Final = "the contract ended"


def unprotect_run(site: Site, owner: Owner) -> str:
    """Request a removal; returns the run that takes protection away."""
    return _run_of(site, owner, "unprotect")


def destroy_run(site: Site, owner: Owner) -> str:
    """Request a removal; returns the run that destroys, once there is one."""
    return _run_of(site, owner, "destroy")


def completed(site: Site, run_id: str) -> list[str]:
    """Follow a removal to the step at which only dates are left; returns what is wrong."""
    run = row_of(site, run_id)
    (deployment,) = site.rows("SELECT * FROM deployment WHERE id = %s", run["deployment_id"])
    tenant = deployment["tenant_id"]
    owner = f"/v1/tenants/{tenant}" if tenant else f"/v1/hubs/{deployment['hub_id']}"
    deadline = time.monotonic() + _SECONDS
    while True:
        found = _led_on(site, f"{owner}/removal")
        if found["step"] == "remaining" or found["ended_at"]:
            break
        if time.monotonic() > deadline:
            at = f"{found['status']} at {found['step']}"
            return [f"the removal comes to no end: {at}, {found['error']}"]
        time.sleep(0.2)  # each look is a request
    shown = site.patiently(lambda: site.api("ada").get(owner))
    wrong = [] if shown["status"] == "deprovisioned" else [f"{owner} is {shown['status']}"]
    (certificate,) = site.rows("SELECT body FROM certificate WHERE saga_id = %s", found["id"])
    checks = certificate["body"]["checks"]
    return wrong + [f"the certificate says otherwise: {each}" for each in checks if not each["ok"]]


def _run_of(site: Site, owner: Owner, step: str) -> str:
    path = f"{owner.path}/removal"
    ada = site.api("ada")
    preview = ada.post(path, {"reason": _WHY}, dry_run="true")
    ada.post(path, {"reason": _WHY, "unprotect": preview["unprotect"]})
    deadline = time.monotonic() + _SECONDS
    while True:
        found = _led_on(site, path, until=step)
        runs = [each["run_id"] for each in found["steps"] if each["name"] == step]
        if runs and runs[-1]:
            return str(runs[-1])
        assert found["status"] in {"working", "waiting"}, found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)  # soon, since the run's first events are points too


def _led_on(site: Site, path: str, *, until: str = "") -> dict[str, Any]:
    """Do what a removal waits for, but for the step ``until``; returns how far it is."""
    found: dict[str, Any] = site.patiently(lambda: site.api("ada").get(path))
    if found["step"] == "export" and found["status"] == "waiting":
        waived = {"reason": "the data is a test's"}
        site.patiently(lambda: site.api("ada").post(f"{path}/export-waiver", waived))
    for each in found["steps"]:
        if each["run_id"] and each["outcome"] is None and each["name"] != until:
            run = row_of(site, each["run_id"])
            if run["status"] == RunStatus.AWAITING_APPROVAL:
                approve(site, run)
    return found
