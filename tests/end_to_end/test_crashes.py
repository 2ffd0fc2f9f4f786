"""``kill -9`` in the middle of a Mode B apply: the run ends applied under its approval.

One installation has all of these accidents, one after the other.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import psutil
import pytest

from control_plane.adapters.audit.verify import verify
from control_plane.adapters.pulumi.runner_parent import MARK
from control_plane.adapters.pulumi.runner_process import CALL_FOLDER, runner_environment
from control_plane.bootstrap import Parts, read_settings
from control_plane.cli.inventory import tagged_resources
from control_plane.domain.actor import Role
from stacks.sandbox.provider import PROCESS
from tests.end_to_end.installation import REGION, Served, approve, ended, request_body

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, pulumi_cli: Path) -> Iterator[Served]:
    running = Served(home=tmp_path_factory.mktemp("served") / "home", cli=pulumi_cli)
    running.start()
    children: list[psutil.Process] = []
    try:
        yield running
        children = running.descendants()
    finally:
        running.stop()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive, f"left running: {[process.cmdline() for process in alive]}"


def in_the_middle(served: Served, run_id: str) -> None:
    """Wait until the engine has made some resources of the run."""
    ops = served.api("olga", Role.OPS_APPROVER)

    def made() -> bool:
        items = ops.get(f"/v1/runs/{run_id}/events", after=0)["items"]
        statuses = [item["body"]["status"] for item in items if item["kind"] == "status"]
        applying = "applying" in statuses
        after = [item for item in items if item["kind"] == "resource"]
        done = [item for item in after if item["body"].get("phase") == "apply"]
        return applying and len(done) >= 20

    served.until(made, "some resources are made")


@pytest.mark.parametrize("victim", ["runner", "engine", "provider", "worker"])
def test_a_killed_process_is_made_good(served: Served, victim: str) -> None:
    body = request_body("B")
    body["contract"] |= {"envelope_id": f"env-{victim}", "contract_id": f"C-{victim}"}
    body["company"] |= {"legal_name": f"{victim} GmbH", "domain": f"{victim}.com"}
    restarts = worker_starts(served)
    found = served.api("crm", Role.AUTOMATION).post("/v1/provisioning-requests", body)
    run_id, tenant = found["run_id"], found["tenant"]
    approve(served, run_id)
    in_the_middle(served, run_id)
    if victim == "runner":
        runner_of(served).send_signal(signal.SIGKILL)
    elif victim == "engine":
        served.named("up", "--stack").send_signal(signal.SIGKILL)
    elif victim == "provider":
        served.named(PROCESS).send_signal(signal.SIGKILL)
    else:
        served.named("control_plane.cli", "worker").send_signal(signal.SIGKILL)
    run = ended(served, run_id)
    assert run["status"] == "applied", run["error"]
    assert run["attempt"] >= 2
    assert all(check["ok"] for check in run["checks"])
    assert worker_starts(served) - restarts == (victim == "worker")
    nothing_exists_twice(served, tenant["slug"])
    the_log_tells_the_story(served, tenant["id"])
    served.until(lambda: not list((served.home / "calls").iterdir()), "no call has left anything")


def runner_of(served: Served) -> psutil.Process:
    """Return the process of a call that no other of its processes has started."""

    def look() -> psutil.Process | None:
        marked = [process for process in served.descendants() if mark_of(process)]
        pids = {process.pid for process in marked}
        return next((process for process in marked if process.ppid() not in pids), None)

    found = served.until(look, "there is a runner")
    assert isinstance(found, psutil.Process)
    return found


def mark_of(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARK, "").strip()
    except psutil.Error:
        return ""


def worker_starts(served: Served) -> int:
    """Return how often the worker was restarted."""
    return served.log.read_text(errors="replace").count("worker is restarted")


def test_the_cloud_outlives_the_engine(served: Served) -> None:
    """Whoever was left without a worker still needs the cloud to stop in order."""
    call_id = "of-a-dead-worker"
    (served.home / "calls" / f"{CALL_FOLDER}{call_id}").mkdir(parents=True)
    environment = {**runner_environment(sandbox=True), MARK: call_id}
    url = urlsplit(served.left()["sandbox_url"])
    assert served.process is not None
    with subprocess.Popen(["sleep", "12"], env=environment) as engine:
        served.process.send_signal(signal.SIGINT)
        while engine.poll() is None:
            answers = accepts(url.hostname, url.port)
            assert answers or engine.poll() is not None, "the cloud ended before the engine"
            time.sleep(0.05)
    assert served.process.wait(60) == 0
    assert not accepts(url.hostname, url.port)
    (served.home / "calls" / f"{CALL_FOLDER}{call_id}").rmdir()


def accepts(host: str | None, port: int | None) -> bool:
    """Return whether somebody listens."""
    with socket.socket() as caller:
        return caller.connect_ex((host or "", port or 0)) == 0


def nothing_exists_twice(served: Served, slug: str) -> None:
    endpoint = served.left()["sandbox_url"]
    assert len(tagged_resources(endpoint, REGION, slug)) >= 30
    client = boto3.client(
        "ec2", region_name=REGION, endpoint_url=endpoint,
        aws_access_key_id="testing", aws_secret_access_key="testing",
    )  # fmt: skip
    mine = [{"Name": "tag:tenantplane:tenant", "Values": [slug]}]
    assert len(client.describe_vpcs(Filters=mine)["Vpcs"]) == 1
    names = [
        {tag["Key"]: tag["Value"] for tag in subnet["Tags"]}["Name"]
        for subnet in client.describe_subnets(Filters=mine)["Subnets"]
    ]
    assert len(names) == len(set(names))
    groups = client.describe_security_groups(Filters=mine)["SecurityGroups"]
    assert len({group["GroupName"] for group in groups}) == len(groups)


def the_log_tells_the_story(served: Served, tenant_id: str) -> None:
    auditor = served.api("audrey", Role.AUDITOR)
    items = auditor.get(f"/v1/tenants/{tenant_id}/audit/events", limit=500)["items"]
    story = [f"{item['body']['action']}:{item['body']['stage']}" for item in items]
    assert story.count("decision.given:completed") == 1
    assert story.count("run.apply:attempted") == 2
    assert story.index("run.resumed:completed") > story.index("run.apply:attempted")
    assert story.count("run.apply:completed") == 1
    settings = read_settings(home=served.home, **served.left())
    engine = Parts(settings).auditor_engine
    report = verify(engine, host=settings.audit_host)
    engine.dispose()
    assert report.exit_code == 0, report.to_text()
