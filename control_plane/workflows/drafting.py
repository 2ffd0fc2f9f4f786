"""Runs that only plan: what a change would do, before anybody asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_plane.domain import spec as specs
from control_plane.domain.deployment import Deployment
from control_plane.domain.run import TERMINAL_RUN, Run, RunKind, RunStatus
from control_plane.workflows.core import Act
from control_plane.workflows.moving import add_run, enqueue_present_turn

_OPEN = frozenset(RunStatus) - TERMINAL_RUN


def request_plan(act: Act, deployment: Deployment, draft: Mapping[str, Any]) -> Run:
    """Request a run that plans what ``draft``, a spec, would change over what exists.

    It applies nothing, supersedes nothing and says nothing of the owner. One of the same spec that
    has not ended is returned in its place. The engine takes the deployment's runs in turn, so that
    it plans over what the run before it has left.
    """
    act.core.specs.validate(specs.PROGRAMS[deployment.kind], dict(draft))
    deployment = act.uow.deployments.need(deployment.id, lock=True)
    open_ones = act.uow.runs.find(
        deployment_id=deployment.id, kind=RunKind.PLAN, status=tuple(_OPEN)
    )
    for run in open_ones:
        if run.draft == draft:
            return run
    number = deployment.spec_number
    run = add_run(
        act, deployment, RunKind.PLAN, spec_version=number, spec_number=number, draft=draft
    )
    enqueue_present_turn(act, run)
    return run
