"""S1, S2 and S6 of the scenarios, on the real engine, whatever is repeated or dies."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from control_plane.adapters.intake.keys import FileProviderKeys
from control_plane.bootstrap import SOURCE
from control_plane.cli.inventory import tagged_resources
from control_plane.domain.actor import Role
from tests.end_to_end.installation import REGION, SELDOM_SECONDS, Served, approve, ended
from tests.end_to_end.intake import over, post
from tests.signed import ACCOUNT, DOCUSIGN_KEY, docusign

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
AT_ONCE = 10
SCANS, REDEEMS = 50, 100


@pytest.fixture
def taking(tmp_path: Path, pulumi_cli: Path) -> Iterator[Served]:
    """An installation that takes deliveries of one account of DocuSign."""
    rules = tmp_path / "rules"
    shutil.copytree(SOURCE / "rules", rules)
    file = rules / "intake.yaml"
    text = file.read_text(encoding="utf-8")
    assert "accounts: []" in text
    file.write_text(text.replace("accounts: []", f"accounts: [{ACCOUNT}]"), encoding="utf-8")
    running = Served(
        home=tmp_path / "home",
        cli=pulumi_cli,
        settings={
            "TENANTPLANE_RULES_FOLDER": str(rules),
            "TENANTPLANE_TRUSTED_PROXIES": "127.0.0.1",
        },
    )
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.mark.requirement("J-014")
def test_a_signed_envelope_that_comes_ten_times_at_once_becomes_one_ready_tenant(
    taking: Served,
) -> None:
    assert post(taking, docusign()).status_code == 503  # no key is installed yet
    keys = FileProviderKeys(taking.home / "keys" / "intake")
    keys.install("docusign-1", DOCUSIGN_KEY.encode())
    hub = taking.api("ada", Role.PLATFORM_ADMIN).post(
        "/v1/hubs", {"region": REGION, "cell": "c1", "capacity": 5}
    )
    approve(taking, hub["run_id"])
    assert ended(taking, hub["run_id"])["status"] == "applied"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(
            lambda retry: post(taking, docusign(retry=retry)), range(AT_ONCE)
        ))  # fmt: skip
    taking.named("control_plane.cli", "worker").kill()  # wherever it is
    assert {answer.status_code for answer in answers} == {202}
    (delivery_id,) = {answer.json()["delivery_id"] for answer in answers}

    ops = taking.api("olga", Role.OPS_APPROVER)

    def taken() -> Any:
        found = ops.get(f"/v1/deliveries/{delivery_id}")
        return found if found["status"] != "received" else None

    found = taking.until(taken, "a worker took it", pause=SELDOM_SECONDS)
    assert (found["status"], found["times_received"]) == ("accepted", AT_ONCE), found["error"]
    (tenant,) = ops.get("/v1/tenants")["items"]
    assert tenant["id"] == found["tenant_id"]
    taking.until(
        lambda: ops.get(f"/v1/tenants/{tenant['id']}")["status"] == "ready",
        "the tenant is ready",
        pause=SELDOM_SECONDS,
    )
    assert len(tagged_resources(taking.left()["sandbox_url"], REGION, tenant["slug"])) >= 5
    day_0 = taking.until(
        lambda: over(ops.get(f"/v1/tenants/{tenant['id']}/journey")),
        "the product has done its part of Day 0",
        pause=SELDOM_SECONDS,
    )
    # the contract names no sponsor, so a person asks for one; it was signed long ago, so that two
    # business days have passed in which to meet, and a person finds a time
    asked = {key for key, status in day_0.items() if status == "asked"}
    assert asked == {"welcome_sponsor", "kickoff_invitation"}, day_0
    late = {status for key, status in day_0.items() if key.startswith("late_")}
    assert late == {"skipped"}, day_0  # it was green before anybody had to be called
    by_product = {key for key in day_0 if not key.startswith("late_")} - {*asked, "kickoff"}
    assert {day_0[key] for key in by_product} == {"done"}, day_0
    owners = {task["owner"] for task in ops.get("/v1/tasks?status=open")["items"]}
    assert owners == {"sales", "csm"}
    # each message once, though the contract came ten times and the worker was killed
    # by time, recipient and subject, without the id of each
    mails = sorted(
        file.stem.rpartition(" ")[0] for file in (taking.home / "outside" / "mail").glob("*.eml")
    )
    to_admin = [mail.partition("ida@dainese.com")[2] for mail in mails if "ida@" in mail]
    assert len(to_admin) == len(set(to_admin)) == 3, mails  # link, welcome, ready
    (link,) = [
        line for file in (taking.home / "outside" / "mail").glob("*.txt")
        for line in file.read_text().splitlines() if "/onboarding/" in line
    ]  # fmt: skip
    code = scanned_and_asked_for_its_code(taking, link.strip())
    redeemed_once(taking, link.strip(), code)
    written = taking.log.read_text(errors="replace") + "".join(
        each.read_text(errors="replace") for each in (taking.home / "logs").glob("*.log")
    )
    assert DOCUSIGN_KEY not in written
    assert "ida@dainese.com" not in written
    assert link.rpartition(".")[2].strip() not in written


def scanned_and_asked_for_its_code(taking: Served, link: str) -> str:
    """S6: a mail scanner uses nothing up; then the IT admin has the code sent, and reads it."""
    for _ in range(SCANS):
        assert httpx.get(link, timeout=60, trust_env=False).status_code == 200
        for form in ("code", "redeem"):  # without the cookie of the page, and without a code
            answer = httpx.post(f"{link}/{form}", data={}, timeout=60, trust_env=False)
            assert answer.status_code in {400, 429}
    with httpx.Client(timeout=60, trust_env=False) as scanner:
        scanner.get(link)
        answer = scanner.post(f"{link}/redeem", headers={"X-Forwarded-For": "192.0.2.200"})
        assert answer.status_code == 422
    with httpx.Client(timeout=60, trust_env=False) as browser:
        browser.get(link)
        headers = {"X-Forwarded-For": "192.0.2.201"}
        assert browser.post(f"{link}/code", headers=headers).status_code == 303
    mails = taking.home / "outside" / "mail"

    def codes() -> list[str]:
        texts = [file.read_text() for file in mails.glob("*.txt")]
        return [code for text in texts for code in re.findall(r"(?m)^ *(\d{6}) *$", text)]

    (code,) = taking.until(codes, "the code came", pause=SELDOM_SECONDS)
    return str(code)


def redeemed_once(taking: Served, link: str, code: str) -> None:
    """S6: of a hundred who redeem side by side one gets in, and afterwards the link is used."""
    page = httpx.get(link, timeout=60, trust_env=False)
    cookie = "; ".join(f"{name}={value}" for name, value in page.cookies.items())

    def redeem(number: int) -> str:
        answer = httpx.post(
            f"{link}/redeem", data={"code": code}, timeout=60, trust_env=False,
            headers={"Cookie": cookie, "X-Forwarded-For": f"192.0.2.{number}"},
        )  # fmt: skip
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        places = list(pool.map(redeem, range(REDEEMS)))
    assert places.count("/onboarding") == 1
    assert httpx.get(link, timeout=60, trust_env=False).status_code == 410
