"""What a run has read into the state, and nobody has decided on, stays a finding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control_plane.domain.finding_decision import Verdict
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.services import findings, runs
from control_plane.services.performing import perform
from tests.stacks.cloud_process import CloudProcess
from tests.storage import Storage
from tests.workflows.removed import PETRA
from tests.workflows.test_approvals_stay_true import DATABASE
from tests.workflows.test_drift import Looked
from tests.workflows.test_drift_in_the_cloud import Cloud
from tests.world import OPS, World

pytestmark = pytest.mark.timeout(500)

KEY = "aws:kms/key:Key::data"


class Scripted(Looked):
    """A ready tenant of the scripted engine, and somebody who changes two things there."""

    other = DATABASE.rpartition("::")[2]

    def elsewhere(self) -> None:
        """Change what the next change of the tenant does not touch."""
        self._by_hand(KEY, enableKeyRotation=False)

    def touched(self) -> None:
        """Change what it touches."""
        self._by_hand(DATABASE, value="by hand")

    def _by_hand(self, resource: str, **values: Any) -> None:
        self.world.engine.change(self.deployment().stack, resource, **values)


class Real(Cloud):
    """The same by the real engine."""

    other = "db"

    def elsewhere(self) -> None:
        """Change what the next change of the tenant does not touch."""
        self.tag()

    def touched(self) -> None:
        """Change what it touches."""
        name = str(self.outputs["database_endpoint"]).partition(".")[0]
        self.client("rds").modify_db_instance(
            DBInstanceIdentifier=name, BackupRetentionPeriod=3, ApplyImmediately=True
        )


@pytest.fixture(params=["scripted", pytest.param("real", marks=pytest.mark.slow)])
def looked(request: pytest.FixtureRequest, storage: Storage) -> Iterator[Any]:
    if request.param == "scripted":
        yield Scripted(World(storage))
        return
    cli: Path = request.getfixturevalue("pulumi_cli")
    with CloudProcess() as process:
        yield Real(World(storage), process, cli)


def open_of(looked: Any) -> set[tuple[str, str]]:
    """Return the open findings: the end of the subject, and the path."""
    return {(f.subject.rpartition("::")[2], f.path.partition(".")[0]) for f in looked.findings()}


def read_again(looked: Any) -> Any:
    """Have a change blocked by what moved, and planned again over it; returns that run."""
    run_id = looked.change().run_id
    looked.world.work()
    looked.touched()
    looked.world.approve(run_id)
    blocked = looked.world.run(run_id)
    assert (blocked.status, blocked.blocked_on) == (RunStatus.BLOCKED, BlockedOn.STATE_MOVED)
    fresh = perform(looked.world.core, OPS, runs.retry_run, run_id)
    looked.world.work()
    return looked.world.run(fresh.id)


def test_what_was_read_stays_open_when_the_plan_that_takes_it_back_is_rejected(
    looked: Any,
) -> None:
    looked.elsewhere()
    assert looked.look().status is RunStatus.NO_CHANGES
    ((elsewhere, _),) = before = open_of(looked)
    assert elsewhere == "data"
    run = read_again(looked)
    assert run.status is RunStatus.AWAITING_APPROVAL, run.error
    looked.world.decide(run.approval_id, PETRA, "reject")
    looked.world.work()
    for _ in range(2):
        assert looked.look().status is RunStatus.NO_CHANGES
        assert {name for name, _ in open_of(looked)} == {"data", looked.other}
    assert before <= open_of(looked)
    assert looked.tenant().drifted
    # a decision ends it: here the tag or the rotation is put back, and the other one stays
    (mine,) = [f for f in looked.findings() if f.subject.endswith("::data")]
    decided = perform(
        looked.world.core, OPS, findings.decide_of_tenant, looked.tenant_id, [mine.id],
        verdict=Verdict.REVERT, reason="by mistake",
    )  # fmt: skip
    looked.world.work()
    reverting = looked.world.run(decided.run_id)
    if reverting.status is RunStatus.AWAITING_APPROVAL:
        looked.world.approve(reverting.id, PETRA)
    assert looked.world.run(decided.run_id).status is RunStatus.APPLIED
    assert {name for name, _ in open_of(looked)} == {looked.other}
    # and so does a run of the whole that was verified
    run_id = looked.change(2500).run_id
    looked.world.work()
    if looked.world.run(run_id).status is RunStatus.AWAITING_APPROVAL:
        looked.world.approve(run_id, PETRA)
    assert looked.world.run(run_id).status is RunStatus.APPLIED, looked.world.run(run_id).error
    assert open_of(looked) == set()
    assert looked.look().status is RunStatus.NO_CHANGES
    assert open_of(looked) == set()
    assert not looked.tenant().drifted
