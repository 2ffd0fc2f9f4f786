"""Whether the API can work is asked at a bounded cost, and is answered in time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from api.app import create_app
from api.recent import Readiness, Recent
from control_plane.adapters.audit.trail import SqlTrail
from control_plane.adapters.db.engine import connect
from control_plane.bootstrap import Parts
from control_plane.config import Settings
from control_plane.domain.actor import Role
from control_plane.domain.errors import AuditUnavailable, Unavailable
from control_plane.ports.rows import UnitOfWork
from tests.unit.api.scene import Api
from tests.world import World


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What hangs until the end of the test."""
    found = threading.Event()
    yield found
    found.set()


def test_a_part_that_hangs_is_said_to_and_the_others_are_asked(gate: threading.Event) -> None:
    asked: list[int] = []

    def hangs() -> str:
        asked.append(1)
        gate.wait(30)
        return ""

    readiness = Readiness({"database": hangs, "audit_log": lambda: "", "other": lambda: "behind"})
    with ThreadPoolExecutor(20) as pool:
        answers = [item.result() for item in [pool.submit(readiness) for _ in range(20)]]
    expected = {
        "database": "timed out after 2 s", "audit_log": "ok", "other": "behind",
    }  # fmt: skip
    assert answers == [expected] * 20
    assert [readiness() for _ in range(50)] == [expected] * 50
    assert len(asked) == 1  # and nobody waits for it again
    gate.set()
    deadline = time.monotonic() + 10
    while readiness()["database"] != "ok":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_answer_is_kept_for_a_moment() -> None:
    numbers = iter(range(100))
    recent = Recent(lambda: next(numbers), life_seconds=3600.0)
    assert [recent.get() for _ in range(20)] == [0] * 20
    recent.life_seconds = 0.0  # its moment is over
    assert [recent.get() for _ in range(3)] == [1, 2, 3]


def test_what_was_raised_is_raised_to_all() -> None:
    def fails() -> str:
        raise AuditUnavailable("behind")

    def breaks() -> str:
        raise ZeroDivisionError

    recent = Recent(fails)
    for _ in range(3):
        with pytest.raises(AuditUnavailable):
            recent.get()
    with pytest.raises(Unavailable):
        Recent(breaks).get()
    assert Readiness({"x": fails, "y": breaks})() == {
        "x": "behind",
        "y": "it failed",
    }


def _waiting(listener: socket.socket) -> int:
    """Return how many connections a listener has that nobody took."""
    listener.settimeout(0.2)
    for number in range(100):
        try:
            listener.accept()[0].close()
        except TimeoutError:
            return number
    return 100


def test_a_database_that_accepts_and_says_nothing_is_not_ready(
    world: World, tmp_path: Path
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(100)
        url = f"postgresql://app@127.0.0.1:{silent.getsockname()[1]}/none"
        parts = Parts(Settings(home=tmp_path, database_url=url, database_auditor_url=url))
        api = Api(world, tmp_path)
        api.shared.readiness = Readiness(parts.checks)
        for _ in range(5):
            answer = api.call("GET", "/readyz")
            assert answer.status_code == 503
            assert answer.json()["parts"]["database"] == "timed out after 2 s"
        assert _waiting(silent) == 2  # one for each part, not for each call


def test_a_change_while_the_database_of_the_log_is_away_is_unavailable(
    world: World, tmp_path: Path
) -> None:
    away = connect("postgresql://nobody@127.0.0.1:9/none", name="tests")
    trail = SqlTrail(lambda: away, host="localhost", public_key=tmp_path / "audit.key.pub")
    api = Api(world, tmp_path)
    api.shared.core = replace(world.core, trail=trail)
    hub = {"region": "eu-west-1", "cell": "c1", "capacity": 10}
    answer = api.call("POST", "/v1/hubs", Role.PLATFORM_ADMIN, json=hub)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_figures_are_one_look_at_the_runs(world: World, tmp_path: Path) -> None:
    api = Api(world, tmp_path)
    api.world.ready_hub()
    asked: list[int] = []
    uow = api.world.core.uow

    def counted() -> UnitOfWork:
        asked.append(1)
        return uow()

    api.shared.core = replace(api.world.core, uow=counted)
    texts = {api.call("GET", "/metrics").text for _ in range(20)}
    assert len(texts) == len(asked) == 1
    assert 'tenantplane_runs{status="applied"} 1' in texts.pop()


def test_a_missing_worker_is_named_and_requests_go_on(api: Api) -> None:
    api.shared.background = lambda: {"worker": "no worker is running, so runs wait"}
    answer = api.call("GET", "/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert answer.json()["background"] == {"worker": "no worker is running, so runs wait"}
    api.parts["database"] = "cannot be reached"
    assert api.call("GET", "/readyz").status_code == 503


def test_a_rehearsal_is_announced_by_every_answer(api: Api) -> None:
    assert "notice" not in api.call("GET", "/readyz").json()
    assert "tenantplane-rehearsal" not in api.call("GET", "/healthz").headers
    notice = "rehearsal on the emulated cloud: nothing here exists in AWS"
    api.app = create_app(replace(api.shared, notice=notice))
    assert api.call("GET", "/readyz").json()["notice"] == notice
    for answer in (
        api.call("GET", "/healthz"),
        api.call("GET", "/v1/tenants", Role.AUDITOR),
        api.call("GET", "/v1/tenants"),
        api.call("GET", "/no/such/page"),
    ):
        assert answer.headers["tenantplane-rehearsal"] == "true", answer.status_code
