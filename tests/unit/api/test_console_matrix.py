"""Who may open which page and send which form: the same roles and tenants as in the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import httpx
import pytest
from fastapi.routing import APIRoute

from api.console.routers import CONSOLE
from api.console.visiting import mark_of
from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.console_session import read_session
from control_plane.services import console
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from tests.unit.api.scene import Scene
from tests.unit.api.test_permission_matrix import OPS, TABLE
from tests.unit.api.visitors import HERE, Visitor

Pair = tuple[str, str]
OTHER: Final = "ten_01JD3ZK4Q0V8X2M6N7P9R5T1WY"
PEOPLE: Final = [role for role in Role if role is not Role.AUTOMATION]

# each page with the route of the API whose rights it has; a page that is not here fails
PAGES: Final[dict[Pair, Pair]] = {
    ("GET", "/console/tenants"): ("GET", "/v1/tenants"),
    ("GET", "/console/tenants/{key}"): ("GET", "/v1/tenants/{key}/timeline"),
    ("GET", "/console/operations"): ("GET", "/v1/queue"),
    ("POST", "/console/operations/queue"): ("POST", "/v1/queue/resume"),
    ("POST", "/console/operations/messages/{message_id}"): (
        "POST", "/v1/messages/{message_id}/send-again",
    ),
    ("POST", "/console/operations/deliveries/{delivery_id}"): (
        "POST", "/v1/deliveries/{delivery_id}/decision",
    ),
    ("POST", "/console/runs/{run_id}/steering"): ("POST", "/v1/runs/{run_id}/retry"),
    ("GET", "/console/runs/{run_id}"): ("GET", "/v1/runs/{run_id}"),
    ("GET", "/console/runs/{run_id}/live"): ("GET", "/v1/runs/{run_id}/events"),
    ("GET", "/console/audit/{tree}"): ("GET", "/v1/tenants/{key}/audit/events"),
    ("GET", "/console/audit/{tree}/event"): ("GET", "/v1/tenants/{key}/audit/events"),
    ("GET", "/console/audit/{tree}/dossier"): ("GET", "/v1/audit/{tree}/dossier"),
    ("GET", "/console/approvals"): ("GET", "/v1/approvals"),
    ("GET", "/console/approvals/{approval_id}"): ("GET", "/v1/approvals/{approval_id}"),
    ("POST", "/console/approvals/{approval_id}/decision"): (
        "POST", "/v1/approvals/{approval_id}/decisions",
    ),
    ("POST", "/console/approvals/{approval_id}/withdrawal"): (
        "POST", "/v1/approvals/{approval_id}/withdrawal",
    ),
}  # fmt: skip
OF_EVERYBODY: Final[set[Pair]] = {  # who is signed in
    ("GET", "/console"),
    ("GET", "/console/audit"),  # a form; what else it shows is in test_console_audit.py
    ("GET", "/console/design"),
    ("GET", "/console/{rest:path}"),
}
SIGNING_IN: Final[set[Pair]] = {  # test_console_sign_in.py
    ("GET", "/console/sign-in"),
    ("GET", "/console/signed-in"),
    ("GET", "/console/signed-out"),
    ("GET", "/console/who"),
    ("POST", "/console/who"),
    ("POST", "/console/sign-out"),
}
# what each form asks for; of what exists none is possible now
ACTIONS: Final[dict[Pair, str]] = {
    ("POST", "/console/operations/queue"): "resume",
    ("POST", "/console/operations/messages/{message_id}"): "send_again",
    ("POST", "/console/operations/deliveries/{delivery_id}"): "accept_additional",
    ("POST", "/console/runs/{run_id}/steering"): "retry",
}
FORM: Final = [("verdict", "approve"), ("plan_digest", f"sha256:{'0' * 64}"), ("reason", "why")]


def _named(pair: Pair) -> str:
    return " ".join(pair)


def entered(scene: Scene, *roles: Role, tenants: tuple[str, ...] = ("*",)) -> Visitor:
    """Return somebody who is signed in, with a name that asked for nothing."""
    actor = Actor(
        id="matrix", kind=ActorKind.USER, roles=roles, tenants=tenants, person="matrix",
    )  # fmt: skip
    until = scene.world.clock.now() + timedelta(hours=1)
    caller = Caller(actor=actor, request_id="matrix", writes=True)
    visitor = Visitor(scene.api)
    visitor.cookies["console"] = perform(
        scene.world.core, caller, console.sign_in, actor, until=until
    )
    return visitor


def opened(scene: Scene, visitor: Visitor, pair: Pair, ids: dict[str, str]) -> httpx.Response:
    """Open a page, or send its form with the mark of the session."""
    method, path = pair[0], pair[1].format(**ids)
    if method == "GET":
        return visitor.ask("GET", path)
    session = read_session(visitor.cookies["console"])
    assert session is not None
    action = [("action", ACTIONS[pair])] if pair in ACTIONS else []
    fields = [*FORM, *action, ("csrf", mark_of(scene.api.shared, session[0]))]
    return visitor.ask("POST", path, fields=fields, headers=HERE)


def ids_of(scene: Scene, pair: Pair) -> dict[str, str]:
    """Return ids of what exists; a stream is asked of a run that has ended, or it would wait."""
    return {**scene.ids, **({"run_id": scene.slice_run_id} if pair[1].endswith("/live") else {})}


def test_every_page_is_in_the_table() -> None:
    routes = {
        (method, route.path)
        for router in CONSOLE
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    }
    assert routes == {*PAGES, *OF_EVERYBODY, *SIGNING_IN}


@pytest.mark.parametrize("pair", list(PAGES), ids=_named)
def test_a_page_is_open_to_the_roles_of_its_route(shown: Scene, pair: Pair) -> None:
    for role in PEOPLE:
        answer = opened(shown, entered(shown, role), pair, ids_of(shown, pair))
        if role in TABLE[PAGES[pair]]:
            assert answer.status_code not in {401, 403, 404, 422, 500}, (role, answer.text)
        else:
            assert answer.status_code == 403, (role, answer.text)


@pytest.mark.parametrize("pair", [p for p in PAGES if "{" in p[1]], ids=_named)
def test_another_tenants_pages_are_as_what_does_not_exist(shown: Scene, pair: Pair) -> None:
    for role in PEOPLE:
        visitor = entered(shown, role, tenants=(OTHER,))
        foreign = opened(shown, visitor, pair, ids_of(shown, pair))
        missing = opened(shown, visitor, pair, shown.missing)
        assert (foreign.status_code, foreign.text) == (missing.status_code, missing.text)
        assert foreign.status_code == (404 if role in TABLE[PAGES[pair]] else foreign.status_code)
        assert foreign.status_code in {403, 404}


@pytest.mark.parametrize("pair", [*PAGES, ("GET", "/console")], ids=_named)
def test_nobody_who_is_not_signed_in_gets_anything(shown: Scene, pair: Pair) -> None:
    path = pair[1].format(**ids_of(shown, pair))
    stranger = Visitor(shown.api)
    if pair[0] == "GET":
        answer = stranger.ask("GET", path)
        assert (answer.status_code, answer.text) == (303, "")
        assert answer.headers["location"].startswith("/console/sign-in?next=")
    else:
        answer = stranger.ask("POST", path, fields=FORM, headers=HERE)
        assert answer.status_code == 401
        assert "Nothing was done" in answer.text


@pytest.mark.parametrize("pair", [p for p in PAGES if p[0] == "POST"], ids=_named)
def test_a_form_from_elsewhere_or_without_its_mark_is_refused(shown: Scene, pair: Pair) -> None:
    visitor, path = entered(shown, OPS), pair[1].format(**shown.ids)
    foreign = visitor.ask("POST", path, fields=FORM, headers={"Sec-Fetch-Site": "cross-site"})
    unmarked = visitor.ask("POST", path, fields=FORM, headers=HERE)
    assert foreign.status_code == 403
    assert unmarked.status_code == 409


@pytest.mark.parametrize("path", ["/console/approvals?status=all", "/console/tenants"])
def test_lists_show_nothing_of_other_tenants(shown: Scene, path: str) -> None:
    for role in (Role.OPS_APPROVER, Role.AUDITOR):
        assert "<tbody>" in entered(shown, role).ask("GET", path).text
        assert "<tbody>" not in entered(shown, role, tenants=(OTHER,)).ask("GET", path).text
