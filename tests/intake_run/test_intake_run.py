"""A short run of ``make contracts``, and what a provider does in one."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from control_plane.bootstrap import SOURCE
from control_plane.ports.engine import StackEngine
from tests.intake_run.checks import differ
from tests.intake_run.contracts import body_of, listed, planned
from tests.intake_run.engine import KeptEngine

SEED, SHORT = 7, 60
BEGIN = datetime(2026, 11, 20, 14, tzinfo=UTC)


def test_a_plan_depends_on_the_seed_alone_and_has_everything() -> None:
    plan = planned(SEED, 1000)
    assert plan == planned(SEED, 1000)
    assert plan != planned(SEED + 1, 1000)
    posted = {each.contract.number for each in plan.attempts}
    for each in plan.contracts:
        assert (each.number in posted) is not each.is_missing
    kinds = Counter(
        name for each in plan.contracts
        for name in ("is_dropped", "is_late", "is_changed", "is_unknown") if getattr(each, name)
    )  # fmt: skip
    assert len(kinds) == 4
    assert {each.form for each in plan.attempts} == {
        "aggregate", "document.signed", "envelope-completed", "envelope-delivered",
        "envelope-sent",
    }  # fmt: skip
    assert any(each.retry for each in plan.attempts)
    assert any(each.is_stale for each in plan.attempts)
    numbers = [each.contract.number for each in plan.attempts]
    assert numbers != sorted(numbers)


def test_an_attempt_says_the_same_as_the_provider_when_it_is_asked() -> None:
    for each in planned(SEED, 50).attempts:
        event = "document.signed" if each.form == "document.signed" else "envelope-completed"
        posted = body_of(replace(each, form=event), BEGIN)
        shown = listed(each.contract, BEGIN, is_changed=False)
        if event == "document.signed":
            assert shown["event"] == posted
            continue
        summary = posted["data"]["envelopeSummary"]
        assert {**shown, "statusChangedDateTime": None} == {
            **summary, "statusChangedDateTime": None
        }  # fmt: skip


def test_what_is_too_many_or_too_few_is_told() -> None:
    assert list(differ("mails", Counter("ab"), Counter("ab"))) == []
    (told,) = differ("mails", Counter("aab"), Counter("abc"))
    assert told == "mails: too many a, too few c"


def test_the_kept_engine_has_all_that_the_port_asks_for() -> None:
    names = [name for name, each in vars(StackEngine).items() if inspect.isfunction(each)]
    asked = [name for name in names if not name.startswith("_")]
    assert "apply" in asked
    for name in asked:
        wanted = inspect.signature(getattr(StackEngine, name)).parameters
        assert list(inspect.signature(getattr(KeptEngine, name)).parameters) == list(wanted), name


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_contract_of_a_bad_provider_becomes_one_tenant_while_workers_die() -> None:
    """S1 and S2 for many contracts at once: nothing is lost, made twice or left open."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.intake_run", "--contracts", str(SHORT), "--seed", str(SEED)],
        cwd=SOURCE, capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    counts = {name: int(value) for name, value in re.findall(r"(?m)^(\S.*?) +(\d+)$", done.stdout)}
    assert counts["tenants ready"] == counts["journeys"] == SHORT
    assert counts["mails"] == 9 * SHORT
    assert counts["logs verified"] == SHORT + 2
    assert counts["workers killed"] > 0
    plan = planned(SEED, SHORT)
    assert counts["gaps: missing_here"] == sum(each.is_missing for each in plan.contracts) > 0
