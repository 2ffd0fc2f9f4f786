"""S15 and S7 of the scenarios, on the real engine: no system outside, then another mode.

With every system set to ``none`` Day 0 comes to its end: what needs a system is recorded as left
out, and people get the rest as tasks. At the kickoff the mode is changed from A to B: refused while
the slice holds anything, and the slice gives way once it is empty.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from control_plane.adapters.intake.keys import FileProviderKeys
from control_plane.bootstrap import SOURCE
from control_plane.cli.client import Api
from control_plane.cli.inventory import session_of, tagged_resources
from control_plane.domain.actor import Role
from tests.end_to_end.installation import REGION, SELDOM_SECONDS, Served, approve, ended
from tests.end_to_end.intake import over, post
from tests.signed import ACCOUNT, DOCUSIGN_KEY, docusign

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

NONE: Final = {"system": "none"}
OUTSIDE: Final = {
    "customer_record", "tickets", "channel", "portal_link", "welcome_sponsor", "welcome_it_admin",
    "ready_message",
}  # fmt: skip
WISH: Final = {"change_to": "B", "amendment": "AM-1", "reason": "agreed at the kickoff"}


@pytest.fixture
def alone(tmp_path: Path, pulumi_cli: Path) -> Iterator[Served]:
    """An installation that takes deliveries of one account, and has no system outside."""
    rules = tmp_path / "rules"
    shutil.copytree(SOURCE / "rules", rules)
    systems = yaml.safe_load((rules / "systems.yaml").read_text(encoding="utf-8"))
    systems |= {"crm": NONE, "tickets": NONE, "mail": NONE, "chat": {"slack": NONE, "teams": NONE}}
    (rules / "systems.yaml").write_text(yaml.safe_dump(systems), encoding="utf-8")
    intake = yaml.safe_load((rules / "intake.yaml").read_text(encoding="utf-8"))
    intake["sources"]["docusign"]["accounts"] = [ACCOUNT]
    (rules / "intake.yaml").write_text(yaml.safe_dump(intake), encoding="utf-8")
    running = Served(
        home=tmp_path / "home", cli=pulumi_cli, settings={"TENANTPLANE_RULES_FOLDER": str(rules)}
    )
    running.start()
    try:
        yield running
    finally:
        running.stop()


def test_day_0_ends_without_any_system_and_the_kickoff_changes_the_mode(alone: Served) -> None:
    keys = FileProviderKeys(alone.home / "keys" / "intake")
    keys.install("docusign-1", DOCUSIGN_KEY.encode())
    ada, ops = alone.api("ada", Role.PLATFORM_ADMIN), alone.api("olga", Role.OPS_APPROVER)
    hub = ada.post("/v1/hubs", {"region": REGION, "cell": "c1", "capacity": 5})
    approve(alone, hub["run_id"])
    assert ended(alone, hub["run_id"])["status"] == "applied"
    assert post(alone, docusign()).status_code == 202
    (tenant,) = alone.until(
        lambda: ops.get("/v1/tenants")["items"], "a worker took it", pause=SELDOM_SECONDS
    )
    path = f"/v1/tenants/{tenant['id']}"
    alone.until(
        lambda: over(ops.get(f"{path}/journey")), "only people have to act", pause=SELDOM_SECONDS
    )
    left_to_people(ops, path)
    assert not (alone.home / "outside").exists()
    done_by_people(alone, ada, path)
    refused_while_it_holds_something(alone, ada, tenant)
    replaced_once_it_is_empty(alone, ada, tenant)


def left_to_people(ops: Api, path: str) -> None:
    """Compare what was left out with its reason, and what became a task."""
    steps = {step["key"]: step for step in ops.get(f"{path}/journey")["steps"]}
    skipped = {key: step["reason"] for key, step in steps.items() if step["status"] == "skipped"}
    late = {key for key in steps if key.startswith("late_")}
    # the contract names no executive sponsor, but there is no mail to write to one either
    assert set(skipped) == OUTSIDE | late
    assert all(skipped[key].startswith("no system") for key in OUTSIDE), skipped
    done = {key for key, step in steps.items() if step["status"] == "done"}
    assert done == {"provision", "csm", "engineer", "green"}
    assert steps["kickoff_invitation"]["status"] == "asked"
    (task,) = ops.get("/v1/tasks?status=open")["items"]
    assert (task["owner"], task["cause"]["step"]) == ("csm", "kickoff_invitation")
    assert task["instructions"]


def done_by_people(served: Served, ada: Api, path: str) -> None:
    """Let people do what is theirs; then nothing of Day 0 is open."""
    for key in ("kickoff_invitation", "kickoff"):
        task = served.until(
            lambda step=key: next(
                (each for each in ada.get("/v1/tasks?status=open")["items"]
                 if each["cause"]["step"] == step), None
            ),
            f"there is a task for {key}", pause=SELDOM_SECONDS,
        )  # fmt: skip
        ada.post(f"/v1/tasks/{task['id']}/done", {"answer": "agreed by phone"})
    found = served.until(
        lambda: _if_done(ada.get(f"{path}/journey")), "Day 0 is over", pause=SELDOM_SECONDS
    )
    assert {step["status"] for step in found["steps"]} == {"done", "skipped"}


def _if_done(journey: dict[str, Any]) -> dict[str, Any] | None:
    return journey if journey["status"] == "done" else None


def refused_while_it_holds_something(served: Served, ada: Api, tenant: dict[str, Any]) -> None:
    """Ask for Mode B while an object lies in the slice: the saga says so, and is withdrawn."""
    path = f"/v1/tenants/{tenant['id']}"
    (slice_,) = ada.get(f"{path}/outputs")["items"]
    bucket, key = slice_["outputs"]["data_bucket"], f"{slice_['outputs']['data_prefix']}a.txt"
    endpoint = served.left()["sandbox_url"]
    s3 = session_of(endpoint, REGION).client("s3", endpoint_url=endpoint)
    written = s3.put_object(Bucket=bucket, Key=key, Body=b"theirs")
    ada.post(f"{path}/mode", WISH)
    stuck = served.until(
        lambda: _if_in(ada.get(f"{path}/mode"), "stuck"), "it is refused", pause=SELDOM_SECONDS
    )
    assert (stuck["step"], stuck["error"]["code"]) == ("check", "slice_holds_data")
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"theirs"
    ada.post(f"/v1/sagas/{stuck['id']}/withdraw", {"reason": "the data is looked at"})
    served.until(
        lambda: _if_in(ada.get(f"{path}/mode"), "undone"), "it is withdrawn", pause=SELDOM_SECONDS
    )
    present = ada.get(path)
    assert (present["mode"], present["status"]) == ("A", "ready")
    s3.delete_object(Bucket=bucket, Key=key, VersionId=written["VersionId"])


def replaced_once_it_is_empty(served: Served, ada: Api, tenant: dict[str, Any]) -> None:
    """Ask again: the dedicated Hub is approved and built, and nothing is left of the slice."""
    path, endpoint = f"/v1/tenants/{tenant['id']}", served.left()["sandbox_url"]
    of_slice = set(tagged_resources(endpoint, REGION, tenant["slug"]))
    assert of_slice
    decided: set[str] = set()
    ada.post(f"{path}/mode", WISH)

    def look() -> dict[str, Any] | None:
        change = ada.get(f"{path}/mode")
        assert change["status"] != "stuck", change["error"]
        present: dict[str, Any] = ada.get(path)
        runs = {step["run_id"] for step in change["steps"]} | {present["run_id"]}
        for run_id in sorted(runs - decided - {None}):
            if ada.get(f"/v1/runs/{run_id}")["status"] == "awaiting_approval":
                approve(served, run_id)
                decided.add(run_id)
        is_over = change["status"] == "done" and present["status"] == "ready"
        return present if is_over else None

    assert served.until(look, "Mode B is ready", pause=SELDOM_SECONDS)["mode"] == "B"
    remaining = set(tagged_resources(endpoint, REGION, tenant["slug"]))
    assert len(remaining) >= 30
    # a key is destroyed later, by its date
    assert {arn for arn in of_slice & remaining if ":kms:" not in arn} == set()


def _if_in(change: dict[str, Any], status: str) -> dict[str, Any] | None:
    return change if change["status"] == status else None
