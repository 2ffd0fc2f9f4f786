"""Looks at sources at a terminal: asked for, what they found, settled."""

from __future__ import annotations

from control_plane.cli.errors import HIDDEN
from control_plane.domain.actor import Role
from tests.entities import Entities
from tests.scripted_provider import ScriptedProvider, asking
from tests.unit.cli.terminal import Terminal

OPS = Role.OPS_APPROVER


def test_a_source_is_asked_and_what_differs_is_listed_and_settled(tenantctl: Terminal) -> None:
    world = tenantctl.world
    world.core = asking(world.core, ScriptedProvider(), world.clock.now())
    tenantctl.server.app.state.shared = tenantctl.server.shared(world)
    assert "tenantctl intake findings" in tenantctl("intake", "look", "docusign", who=OPS).out
    assert tenantctl("intake", "look", "docusign", "--json", who=OPS).json["source"] == "docusign"
    tenantctl("intake", "look", "signing", who=OPS, code=HIDDEN)
    assert tenantctl("intake", "findings", who=OPS).out == "no findings\n"
    finding = Entities().intake_finding()
    with world.core.uow() as uow:
        uow.intake_findings.add(finding)
        uow.commit()
    listed = tenantctl("intake", "findings", "--status", "open", who=OPS).out
    assert "missing_there" in listed
    assert "tenantctl intake settle ID" in listed
    settled = tenantctl(
        "intake", "settle", finding.id, "--reason", "clarified", "--json", who=OPS
    ).json
    assert (settled["status"], settled["reason"]) == ("settled", "clarified")
