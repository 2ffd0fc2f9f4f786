"""The mode resolver: a golden table over the shipped rules, and its properties."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from control_plane.adapters.rules.loader import load_rules
from control_plane.domain.errors import InvalidInput, ModeConflict, UnknownRegion
from control_plane.domain.facts import STATED_FACTS, Facts, Subscription
from control_plane.domain.mode import ModeDecision, Outcome, confirm, resolve
from control_plane.domain.mode_rules import Mode
from control_plane.domain.residency import Residency, Zone, place

RULES_FOLDER = Path(__file__).parents[2] / "rules"
A, B, C = Mode.A, Mode.B, Mode.C
LITE, STANDARD, ENTERPRISE = Subscription.LITE, Subscription.STANDARD, Subscription.ENTERPRISE
RESOLVED, CONFLICT, REVIEW = Outcome.RESOLVED, Outcome.MODE_CONFLICT, Outcome.NEEDS_REVIEW

EU = Residency(zone="eu")
EU_STRICT = Residency(zone="eu", strict=True)
BRAZIL = Residency(zone="br")
MILAN_STRICT = Residency(zone="eu", regions=("eu-south-1",), strict=True)
MILAN_PREFERRED = Residency(zone="eu", regions=("eu-south-1",))


@cache
def rules():
    return load_rules(RULES_FOLDER)


def facts(subscription: Subscription = ENTERPRISE, **stated: Any) -> Facts:
    return Facts(subscription=subscription, **stated)


def decided(**stated: Any) -> ModeDecision:
    return resolve(facts(**stated), rules().mode)


@dataclass(frozen=True)
class Row:
    """A name, what it leads to, rules that must be among the reasons, the region, the facts.

    ``expected`` is ``B>=A`` for mode B where A is required at least; ``conflict`` and ``review``
    stand for the other outcomes.
    """

    name: str
    expected: str
    fires: str
    region: str | None
    stated: dict[str, Any]


def row(name: str, expected: str, fires: str, region: str | None = None, **stated: Any) -> Row:
    return Row(name, expected, fires, region, stated)


def regions(*names: str, zone: str | None = None, strict: bool = False) -> Residency:
    return Residency(zone=zone, regions=names, strict=strict)


OWN_CLOUD = {"data_must_stay_in_customer_cloud": True}
OWN_KEY = {"customer_managed_key": True}
BANK = {"regulated_sector": "banking"}
SHORT = "bought_below_required"
DIFFERS = "request_differs"

GOLDEN = (
    # the examples of the rules' text
    row("nothing bought, nothing required", "A>=A", "M9", "eu-west-1"),
    row("required A, bought A", "A>=A", "M9", contract_mode=A),
    row("required A, bought B", "B>=A", "M9", contract_mode=B),
    row("required A, bought C", "C>=A", "M9", contract_mode=C),
    row("required B, bought A", "conflict>=B", f"M4 {SHORT}", contract_mode=A, **OWN_KEY),
    row("required B, bought B", "B>=B", "M4", contract_mode=B, **OWN_KEY),
    row("required B, bought C", "C>=B", "M4", contract_mode=C, **OWN_KEY),
    row("bought A, requested C", "conflict>=A", DIFFERS, contract_mode=A, requested_mode=C),
    row("bought C, requested A", "conflict>=A", DIFFERS, contract_mode=C, requested_mode=A),
    row("bought B, requested B", "B>=A", "M9", contract_mode=B, requested_mode=B),
    row("requested B, nothing bought", "B>=A", "M9", requested_mode=B),
    row("requested A, required B", "conflict>=B", f"M4 {SHORT}", requested_mode=A, **OWN_KEY),
    row(
        "a request with everything", "B>=B", "M5 M6 M7 M8", "eu-west-1", contract_mode=B, seats=475,
        sla_uptime_min="99.9", dedicated_network=True,
        residency=regions("eu-west-1", zone="eu", strict=True),
    ),
    # M1
    row("M1 alone", "C>=C", "M1", "eu-west-1", **OWN_CLOUD),
    row("M1, bought B", "conflict>=C", f"M1 {SHORT}", contract_mode=B, **OWN_CLOUD),
    row("M1, bought C", "C>=C", "M1", contract_mode=C, **OWN_CLOUD),
    row("M1 outweighs M4", "C>=C", "M1 M4", **OWN_CLOUD, **OWN_KEY),
    # M2
    row("M2 sector", "C>=C", "M2", **BANK),
    row("M2 sector in other spelling", "C>=C", "M2", regulated_sector=" Public  Sector "),
    row("M2 framework", "C>=C", "M2", sovereignty_framework="SecNumCloud"),
    row("M2 framework with a hyphen", "C>=C", "M2", sovereignty_framework="FedRAMP-High"),
    row("M2, contract says A", "review>=C", "M2", contract_mode=A, **BANK),
    row("M2, contract says B", "review>=C", "M2", contract_mode=B, **BANK),
    row("M2, contract says C", "C>=C", "M2", contract_mode=C, **BANK),
    row("M2, only requested B", "conflict>=C", f"M2 {SHORT}", requested_mode=B, **BANK),
    row("M4 and M2, bought A", "conflict>=C", f"M4 {SHORT}", contract_mode=A, **BANK, **OWN_KEY),
    row("M4 beside M2, bought B", "review>=C", "M2 M4", contract_mode=B, **BANK, **OWN_KEY),
    row("M2, a sector nobody listed", "review>=A", "M2", regulated_sector="gardening"),
    row("M2, a framework nobody listed", "review>=A", "M2", sovereignty_framework="unheard of"),
    # M3
    row("M3 zone not offered", "C>=C", "M3", "sa-east-1", residency=BRAZIL),
    row("M3, bought B", "conflict>=C", f"M3 {SHORT}", residency=BRAZIL, contract_mode=B),
    row("M3 strict, region not offered", "C>=C", "M3", "eu-south-1", residency=MILAN_STRICT),
    row("M3 not for a preference", "A>=A", "M9", "eu-west-1", residency=MILAN_PREFERRED),
    row("M3 zone offered", "A>=A", "M9", "eu-west-1", residency=EU),
    row("M3 by region alone", "C>=C", "M3", "sa-east-1", residency=regions("sa-east-1")),
    row("another zone than the default", "A>=A", "M9", "us-west-2", residency=regions("us-west-2")),
    row("a preferred region", "A>=A", "M9", "eu-central-1", residency=regions("eu-central-1")),
    row("C where no Hub is", "C>=C", "M3", "eu-south-1", contract_mode=C, residency=MILAN_STRICT),
    # M4, M5
    row("M4", "B>=B", "M4", **OWN_KEY),
    row("M5 network", "B>=B", "M5", dedicated_network=True),
    row("M5 allowed addresses", "B>=B", "M5", ip_allow_list=("192.0.2.0/24",)),
    row("M5 empty list", "A>=A", "M9", ip_allow_list=()),
    # M6
    row("M6 strict zone", "B>=B", "M6", "eu-west-1", residency=EU_STRICT),
    row("M6, bought A", "conflict>=B", f"M6 {SHORT}", residency=EU_STRICT, contract_mode=A),
    row(
        "M6 strict region", "B>=B", "M6", "eu-central-1",
        residency=regions("eu-central-1", strict=True),
    ),
    row(
        "M6 strict, first region not offered", "B>=B", "M6", "eu-central-1",
        residency=regions("eu-south-1", "eu-central-1", strict=True),
    ),
    # M7
    row("M7 phone", "B>=B", "M7", phone_sev1=True),
    row("M7 99.5 is what A promises", "A>=A", "M9", sla_uptime_min="99.5"),
    row("M7 99.50 is 99.5", "A>=A", "M9", sla_uptime_min="99.50"),
    row("M7 99.51", "B>=B", "M7", sla_uptime_min="99.51"),
    row("M7 99.9", "B>=B", "M7", sla_uptime_min="99.9"),
    row("M7 100", "B>=B", "M7", sla_uptime_min="100"),
    # M8
    row("M8 no seats", "A>=A", "M9", seats=0),
    row("M8 199 seats", "A>=A", "M9", seats=199),
    row("M8 200 seats", "B>=B", "M8", seats=200),
    row("M8 200 seats, bought A", "conflict>=B", f"M8 {SHORT}", seats=200, contract_mode=A),
    row("M8 5000 seats", "B>=B", "M8", seats=5000),
    row("M8 5001 seats", "review>=B", "M8", seats=5001),
    row("M8 5001 seats, bought C", "review>=B", "M8", seats=5001, contract_mode=C),
    row("M8, the conflict is firmer", "conflict>=B", f"M8 {SHORT}", seats=5001, contract_mode=A),
    # M10
    row("M10 lite", "A>=A", "M9", subscription=LITE),
    row("M10 lite, required B", "conflict>=B", "M8 M10", subscription=LITE, seats=300),
    row("M10 lite, required C", "conflict>=C", "M2 M10", subscription=LITE, **BANK),
    row("M10 lite, bought B", "conflict>=A", "M10", subscription=LITE, contract_mode=B),
    row("M10 lite, requested B", "conflict>=A", "M10", subscription=LITE, requested_mode=B),
    row("M10 standard, required B", "B>=B", "M8", subscription=STANDARD, seats=300),
    # M11
    row("M11 aws", "A>=A", "M9", cloud="aws"),
    row("M11 azure", "conflict>=A", "M11", cloud="azure"),
    row("M11 gcp, bought C", "conflict>=A", "M11", cloud="gcp", contract_mode=C),
    row("M11 other", "conflict>=C", "M1 M11", cloud="other", **OWN_CLOUD),
    row("M11 another partition", "conflict>=C", "M3 M11", residency=Residency(zone="cn")),
    row("M11 government", "conflict>=C", "M3 M11", residency=regions("us-gov-west-1")),
    # a tenant that runs already
    row("stays in its mode", "B>=A", "M9", current_mode=B, contract_mode=B),
    row("goes up", "B>=A", "M9", current_mode=A, contract_mode=B),
    row("never down", "conflict>=A", "below_current_mode", current_mode=B, contract_mode=A),
    row("not even when nothing is bought", "conflict>=A", "below_current_mode", current_mode=C),
    row("a segment decides nothing", "A>=A", "M9", segment="enterprise"),
)  # fmt: skip


@pytest.mark.requirement("K-013")
@pytest.mark.parametrize("row", GOLDEN, ids=[row.name for row in GOLDEN])
def test_the_golden_table(row):
    decision = decided(**row.stated)
    words = {CONFLICT: "conflict", REVIEW: "review"}
    found = words.get(decision.outcome, decision.mode)
    assert f"{found}>={decision.required_min}" == row.expected
    assert set(row.fires.split()) <= {each.rule for each in decision.fired}
    if row.region is not None:
        assert decision.region == row.region
    assert (decision.region is not None) is (decision.outcome is RESOLVED)


def test_the_golden_table_is_large_enough_and_meets_every_rule():
    assert len({row.name for row in GOLDEN}) == len(GOLDEN) >= 60
    fired = {name for row in GOLDEN for name in row.fires.split()}
    assert {f"M{number}" for number in range(1, 12)} <= fired


# --- properties ------------------------------------------------------------------------------
REGION_NAMES = ("eu-west-1", "eu-central-1", "eu-south-1", "us-east-1", "sa-east-1", "cn-north-1")
HOMES = {"eu-west-1": "eu", "eu-central-1": "eu", "eu-south-1": "eu", "us-east-1": "us",
         "sa-east-1": "br", "cn-north-1": "cn"}  # fmt: skip


@st.composite
def residencies(draw):
    zone = draw(st.sampled_from(["eu", "us", "br", "ch", "cn"]))
    inside = [name for name in REGION_NAMES if HOMES[name] == zone]
    listed = draw(st.lists(st.sampled_from(inside), unique=True)) if inside else []
    return Residency(zone=zone, regions=tuple(listed), strict=draw(st.booleans()))


modes = st.none() | st.sampled_from(Mode)
words = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=5)
any_facts = st.builds(
    Facts,
    subscription=st.sampled_from(Subscription),
    requested_mode=modes,
    contract_mode=modes,
    current_mode=modes,
    seats=st.none() | st.integers(0, 10_000),
    segment=st.none() | words,
    residency=st.none() | residencies(),
    regulated_sector=st.none() | st.sampled_from(["banking", "gardening"]) | words,
    sovereignty_framework=st.none() | st.sampled_from(["c5", "unheard of"]),
    data_must_stay_in_customer_cloud=st.booleans(),
    customer_managed_key=st.booleans(),
    dedicated_network=st.booleans(),
    ip_allow_list=st.lists(st.just("192.0.2.0/24"), max_size=1).map(tuple),
    sla_uptime_min=st.none() | st.sampled_from(["0", "99", "99.5", "99.51", "99.99", "100"]),
    phone_sev1=st.booleans(),
    cloud=st.none() | st.sampled_from(["aws", "azure", "gcp", "other"]),
)
SEVERITY = (RESOLVED, REVIEW, CONFLICT)
unhurried = settings(deadline=None)  # how long an example takes says nothing about the rules


@unhurried
@given(any_facts)
def test_every_combination_of_facts_has_a_decision_with_a_reason(stated):
    decision = resolve(stated, rules().mode)
    assert len(decision.fired) >= 1
    assert all(each.sentence for each in decision.fired)
    assert decision.summary
    assert (decision.mode is not None) is (decision.outcome is RESOLVED)
    assert (decision.region is not None) is (decision.outcome is RESOLVED)
    if decision.mode is not None:
        assert decision.mode >= decision.required_min
        assert decision.region in decision.placement.allowed


@unhurried
@given(any_facts)
def test_the_same_facts_have_the_same_digests_and_the_same_decision(stated):
    one, other = resolve(stated, rules().mode), resolve(replace(stated), rules().mode)
    assert one == other
    assert one.to_document() == other.to_document()


@unhurried
@given(any_facts)
def test_facts_survive_the_way_through_json(stated):
    assert Facts.from_document(stated.to_document()) == stated


@unhurried
@given(any_facts, st.randoms(use_true_random=False))
def test_the_order_of_the_rules_does_not_matter(stated, random):
    order = list(rules().mode.rules)
    random.shuffle(order)
    shuffled = resolve(stated, replace(rules().mode, rules=tuple(order)))
    decision = resolve(stated, rules().mode)
    assert (shuffled.outcome, shuffled.mode, shuffled.required_min, shuffled.region) == (
        decision.outcome, decision.mode, decision.required_min, decision.region,
    )  # fmt: skip
    assert sorted(map(str, shuffled.fired)) == sorted(map(str, decision.fired))


NOTHING_STATED = facts()
CONSTRAINTS = (
    {"data_must_stay_in_customer_cloud": True},
    {"regulated_sector": "banking"},
    {"sovereignty_framework": "c5"},
    {"customer_managed_key": True},
    {"dedicated_network": True},
    {"ip_allow_list": ("192.0.2.0/24",)},
    {"sla_uptime_min": "99.99"},
    {"phone_sev1": True},
    {"seats": 10_000},
)


@unhurried
@given(any_facts, st.sampled_from(CONSTRAINTS))
def test_a_further_constraint_never_lowers_the_mode_and_never_clears_a_conflict(stated, more):
    unstated = {name: getattr(NOTHING_STATED, name) for name in more}
    # no current mode: a way up may be what clears a conflict about a way down
    stated = replace(stated, current_mode=None, **unstated)
    before, after = resolve(stated, rules().mode), resolve(replace(stated, **more), rules().mode)
    assert after.required_min >= before.required_min
    assert SEVERITY.index(after.outcome) >= SEVERITY.index(before.outcome)
    if before.mode and after.mode:
        assert after.mode >= before.mode


@unhurried
@given(any_facts, residencies())
def test_a_stricter_residency_never_lowers_the_mode(stated, residency):
    before, after = (
        resolve(replace(stated, residency=replace(residency, strict=strict)), rules().mode)
        for strict in (False, True)
    )
    assert after.required_min >= before.required_min


@unhurried
@given(any_facts, any_facts)
def test_different_facts_have_different_input_digests(one, other):
    assume(one != other)
    first, second = resolve(one, rules().mode), resolve(other, rules().mode)
    assert first.input_digest != second.input_digest


@unhurried
@given(any_facts)
def test_a_review_is_confirmed_in_the_bought_mode_and_a_conflict_is_not(stated):
    decision = resolve(stated, rules().mode)
    if decision.outcome is CONFLICT:
        with pytest.raises(ModeConflict):
            confirm(decision)
        return
    confirmed = confirm(decision)
    assert confirmed.outcome is RESOLVED
    assert confirmed.mode is decision.bought
    assert confirmed.provisional is False
    assert confirmed.region is not None
    assert confirmed.fired == decision.fired


# --- the rest --------------------------------------------------------------------------------
def test_modes_are_ordered_by_isolation():
    assert sorted(Mode) == [A, B, C]
    assert max(A, C, B) is C


def test_a_decision_says_which_rule_saw_which_facts():
    reasons = decided(contract_mode=B, seats=475, sla_uptime_min="99.9").to_document()["reasons"]
    by_rule = {reason["rule"]: reason for reason in reasons}
    assert by_rule["M8"]["facts"] == {"seats": 475}
    assert by_rule["M7"]["facts"] == {"phone_sev1": False, "sla_uptime_min": "99.9"}
    assert by_rule["M8"]["min_mode"] == "B"


def test_a_decision_is_provisional_until_it_is_confirmed():
    decision = decided(contract_mode=B)
    assert decision.provisional is True
    assert confirm(decision).provisional is False


@pytest.mark.requirement("K-016")
def test_absent_residency_is_an_explicit_none():
    document = decided().to_document()
    assert "No residency is requested" in document["placement"]
    assert document["allowed_regions"] == ["eu-west-1", "eu-central-1"]


def test_a_strict_residency_allows_the_listed_regions_alone():
    listed = decided(residency=Residency(regions=("eu-central-1",), strict=True))
    assert listed.placement.allowed == ("eu-central-1",)
    whole = decided(residency=EU_STRICT)
    assert set(whole.placement.allowed) == set(rules().regions.zones["eu"].regions)


@pytest.mark.parametrize(
    ("residency", "error", "words"),
    [
        (Residency(regions=("eu-west-9",)), UnknownRegion, "eu-west-9"),
        (Residency(zone="eu", regions=("EU-WEST-1",)), UnknownRegion, "EU-WEST-1"),
        (Residency(zone="atlantis"), InvalidInput, "the zones are"),
        (Residency(zone="eu", regions=("us-east-1",)), InvalidInput, "in zone us"),
        (Residency(regions=("eu-west-1", "us-east-1")), InvalidInput, "in zone us"),
        (Residency(strict=True), InvalidInput, "needs a zone"),
    ],
)
def test_a_residency_that_names_nothing_real_is_refused(residency, error, words):
    with pytest.raises(error, match=words) as caught:
        decided(residency=residency)
    assert caught.value.code in ("unknown_region", "invalid_input")


@pytest.mark.parametrize(
    "uptime", ["", "99,9", "101", "100.1", "-1", "1e2", "NaN", "99.", " 99", "99.12345"]
)
def test_an_uptime_that_is_no_percentage_is_refused(uptime):
    with pytest.raises(InvalidInput, match="uptime"):
        facts(sla_uptime_min=uptime)


@pytest.mark.parametrize("seats", [-1, True])
def test_a_number_of_seats_that_cannot_be_is_refused(seats):
    with pytest.raises(InvalidInput, match="seats"):
        facts(seats=seats)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"subscription": "gold"},
        {"subscription": "lite", "colour": "blue"},
        {"subscription": "lite", "contract_mode": "D"},
        {"subscription": "lite", "seats": "9"},
        {"subscription": "lite", "seats": True},
        {"subscription": "lite", "phone_sev1": "yes"},
        {"subscription": "lite", "ip_allow_list": "192.0.2.0/24"},
        {"subscription": "lite", "ip_allow_list": [1]},
        {"subscription": "lite", "sla_uptime_min": 99.9},
        {"subscription": "lite", "residency": "eu"},
        {"subscription": "lite", "residency": {"zone": "eu", "planet": "earth"}},
        {"subscription": "lite", "residency": {"strict": None}},
    ],
)
def test_facts_that_are_not_facts_are_refused(document):
    with pytest.raises(InvalidInput):
        Facts.from_document(document)


def test_without_rule_m3_a_mode_that_no_region_can_hold_is_a_conflict():
    tolerant = replace(
        rules().mode, rules=tuple(rule for rule in rules().mode.rules if rule.id != "M3")
    )
    decision = resolve(facts(residency=BRAZIL), tolerant)
    assert decision.outcome is CONFLICT
    assert "no_region" in {each.rule for each in decision.fired}


M1_WHY = "M1 requires more: The data must stay in the customer's own cloud."
M4_M7_WHY = (
    "M4 and M7 require more: The customer brings their own encryption key. Phone support for"
    " severity 1, or an uptime above what the shared Hub promises, was sold."
)
LEAST_A = "and the rules require at least mode A."


@pytest.mark.parametrize(
    ("stated", "sentence"),
    [
        ({"contract_mode": A, **OWN_CLOUD}, f"Mode A was bought, and {M1_WHY}"),
        (
            {"contract_mode": A, **OWN_KEY, "phone_sev1": True},
            f"Mode A was bought, and {M4_M7_WHY}",
        ),
        ({"requested_mode": A, **OWN_CLOUD}, f"Mode A is requested, and {M1_WHY}"),
        ({}, "Mode A: the rules require at least this, and no other mode is asked for."),
        ({"contract_mode": B}, f"Mode B: the contract buys it, {LEAST_A}"),
        ({"requested_mode": B}, f"Mode B: it is requested, {LEAST_A}"),
    ],
)
def test_a_summary_says_in_plain_words_why(stated, sentence):
    assert decided(**stated).summary == sentence


def test_the_rules_digest_follows_the_rules_and_the_regions():
    mode = rules().mode
    base = resolve(facts(), mode).rules_digest
    assert resolve(facts(), replace(mode, digest="sha256:1")).rules_digest != base
    regions = replace(mode.regions, digest="sha256:1")
    assert resolve(facts(), replace(mode, regions=regions)).rules_digest != base
    assert resolve(facts(seats=7), mode).rules_digest == base


def test_a_default_region_alone_is_enough_to_place():
    zone = Zone(
        name="x", title="X", partition="aws", regions=("eu-west-1",), offered=("eu-west-1",)
    )
    regions = replace(rules().regions, zones={"x": zone}, default_region="eu-west-1")
    assert place(None, regions).region(customer_run=False) == "eu-west-1"


def test_the_rules_may_look_at_every_fact_and_at_nothing_else():
    own = {item.name for item in fields(Facts)} - {"residency"}
    assert own | {"residency.zone", "residency.regions", "residency.strict"} == STATED_FACTS
