"""``tenantctl demo``: the main job, end to end, on this machine, through the public API alone."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import typer

from control_plane.adapters.audit.verify import verify
from control_plane.bootstrap import SOURCE, Parts, read_settings
from control_plane.cli import demo_day0 as day0
from control_plane.cli import demo_life as life
from control_plane.cli import output
from control_plane.cli.approvals import show_risks
from control_plane.cli.client import ENDED, Api, download_link
from control_plane.cli.demo_dossier import export_and_verify
from control_plane.cli.demo_signing import enrolled_signer, sign
from control_plane.cli.inventory import tagged_resources
from control_plane.cli.plans import show_plan
from control_plane.cli.serving import EmbeddedInstallation
from control_plane.cli.signing import Signer
from control_plane.cli.telling import chapter, say
from control_plane.config import Settings
from control_plane.domain.actor import Role
from control_plane.domain.receipt import sample_receipt

HOME: Final = Path("var/demo")
# programs of this machine; nothing else of the environment reaches the demo
_OF_THE_MACHINE: Final = frozenset({"pulumi", "terraform", "terraform_mirror"})
REGION: Final = "eu-west-1"
CUSTOMER_ACCOUNT: Final = "210987654321"
COMPANIES: Final = {
    "A": ("Dainese S.p.A.", "dainese.com", "IT", "Europe/Rome"),
    "B": ("Straße & Söhne GmbH", "strasse-soehne.de", "DE", "Europe/Berlin"),
    "C": ("ØRSTED A/S", "orsted.dk", "DK", "Europe/Copenhagen"),
}
PEOPLE: Final = {
    "admin": ("ada", Role.PLATFORM_ADMIN),
    "ops": ("olga", Role.OPS_APPROVER),
    "more_ops": ("otto", Role.OPS_APPROVER),
    "automation": ("crm", Role.AUTOMATION),
    "architect": ("sam", Role.SOLUTIONS_ARCHITECT),
    "auditor": ("audrey", Role.AUDITOR),
}
_LEAST: Final = 30  # tagged resources of a dedicated Hub; the others have none, or what remains
_APPROVERS: Final = ("ops", "more_ops")  # as many of them as the approval rules want


def demo(*, keep: bool) -> None:
    """Build a Hub and one tenant of each mode, verify the audit logs, show what exists."""
    started, code = time.monotonic(), 0
    say("Starting everything (data under var/demo, wiped now and kept at the end)")
    with (
        tempfile.TemporaryDirectory(prefix="tenantplane-demo-") as folder,
        EmbeddedInstallation(
            demo_settings(day0.rules_with_account(SOURCE / "rules", Path(folder))),
            lambda line: say(f"  {line}"),
            from_scratch=True,
        ) as running,
    ):
        story = Demo(running)
        faults = story.tell()
        say(f"\nDone in {time.monotonic() - started:.0f} s")
        if keep:
            say(f"Everything is still running at {running.url}; Ctrl-C stops it")
            say(f"In a browser: {running.console_url()}")
            code = running.wait()
    say("Everything is stopped.")
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    raise typer.Exit(1 if faults else code)


def demo_settings(rules: Path) -> Settings:
    """Return the settings: nothing outside of this machine is used, whatever the environment says.

    The demo approves its own plans and fills its database. ``rules`` is the folder of its rules.
    """
    own = {
        name: field.default
        for name, field in Settings.model_fields.items()
        if name not in _OF_THE_MACHINE
    }
    given = {"home": HOME, "port": 0, "log_level": "warning", "rules_folder": rules}
    return read_settings(**own | given)


@dataclass
class Row:
    """A line of the closing table."""

    mode: str
    tenant: dict[str, Any]
    request: dict[str, Any]
    bundle: dict[str, Any] | None = None
    seconds: str = "-"  # from the request to ready


@dataclass
class Demo:
    """The story; ``faults`` are what did not come out as it must."""

    running: EmbeddedInstallation
    faults: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    signer: Signer | None = None  # what olga signs with, from mode B on

    def __post_init__(self) -> None:
        """Give each role its token, as an identity provider would."""
        parts = Parts(self.running.settings)
        self.parts = parts
        self.api = {
            name: Api(
                self.running.url,
                parts.embedded_issuer.mint(subject, roles=[role], machine=role is Role.AUTOMATION),
            )
            for name, (subject, role) in PEOPLE.items()
        }

    def tell(self) -> list[str]:
        """Do everything and return the faults."""
        with chapter("Hub: requested by ada (platform admin), approved by olga (operations)"):
            self._hub()
        with chapter("Three contracts are signed; DocuSign posts them, each with its signature"):
            key = day0.install_key(self.running.settings.home / "keys" / "intake")
            for mode in "ABC":
                self._sign(mode, key)
        with chapter("Mode A: a slice of the Hub, immediately"):
            self._follow(self.rows[0].request["run_id"])
            self._time(self.rows[0])
        with chapter("Day 0 of the A tenant: each step of the playbook, and who it waits for"):
            day0.show_journey(self, self.rows[0].tenant)
        with chapter("Mode B: olga reads the plan and approves exactly that plan"):
            folder = self.running.settings.home / "approvers"
            self.signer = enrolled_signer(folder, self.api["ops"], self.api["admin"])
            self.approve(self.rows[1].request["run_id"], shown=True)
            self._time(self.rows[1])
        with chapter("Mode C: sam (architect) adjusts, builds, rehearses and hands over"):
            self._bundle(self.rows[2])
            self._time(self.rows[2])
        with chapter("A change: the B tenant grows, and olga approves what that takes"):
            life.change(self, self.rows[1].tenant)
        with chapter("Drift: something is done behind the product's back, and found"):
            endpoint = self.running.environment["TENANTPLANE_SANDBOX_URL"]
            life.drift(self, self.rows[1].tenant, endpoint=endpoint, region=REGION)
        with chapter("Removal: the A tenant, approved by two people; boto3 looks for what is left"):
            life.remove(self, self.rows[0].tenant, endpoint=endpoint, region=REGION)
        with chapter("The messages that customers got"):
            day0.show_messages(self)
        with chapter("The audit logs are verified"):
            self._verify()
        with chapter("An auditor takes the log of the B tenant along, and verifies it alone"):
            self.faults += export_and_verify(self.api["auditor"], self.rows[1].tenant["id"])
        with chapter("What exists in the emulated cloud, queried with boto3"):
            self._table()
        return self.faults

    def _hub(self) -> None:
        hub = self.api["admin"].post("/v1/hubs", {"region": REGION, "cell": "c1", "capacity": 50})
        self.approve(hub["run_id"], shown=False)

    def approve(self, run_id: str, *, shown: bool) -> None:
        """Approve a run's plan, shown without its values, and follow it to its end."""
        ops = self.api["ops"]
        run = self.until(lambda: ops.get(f"/v1/runs/{run_id}"), {"awaiting_approval", *ENDED})
        if run["status"] != "awaiting_approval":
            self.fault(f"run {run_id} is {run['status']}: {run['error']}")
            return
        if shown:
            show_plan(ops.get(f"/v1/runs/{run_id}/plan"), brief=True)
        approval = ops.get(f"/v1/approvals/{run['approval_id']}")
        show_risks(approval["risks"])
        decision: dict[str, Any] = {
            "decision": "approve",
            "plan_digest": approval["plan_digest"],
            "reason": "read it line by line",
            "acknowledge": [each["urn"] for each in approval["irreversible"]],
        }
        for role in _APPROVERS[: approval["needed"]]:
            digest, summary = approval["plan_digest"], output.text(approval["summary"])
            say(f"  {PEOPLE[role][0]} approves {digest}  ({summary})")
            api, given = self.api[role], decision
            if role == "ops" and self.signer is not None:
                given = sign(self.signer, api, approval, decision)
            api.post(f"/v1/approvals/{approval['id']}/decisions", given)
        self._follow(run_id)

    def _sign(self, mode: str, key: bytes) -> None:
        payload = day0.envelope(mode, COMPANIES[mode], REGION)
        found = day0.deliver(self, key, payload)
        tenant = found["tenant"]
        self.rows.append(Row(mode=mode, tenant=tenant, request=found))
        say(f"  {COMPANIES[mode][0]} → {tenant['slug']}, mode {tenant['mode']}, {tenant['status']}")

    def _follow(self, run_id: str) -> None:
        """Print a run's progress to its end."""
        made = 0
        for event in self.api["ops"].events(run_id):
            body = event["body"]
            if event["kind"] == "resource" and body.get("phase") == "apply":
                made += body.get("status") == "done"
                if made and made % 20 == 0 and body.get("status") == "done":
                    say(f"    {made} resources done")
            elif event["kind"] == "status":
                say(f"  {output.event(event)}")
        run = self.api["ops"].get(f"/v1/runs/{run_id}")
        if run["status"] != "applied":
            self.fault(f"run {run_id} ended {run['status']}: {run['error']}")
        for check in run["checks"]:
            say(f"    {'ok  ' if check['ok'] else 'FAIL'} {check['name']}")

    def _bundle(self, row: Row) -> None:
        architect, bundle_id = self.api["architect"], row.request["bundle_id"]
        architect.post(f"/v1/bundles/{bundle_id}/accept")
        architect.patch(
            f"/v1/bundles/{bundle_id}",
            {"inputs": {"account_id": CUSTOMER_ACCOUNT}},
        )
        say(f"  sam accepted {bundle_id} and filled in the customer's account {CUSTOMER_ACCOUNT}")
        architect.post(f"/v1/bundles/{bundle_id}/build")
        told = output.Checks()

        def look() -> dict[str, Any]:
            found: dict[str, Any] = architect.get(f"/v1/bundles/{bundle_id}")
            told.tell(found["checks"])
            return found

        bundle = self.until(look, {"built", "build_failed"})
        if bundle["status"] != "built":
            self.fault(f"the bundle is {bundle['status']}: {bundle['error']}")
            return
        if bundle["rehearsal"] == "none":
            say("  SKIPPED: hand-over, since Terraform is not installed here to rehearse with")
            row.bundle = bundle
            return
        given = architect.post(
            f"/v1/bundles/{bundle_id}/hand-over",
            {"recipient_name": "Mette Secure", "recipient_email": "mette@orsted.dk"},
        )
        size = len(download_link(given["download_url"]).content)
        say(f"  handed over {bundle['archive_name']}, downloaded by link: {size} bytes")
        receipt = sample_receipt(bundle["inputs"], bundle["content_digest"])
        architect.post(f"/v1/bundles/{bundle_id}/receipts", {"receipt": receipt})
        say("  the customer's receipt is registered (the customer's apply is not part of the demo)")
        row.bundle = architect.get(f"/v1/bundles/{bundle_id}")

    def _time(self, row: Row) -> None:
        tenant = self.api["automation"].get(f"/v1/tenants/{row.tenant['id']}")
        if tenant["status"] == "ready":
            begun = datetime.fromisoformat(row.request["created_at"])
            ended = datetime.fromisoformat(tenant["updated_at"])
            row.seconds = f"{(ended - begun).total_seconds():.1f}"

    def _verify(self) -> None:
        trees = ["platform", *(row.tenant["id"] for row in self.rows)]
        settings = {
            name: value
            for name, value in self.running.environment.items()
            if "DATABASE_AUDITOR" in name
        }
        (url,) = settings.values()
        engine = Parts(
            self.running.settings.model_copy(update={"database_auditor_url": _secret(url)})
        ).auditor_engine
        for row in self.rows:  # as an auditor does; each read is logged too
            self.api["auditor"].get(f"/v1/tenants/{row.tenant['id']}/audit/events", limit=1)
        time.sleep(0.4)  # what was written last is in the logs after a moment
        report = verify(engine, host=self.running.settings.audit_host, trees=trees)
        self.entries = {tree.tree: tree.entries for tree in report.trees}
        for tree in report.trees:
            say(f"  {'ok  ' if tree.is_ok else 'FAIL'} {tree.tree}  {tree.entries} entries")
            self.faults += [f"{tree.tree}: {f.verdict} {f.detail}" for f in tree.findings]
        engine.dispose()

    def _table(self) -> None:
        endpoint = self.running.environment["TENANTPLANE_SANDBOX_URL"]
        lines = []
        for row in self.rows:
            tenant = self.api["automation"].get(f"/v1/tenants/{row.tenant['id']}")
            found = tagged_resources(endpoint, REGION, tenant["slug"])
            lines.append(
                {
                    "tenant": tenant["slug"],
                    "mode": row.mode,
                    "status": tenant["status"],
                    "seconds to ready": row.seconds,
                    "resources": len(found),
                    "audit entries": self.entries[tenant["id"]],
                }
            )
            self._judge(row, tenant, found)
        output.table(lines, as_json=False, fields=tuple(lines[0]), empty="")

    def _judge(self, row: Row, tenant: dict[str, Any], found: list[str]) -> None:
        rehearsed = row.bundle is None or row.bundle["rehearsal"] != "none"
        wanted = "deprovisioned" if row.mode == "A" else "ready"
        if tenant["status"] != wanted and rehearsed:
            self.fault(f"{tenant['slug']} is {tenant['status']}")
        if (len(found) < _LEAST) is (row.mode == "B"):
            self.fault(f"{tenant['slug']} has {len(found)} tagged resources in the cloud")

    def until(self, look: Callable[[], dict[str, Any]], wanted: set[str]) -> dict[str, Any]:
        """Ask until what is found is in a wanted status, and return it; a fault after minutes."""
        deadline = time.monotonic() + 300
        while True:
            found = look()
            if found["status"] in wanted:
                return found
            if time.monotonic() > deadline:
                self.fault(f"{found['id']} is still {found['status']} after five minutes")
                return found
            time.sleep(0.2)

    def fault(self, text: str) -> None:
        """Print and keep what did not come out as it must."""
        say(f"  FAULT: {text}")
        self.faults.append(text)


def _secret(url: str) -> Any:
    from pydantic import SecretStr  # noqa: PLC0415 - the settings' type

    return SecretStr(url)
