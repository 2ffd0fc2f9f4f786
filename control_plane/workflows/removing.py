"""The steps of a removal (``domain/sagas/removal.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from control_plane.domain.deployment import Deployment, DeploymentKind, Desired
from control_plane.domain.run import Run
from control_plane.domain.saga import Saga
from control_plane.ports.rows import UnitOfWork
from control_plane.workflows.core import Act
from control_plane.workflows.requesting import request_run
from control_plane.workflows.saga_steps import Handler, run_step


def deployment_of(uow: UnitOfWork, saga: Saga) -> Deployment | None:
    """Return the deployment that a saga is about; None for a tenant that has none."""
    if saga.hub_id is not None:
        return uow.deployments.find(hub_id=saga.hub_id, kind=DeploymentKind.HUB)[0]
    return next(iter(uow.deployments.find(tenant_id=saga.tenant_id)), None)


def _unprotect(act: Act, saga: Saga) -> Run | str:
    names = tuple(saga.data.get("unprotect", ()))
    if not names:
        return "no resource is named whose protection is taken away"
    return _protect_all_but(act, saga, names)


def _protect_again(act: Act, saga: Saga) -> Run | str:
    return _protect_all_but(act, saga, ())


def _protect_all_but(act: Act, saga: Saga, names: tuple[str, ...]) -> Run | str:
    found = deployment_of(act.uow, saga)
    if found is None:
        return "nothing was ever applied"
    deployment = act.uow.deployments.need(found.id, lock=True)
    act.uow.deployments.save(deployment.changed(act.now(), unprotected=names))
    return request_run(act, deployment, saga=saga)


def _destroy(act: Act, saga: Saga) -> Run | str:
    deployment = deployment_of(act.uow, saga)
    if deployment is None:
        return "nothing was ever applied"
    return request_run(act, deployment, desired=Desired.ABSENT, saga=saga)


STEPS: Final[Mapping[str, Handler]] = {
    "unprotect": Handler(do=run_step(_unprotect), undo=run_step(_protect_again)),
    "destroy": Handler(do=run_step(_destroy)),
}
