"""Removals at a terminal: asked for, followed, decided on, and proved."""

from __future__ import annotations

import json
import re
from pathlib import Path

from control_plane.cli.errors import HIDDEN, REFUSED, UNAVAILABLE, USAGE
from control_plane.domain.actor import Role
from tests.unit.cli.terminal import Terminal
from tests.workflows.removed import BUCKET, approve, follow

ADMIN, OPS = Role.PLATFORM_ADMIN, Role.OPS_APPROVER
REASON = ("--reason", "the contract ended")
DIGEST = "sha256:" + "a" * 64


def ready(tenantctl: Terminal) -> str:
    """Return the slug of a dedicated tenant that is ready."""
    submitted = tenantctl.submit("B")
    tenantctl.world.work()
    tenantctl.world.approve(submitted["run_id"])
    return str(submitted["tenant"]["slug"])


def named(tenantctl: Terminal, slug: str) -> list[str]:
    """Return the options that name what is protected."""
    preview = tenantctl("tenant", "remove", slug, *REASON, "--dry-run", "--json", who=OPS).json
    return [word for name in preview["unprotect"] for word in ("--unprotect", name)]


def test_a_dry_run_names_what_is_lost_and_what_to_type(tenantctl: Terminal) -> None:
    slug = ready(tenantctl)
    shown = tenantctl("tenant", "remove", slug, *REASON, "--dry-run", who=OPS).out
    assert "What it encrypted cannot be read from then on." in shown
    assert f"to remove it: tenantctl tenant remove {slug} --unprotect key.data --reason" in shown
    tenantctl("tenant", "removal", slug, who=OPS, code=HIDDEN)  # nothing was stored
    held = ("tenant", "hold", slug, "--kind", "pause", "--reason", "wait")
    tenantctl(*held, who=OPS)
    assert "removal_on_hold" in tenantctl(
        "tenant", "remove", slug, *REASON, "--dry-run", who=OPS
    ).out  # fmt: skip


def test_a_removal_is_followed_from_its_request_to_its_certificate(
    tenantctl: Terminal, tmp_path: Path
) -> None:
    slug, world = ready(tenantctl), tenantctl.world
    world.engine.stores = (BUCKET,)
    request = ("tenant", "remove", slug, *REASON, *named(tenantctl, slug))
    refused = tenantctl("tenant", "remove", slug, *REASON, who=ADMIN, code=REFUSED)
    assert "name in `unprotect` exactly what it lists" in refused.err
    saga_id = tenantctl(*request, "--json", who=ADMIN).json["id"]
    follow(world)
    waits = tenantctl("tenant", "removal", slug, who=OPS).out
    assert "step 2 of 10" in waits
    assert "the acknowledgement of the export" in waits
    assert re.search("to continue.+tenantctl tenant acknowledge-export ten_.+ --manifest", waits)
    say = ("tenant", "acknowledge-export", slug, "--manifest", DIGEST, *REASON)
    assert "does not have the form" in tenantctl(*say, "--count", "3", who=OPS, code=USAGE).err
    tenantctl(*say, "--count", "data=2", who=OPS, code=REFUSED)
    assert "export_acknowledged" in tenantctl(*say, "--count", "data=3", who=OPS).out
    follow(world)
    approve(world, saga_id, "unprotect")
    approve(world, saga_id, "destroy")
    done = tenantctl("tenant", "removal", slug, who=OPS).out
    assert "kms:key" in done
    assert "step 10 of 10" in done
    file = tmp_path / "certificate.json"
    fetch = ("tenant", "certificate", slug, "--file", str(file))
    tenantctl(*fetch, who=OPS, code=UNAVAILABLE)  # no checkpoint covers it yet
    world.trail.note = "signed"
    assert "written to" in tenantctl(*fetch, who=OPS).out
    assert json.loads(file.read_text())["certificate"]["owner"]["slug"] == slug
    again = tenantctl(*request, who=ADMIN, code=REFUSED)
    assert "it was removed on" in again.err


def test_a_removal_that_is_stuck_is_retried_or_withdrawn(tenantctl: Terminal) -> None:
    slug, world = ready(tenantctl), tenantctl.world
    request = ("tenant", "remove", slug, *REASON, *named(tenantctl, slug), "--json")
    found = tenantctl(*request, who=ADMIN).json
    follow(world)
    steps = tenantctl("saga", "show", found["id"], "--json", who=OPS).json["steps"]
    (run_id,) = [step["run_id"] for step in steps if step["run_id"]]
    tenantctl("run", "cancel", run_id, who=OPS)
    follow(world)
    assert f"to retry: tenantctl saga retry {found['id']}" in tenantctl(
        "tenant", "removal", slug, who=OPS
    ).out  # fmt: skip
    tenantctl("saga", "retry", found["id"], who=OPS)
    follow(world)
    tenantctl("saga", "withdraw", found["id"], "--reason", "they stay", who=OPS)
    follow(world)
    shown = tenantctl("saga", "show", found["id"], "--json", who=OPS).json
    assert (shown["status"], shown["next_action"]) == ("undone", "Nothing: it has ended.")
    tenantctl("saga", "withdraw", found["id"], "--reason", "again", who=OPS, code=REFUSED)


def test_a_retention_date_is_set_with_its_zone(tenantctl: Terminal) -> None:
    slug = ready(tenantctl)
    until = ("tenant", "retain", slug, *REASON, "--until")
    assert "2033" in tenantctl(*until, "2033-01-01T00:00:00Z", who=OPS).out
    tenantctl(*until, "2033-01-01T00:00:00", who=OPS, code=USAGE)
    tenantctl(*until, "2032-01-01T00:00:00Z", who=OPS, code=USAGE)
    request = ("tenant", "remove", slug, *REASON, *named(tenantctl, slug))
    assert "is kept until" in tenantctl(*request, who=OPS, code=REFUSED).err
