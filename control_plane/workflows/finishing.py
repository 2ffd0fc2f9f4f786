"""After the engine: what was applied is stored, checked by name, and the run ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from control_plane.domain.audit import Stage
from control_plane.domain.deployment import Deployment
from control_plane.domain.errors import VerificationFailed
from control_plane.domain.run import Run, RunStatus
from control_plane.ports import EngineResult, UnitOfWork
from control_plane.workflows.core import WORKER, Core
from control_plane.workflows.moving import as_json, fail_run, locked_run, move_run
from control_plane.workflows.recording import record
from control_plane.workflows.verification import checks_after


def finish(core: Core, run_id: str, result: EngineResult) -> None:
    """Bring the run to its end after an apply; does nothing when the gate said stop."""
    if result.outcome == "stopped":
        return
    if result.outcome == "applied":
        _verify(core, run_id, result)
        return
    with core.uow() as uow:
        run, _ = locked_run(uow, run_id)
        run = _written(core, uow, run, result)
        error = dict(result.error or {"code": "engine_failed", "message": "the engine failed"})
        stage = Stage.FAILED
        _record_apply(core, uow, run, result, stage, code=str(error["code"]))
        if result.outcome == "canceled" and run.cancel_requested:
            move_run(
                core, uow, WORKER, run, RunStatus.CANCELED, action="run.canceled",
                data={"during": str(run.status)}, error=error,
            )  # fmt: skip
        else:
            fail_run(core, uow, WORKER, run, error, phase="applying")
        uow.commit()


def _verify(core: Core, run_id: str, result: EngineResult) -> None:
    with core.uow() as uow:
        run, deployment = locked_run(uow, run_id)
        if run.status is RunStatus.APPLYING:
            run = _written(core, uow, run, result)
            _record_apply(core, uow, run, result, Stage.COMPLETED)
            deployment = _keep_outputs(core, uow, deployment, result)
            run = move_run(core, uow, WORKER, run, RunStatus.VERIFYING, action=None)
        uow.commit()
    checks = checks_after(core, deployment, result)
    failed = [check for check in checks if not check["ok"]]
    with core.uow() as uow:
        run, _ = locked_run(uow, run_id)
        if run.status is not RunStatus.VERIFYING:
            return
        record(
            core, uow, WORKER, "run.verified",
            tree=run.tenant_id, targets=(("run", run.id),), run=run.id,
            stage=Stage.FAILED if failed else Stage.COMPLETED,
            checks=[{"name": c["name"], "ok": c["ok"]} for c in checks],
            failed=[c["name"] for c in failed], state_digest=result.state_digest,
        )  # fmt: skip
        if failed:
            uow.runs.save(run := run.changed(core.clock.now(), checks=tuple(checks)))
            names = [c["name"] for c in failed]
            error = VerificationFailed(
                f"{', '.join(names)}: {failed[0]['detail'] or 'failed'}", checks=names
            )
            fail_run(core, uow, WORKER, run, as_json(error), phase="verifying")
        else:
            move_run(core, uow, WORKER, run, RunStatus.APPLIED, action=None, checks=tuple(checks))
        uow.commit()


def _written(core: Core, uow: UnitOfWork, run: Run, result: EngineResult) -> Run:
    if result.state_digest is None or result.state_digest in run.states_written:
        return run
    changed = run.changed(
        core.clock.now(), states_written=(*run.states_written, result.state_digest)
    )
    uow.runs.save(changed)
    return changed


def _keep_outputs(
    core: Core, uow: UnitOfWork, deployment: Deployment, result: EngineResult
) -> Deployment:
    """Store what the program exported; secret outputs stay in the engine's state alone."""
    public = {
        name: value for name, value in result.outputs.items() if name not in result.secret_outputs
    }
    kept = replace(
        deployment,
        outputs=public,
        state_digest=result.state_digest,
        updated_at=core.clock.now(),
        version=deployment.version + 1,
    )
    uow.deployments.save(kept)
    return kept


def _record_apply(
    core: Core, uow: UnitOfWork, run: Run, result: EngineResult, stage: Stage, **data: Any
) -> None:
    plan = uow.plans.get(run.plan_id or "")
    record(
        core, uow, WORKER, "run.apply",
        tree=run.tenant_id, targets=(("run", run.id), ("deployment", run.deployment_id)),
        stage=stage, run=run.id, plan_digest=plan.digest if plan else None,
        summary={key.replace("-", "_"): n for key, n in result.summary.items()},
        state_digest=result.state_digest, outputs=sorted(result.outputs),
        resources=len(result.resources), **data,
    )  # fmt: skip
