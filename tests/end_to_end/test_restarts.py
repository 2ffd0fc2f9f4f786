"""A part of `serve` that dies comes back; one that dies again and again ends it with the reason."""

from __future__ import annotations

import signal

import httpx
import psutil
import pytest

from control_plane.domain.actor import Role
from tests.end_to_end.installation import REGION, Served, approve, ended

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_every_part_comes_back_and_the_data_is_there(served: Served) -> None:
    admin = served.api("ada", Role.PLATFORM_ADMIN)
    hub = admin.post("/v1/hubs", {"region": REGION, "cell": "c1", "capacity": 5})
    approve(served, hub["run_id"])
    assert ended(served, hub["run_id"])["status"] == "applied"
    server = next(
        process for process in served.descendants() if process.name().startswith("postgres")
    )
    for victim in (
        psutil.Process(min(p.pid for p in served.descendants() if p.name() == server.name())),
        served.named("stacks.sandbox.cloud"),
        served.named("control_plane.cli", "signer"),
        served.named("-m", "api"),
    ):
        victim.send_signal(signal.SIGKILL)
        victim.wait(30)
    worker = served.named("control_plane.cli", "worker")
    worker.terminate()
    worker.wait(60)
    served.until(lambda: is_ready(served), "everything is ready again")
    again = served.api("ada", Role.PLATFORM_ADMIN)
    assert again.get(f"/v1/hubs/{hub['id']}")["status"] == "ready"
    second = again.post("/v1/hubs", {"region": REGION, "cell": "c2", "capacity": 5})
    approve(served, second["run_id"])
    assert ended(served, second["run_id"])["status"] == "applied"
    auditor = served.api("audrey", Role.PLATFORM_AUDITOR)
    entries = auditor.get("/v1/audit/platform/events?limit=500")["items"]
    actions = [entry["body"]["action"] for entry in entries]
    assert (actions.count("worker.started"), actions.count("worker.stopped")) == (2, 1)
    for part in ("database", "cloud", "signer", "api", "worker"):
        assert f"{part} exited unexpectedly" in served.log.read_text()
    assert served.stop() == 0


def is_ready(served: Served) -> bool:
    """Tell whether the API, the log and a worker are there, and the queue is not paused."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{served.port}/readyz", timeout=5.0, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and answer.json()["background"] == {
        "worker": "ok",
        "queue": "ok",
        "audit_verification": "ok",
        "audit_witnesses": "ok",
        "audit_quarantine": "ok",
        "rules": "ok",
        "systems": "ok",
    }


def test_a_part_that_cannot_start_ends_everything_with_its_reason(served: Served) -> None:
    (served.home / "keys" / "audit.key").unlink()
    served.named("control_plane.cli", "signer").send_signal(signal.SIGKILL)
    assert served.process is not None
    assert served.process.wait(120) == 1
    said = served.log.read_text()
    assert "signer is restarted (5 of 5)" in said
    assert "signer exited 6 times within 10 minutes: stopping everything" in said
    assert str(served.home / "logs" / "signer.log") in said
    assert "tenantctl keys create" in said
    assert not (served.home / "keys" / "audit.key").exists()
