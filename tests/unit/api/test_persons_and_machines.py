"""Who is a person: what is not shown to be one is a machine, however it is spelt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from api.claims import TokenRefused, TokenRules, actor_of
from control_plane.domain.actor import Actor, ActorKind, Role
from tests.unit.api.scene import Scene, is_problem

RULES: Final = TokenRules(issuer="https://idp.example", audience="tenantplane")
NOW: Final = 1_800_000_000
PERSON: Final[dict[str, Any]] = {
    "sub": "olga", "roles": ["ops_approver"], "tenants": ["*"], "amr": ["pwd", "mfa"],
    "auth_time": NOW,
}  # fmt: skip


def of(rules: TokenRules = RULES, **changes: Any) -> Actor:
    """Return the actor of Olga's claims with changes; None leaves a claim out."""
    claims = {name: value for name, value in {**PERSON, **changes}.items() if value is not None}
    return actor_of(claims, rules)


@pytest.mark.parametrize(
    "evidence",
    [
        {}, {"amr": None}, {"auth_time": None}, {"amr": "pwd"}, {"amr": ["hwk"], "auth_time": 0},
        {"client_id": "console"}, {"azp": "console", "gty": "authorization_code"},
        {"gty": ["refresh_token", "authorization_code"]}, {"idtyp": "user"},
        {"actor_kind": "user"},
    ],
    ids=str,
)  # fmt: skip
def test_who_is_shown_to_be_a_person_is_one(evidence: dict[str, Any]) -> None:
    actor = of(**evidence)
    assert (actor.id, actor.kind, actor.on_behalf_of) == ("olga", ActorKind.USER, None)
    assert actor.person == "olga"


MACHINES: Final[list[dict[str, Any]]] = [
    # nothing shows a person
    {"amr": None, "auth_time": None},
    {"amr": [], "auth_time": 0},
    {"amr": [""], "auth_time": False},
    {"amr": [7], "auth_time": True},
    {"amr": {}, "auth_time": "yesterday"},
    {"amr": "  ", "auth_time": -1},
    {"amr": None, "auth_time": None, "actor_kind": "user"},
    # kinds, spelt in any way but exactly that of a person
    *({"actor_kind": kind} for kind in (
        "service", "Service", "SERVICE", "machine", "bot", "app", "system", "User", "user ",
        "human", "", 1, True, ["user"], {"user": True},
    )),
    {"idtyp": "app"}, {"idtyp": "device"}, {"idtyp": 1},
    # the client is the subject
    *({name: "olga"} for name in ("client_id", "clientId", "azp", "appid", "cid")),
    {"client_id": "OLGA"},
    # grants without a person
    *({"gty": grant} for grant in (
        "client-credentials", "client_credentials", "CLIENT CREDENTIALS", "clientCredentials",
        "urn:ietf:params:oauth:grant-type:jwt-bearer", "apikey", "", [], 7,
        "urn:ietf:params:oauth:grant-type:token-exchange", ["client-credentials"],
        ["authorization_code", "client_credentials"],
    )),
    {"grant_type": "client_credentials"},
    {"grant_type": "urn:ibm:params:oauth:grant-type:apikey"},
    # accounts of programs
    {"sub": "abc@clients"}, {"sub": "system:serviceaccount:ci:deployer"},
    {"preferred_username": "service-account-crm"}, {"email": "x@p.iam.gserviceaccount.com"},
    # roles and delegation
    {"roles": ["automation"]}, {"roles": "ops_approver automation"},
    {"on_behalf_of": "rita"}, {"act": {"sub": "deploy-bot"}}, {"actort": "eyJ"},
    {"actor": {"sub": "deploy-bot"}},
]  # fmt: skip


@pytest.mark.parametrize("claims", MACHINES, ids=str)
def test_what_is_not_shown_to_be_a_person_is_a_machine(claims: dict[str, Any]) -> None:
    assert of(**claims).kind is ActorKind.SERVICE


def test_a_null_kind_is_no_persons_kind() -> None:
    assert actor_of({**PERSON, "actor_kind": None}, RULES).kind is ActorKind.SERVICE


@pytest.mark.parametrize(
    "act",
    [
        {"sub": "deploy-bot"},
        {"sub": "deploy-bot", "iss": "https://idp.example", "act": {"sub": "gateway"}},
        {"sub": "deploy-bot", "act": {"sub": "gateway", "act": {"sub": "olga"}}},
    ],
    ids=str,
)
def test_who_acts_is_the_outermost_act_and_for_whom_the_subject(act: dict[str, Any]) -> None:
    actor = of(act=act)
    assert actor.id == "deploy-bot"
    assert actor.kind is ActorKind.SERVICE
    assert (actor.on_behalf_of, actor.person) == ("olga", "olga")
    assert of(act=act, on_behalf_of="olga") == actor


@pytest.mark.parametrize(
    "act",
    [
        {}, [], "deploy-bot", 7, True, {"sub": ""}, {"sub": 7}, {"sub": "a\nb"},
        {"client_id": "deploy-bot"}, {"sub": "deploy-bot", "act": "x"},
        {"sub": "deploy-bot", "act": {}}, {"sub": "deploy-bot", "act": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_delegation_that_cannot_be_read_is_refused(act: Any) -> None:
    with pytest.raises(TokenRefused) as refused:
        of(act=act)
    assert refused.value.reason == "act"


def test_null_and_endless_delegation_and_two_persons_are_refused() -> None:
    endless: dict[str, Any] = {"sub": "bot"}
    for _ in range(20):
        endless = {"sub": "bot", "act": endless}
    for claims in ({"act": None}, {"act": endless}, {"act": {"sub": "b"}, "on_behalf_of": "rita"}):
        with pytest.raises(TokenRefused):
            actor_of({**PERSON, **claims}, RULES)


def test_other_evidence_can_be_configured() -> None:
    rules = replace(RULES, person_evidence=("acr", "employee"))
    assert of(rules).kind is ActorKind.SERVICE
    assert of(rules, acr="urn:mace:incommon:iap:silver").kind is ActorKind.USER
    assert of(rules, employee=1001).kind is ActorKind.USER
    for nothing in (None, "", "  ", 0, False, [], {}):
        assert of(rules, employee=nothing).kind is ActorKind.SERVICE


def test_two_accounts_with_one_employee_number_are_one_person() -> None:
    rules = replace(RULES, person_claim="employee_number")
    numbers: list[Any] = ["E1001", "e1001", " E1001 "]
    people = {of(rules, sub=f"ada-{n}", employee_number=number).person
              for n, number in enumerate(numbers)}  # fmt: skip
    assert len(people) == 1
    assert of(rules, employee_number=7).person == of(rules, employee_number="7").person
    assert of(rules, employee_number="E1002").person not in people
    assert {of(sub="ada").person, of(sub="ada-admin").person} == {"ada", "ada-admin"}
    assert of(sub="Ada").person != of(sub="ada").person  # subjects are compared to the letter


def test_an_account_whose_person_is_not_known_decides_nothing() -> None:
    rules = replace(RULES, person_claim="employee_number")
    for unknown in (None, "", "   ", True, 1.5, ["E1001"], {"n": 1}, "x" * 300, "a\x00b"):
        actor = of(rules, employee_number=unknown)
        assert (actor.kind, actor.person) == (ActorKind.SERVICE, "olga"), unknown


def test_a_delegated_token_bars_the_person_who_delegated() -> None:
    rules = replace(RULES, person_claim="employee_number")
    bot = of(rules, employee_number="E1001", act={"sub": "deploy-bot"})
    assert bot.person == of(rules, sub="ada-admin", employee_number="E1001").person
    assert of(rules, act={"sub": "deploy-bot"}).person == "olga"


def test_an_actor_is_its_own_person_unless_said_otherwise() -> None:
    actor = Actor(id="olga", kind=ActorKind.USER)
    assert actor.person == "olga"
    assert replace(actor, person="E1001").person == "E1001"


def test_delegated_and_unproven_approvers_decide_nothing(scene: Scene) -> None:
    issuer = scene.api.issuer
    for token in (
        issuer.mint("olga", roles=[Role.OPS_APPROVER], machine=True),
        issuer.mint("olga", roles=[Role.OPS_APPROVER], on_behalf_of="rita"),
    ):
        answer = scene.ask("POST", "/v1/approvals/{approval_id}/decisions", token)
        is_problem(answer, 403, "machine_may_not_decide")
    person = issuer.mint("olga", roles=[Role.OPS_APPROVER])
    assert scene.ask("POST", "/v1/approvals/{approval_id}/decisions", person).status_code < 300
