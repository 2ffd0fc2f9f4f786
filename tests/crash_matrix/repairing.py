"""Repairs of the matrix: something is changed behind the product's back, found, and taken back."""

from __future__ import annotations

import time
from typing import Any, Final

from tests.crash_matrix.owners import Owner, undisturbed
from tests.crash_matrix.site import Site

_GROUPS: Final = "aws:cloudwatch/logGroup:LogGroup"
_DAYS: Final = 7  # no program keeps lines so short
_SECONDS: Final = 60.0


def revert_run(site: Site, owner: Owner) -> str:
    """Shorten the retention of log groups by hand, let a look find it; returns the repair."""
    (deployment,) = site.rows("SELECT * FROM deployment WHERE id = %s", owner.deployment)
    names = [each["id"] for each in site.state(deployment) if each["type"] == _GROUPS]
    logs = site.client("logs")
    for name in names if "tenants" in owner.path else names[:1]:
        logs.put_retention_policy(logGroupName=name, retentionInDays=_DAYS)
    undisturbed(site, site.api("olga").post(f"{owner.path}/drift-checks")["id"])
    found = _findings(site, owner)
    body = {"decision": "revert", "reason": "by mistake"}
    if "tenants" in owner.path:
        path, body = f"{owner.path}/drift/decisions", body | {"findings": found}
    else:
        path = f"/v1/findings/{found[0]}/decision"
    answer: dict[str, Any] = site.api("ada").post(path, body)
    return str(answer["run_id"])


def _findings(site: Site, owner: Owner) -> list[str]:
    deadline = time.monotonic() + _SECONDS
    while True:
        found = site.rows(
            "SELECT id FROM finding WHERE deployment_id = %s AND closed_at IS NULL",
            owner.deployment,
        )
        if found:
            return [each["id"] for each in found]
        assert time.monotonic() < deadline, f"the look at {owner.path} found nothing"
        time.sleep(0.05)
