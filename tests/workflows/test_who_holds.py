"""Who places a hold, who releases it, and what is kept of both."""

from __future__ import annotations

from typing import Any, Final

import pytest

from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.errors import (
    DomainError,
    IllegalTransition,
    InvalidInput,
    NeedsAnotherPerson,
    NotAllowed,
    NotFound,
)
from control_plane.domain.hold import BY_ANOTHER, Applying, HoldKind
from control_plane.services import holds, tenants
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from tests.workflows.held import place, release, waiting
from tests.world import ADMIN, AUTOMATION, OPS, World, machine, person

PAUSE, LEGAL = HoldKind.PAUSE, HoldKind.LEGAL
PETRA: Final = person("petra", Role.OPS_APPROVER)
ALMA: Final = person("alma", Role.PLATFORM_ADMIN)


def refused(world: World, error: type[DomainError], act: Any, /, *args: Any, **given: Any) -> Any:
    """Expect a refusal that leaves one event and changes nothing."""
    rows, known = world.storage.everything(), len(world.events())
    with pytest.raises(error) as caught:
        act(*args, **given)
    assert world.storage.everything() == rows
    assert [event.stage for event in world.events()[known:]] == ["denied"]
    return caught.value


@pytest.mark.parametrize("kind", HoldKind)
def test_operators_place_every_kind_and_nobody_else_any(world: World, kind: HoldKind) -> None:
    tenant_id = world.submit("B").tenant.id
    for role in Role:
        who = person("wanda", role)
        if role in {Role.OPS_APPROVER, Role.PLATFORM_ADMIN}:
            assert place(world, tenant_id, kind, who).stands
        else:
            refused(world, NotAllowed, place, world, tenant_id, kind, who)


@pytest.mark.requirement("K-062")
@pytest.mark.parametrize("kind", sorted(BY_ANOTHER))
def test_a_legal_or_compliance_hold_is_released_by_another_person_who_is_an_admin(
    world: World, kind: HoldKind
) -> None:
    tenant_id = world.submit("B").tenant.id
    hold = place(world, tenant_id, kind, ADMIN)
    refused(world, NotAllowed, release, world, hold, OPS)
    refused(world, NeedsAnotherPerson, release, world, hold, ADMIN)
    robot = machine("robot", Role.PLATFORM_ADMIN)
    refused(world, NeedsAnotherPerson, release, world, hold, robot)
    other_account = Caller(actor=Actor(
        id="ada-2", kind=ActorKind.USER, roles=(Role.PLATFORM_ADMIN,), tenants=("*",), person="ada"
    ))  # fmt: skip
    refused(world, NeedsAnotherPerson, release, world, hold, other_account)
    offered = {who.actor.id: holds.allowed_actions(hold, who.actor)
               for who in (ADMIN, OPS, robot, other_account, ALMA)}  # fmt: skip
    assert offered == {"ada": [], "olga": [], "robot": [], "ada-2": [], "alma": ["release"]}
    assert release(world, hold, ALMA).released_by == "alma"


def test_the_person_for_whom_a_machine_placed_a_hold_does_not_release_it(world: World) -> None:
    tenant_id = world.submit("B").tenant.id
    robot = machine("robot", Role.OPS_APPROVER, on_behalf_of="ada")
    hold = place(world, tenant_id, LEGAL, robot)
    refused(world, NeedsAnotherPerson, release, world, hold, ADMIN)
    release(world, hold, ALMA)


@pytest.mark.parametrize("kind", sorted(set(HoldKind) - BY_ANOTHER))
def test_another_hold_is_released_by_any_operator_also_its_placer(
    world: World, kind: HoldKind
) -> None:
    tenant_id = world.submit("B").tenant.id
    for who in (OPS, ADMIN):
        hold = place(world, tenant_id, kind, OPS)
        assert holds.allowed_actions(hold, who.actor) == ["release"]
        release(world, hold, who)


def test_a_hold_is_released_once(world: World) -> None:
    hold = place(world, world.submit("B").tenant.id)
    released = release(world, hold)
    again = refused(world, IllegalTransition, release, world, hold, PETRA)
    assert again.message == "this hold was released by olga"
    assert holds.allowed_actions(released, OPS.actor) == []


def test_what_does_not_exist_or_is_not_visible_is_not_held(world: World) -> None:
    tenant_id, other = world.submit("B").tenant.id, world.submit("B", 2).tenant.id
    hold = place(world, tenant_id)
    blind = person("olga", Role.OPS_APPROVER, tenants=(other,))
    for key, who in ((tenant_id, blind), ("ten_none", OPS), ("no-such-slug", OPS)):
        with pytest.raises(NotFound):
            place(world, key, who=who)
        with pytest.raises(NotFound):
            perform(world.core, who, holds.holds_on_tenant, key)
    for hold_id, who in ((hold.id, blind), ("hld_none", OPS)):
        with pytest.raises(NotFound):
            perform(world.core, who, holds.release_hold, hold_id, reason="mine")
        with pytest.raises(NotFound):
            perform(world.core, who, holds.get_hold, hold_id)
    with pytest.raises(NotFound):
        perform(world.core, OPS, holds.place_on_hub, "hub_none", kind=PAUSE, reason="mine")
    assert len(world.rows("hold")) == 1


@pytest.mark.parametrize("reason", ["", "  "])
def test_placing_and_releasing_take_a_reason(world: World, reason: str) -> None:
    tenant_id = world.submit("B").tenant.id
    refused(
        world, InvalidInput, perform, world.core, OPS, holds.place_on_tenant, tenant_id,
        kind=PAUSE, reason=reason,
    )  # fmt: skip
    hold = place(world, tenant_id)
    refused(world, InvalidInput, perform, world.core, OPS, holds.release_hold, hold.id,
            reason=reason)  # fmt: skip


def test_the_reason_is_personal_in_the_log_and_no_part_of_a_run_s_error(world: World) -> None:
    run = waiting(world)
    hold = place(world, run.tenant_id, LEGAL, applying=Applying.STOPS)
    world.approve(run.id)
    release(world, hold, ADMIN)
    (placed,) = [event for event in world.events() if event.action == "hold.placed"]
    (freed,) = [event for event in world.events() if event.action == "hold.released"]
    assert placed.tree == freed.tree == run.tenant_id
    assert placed.targets == freed.targets == [("tenant", run.tenant_id), ("hold", hold.id)]
    assert (placed.data["kind"], placed.data["applying"]) == ("legal", "stops")
    assert (freed.data["kind"], freed.data["standing"]) == ("legal", 0)
    assert placed.personal == {"reason": "somebody asked for it"}
    assert freed.personal == {"reason": "it is settled"}
    (blocked,) = [event for event in world.events() if event.action == "run.blocked"]
    assert (blocked.data["blocked_on"], blocked.data["next_action"]) == ("hold", "wait")
    assert "somebody asked" not in str(world.rows("run"))


def test_holds_stay_in_the_list_when_they_are_released(world: World) -> None:
    tenant_id = world.submit("B").tenant.id
    first, second = place(world, tenant_id), place(world, tenant_id, LEGAL)
    release(world, first)
    found = perform(world.core, AUTOMATION, holds.holds_on_tenant, tenant_id)
    assert [(each.id, each.stands) for each in found] == [(first.id, False), (second.id, True)]
    shown = world.tenant(tenant_id)
    assert shown.hold
    offered = {who.actor.id: "hold" in tenants.allowed_actions(shown, who.actor)
               for who in (OPS, ADMIN, AUTOMATION)}  # fmt: skip
    assert offered == {"olga": True, "ada": True, "crm": False}
