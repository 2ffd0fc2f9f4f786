"""Named queries: each answers one question of a use case with one indexed statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Delete,
    FromClause,
    Integer,
    Row,
    Select,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
    text,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONPATH, insert

from control_plane.adapters.db import mapping, run_tables, tables
from control_plane.adapters.db.columns import KEY, Documents, texts_given
from control_plane.adapters.db.faults import translated
from control_plane.adapters.db.hub_queries import HubQueries
from control_plane.adapters.db.mapping import Mapped
from control_plane.domain.bundle import Bundle, BundleStatus
from control_plane.domain.calls import CallRecord
from control_plane.domain.deployment import Position
from control_plane.domain.engine import Operation
from control_plane.domain.plan import PlanHead
from control_plane.domain.run import CHANGING, BlockedOn, Run, RunKind, RunStatus
from control_plane.domain.standing_counts import StandingCount
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.ports.rows import EnvelopeHistory, IdempotencyRecord, Newest, PlacedRun

T = TypeVar("T")
_run, _call, _bundle = run_tables.run, run_tables.engine_call, tables.bundle
_CHANGES_NOTHING: Final = sorted(frozenset(RunKind) - CHANGING)


def _changes(run: FromClause) -> ColumnElement[bool]:
    """Return what holds of runs that change something: the words of an index, not a parameter."""
    return run.c.kind.not_in([literal_column(f"'{kind}'") for kind in _CHANGES_NOTHING])


def _deciding(table: Table) -> ColumnElement[bool] | None:
    """Return what holds of the rows among which the newest decides, None for all of a table."""
    return _changes(table) if table is _run else None


def _of_present_places() -> ColumnElement[bool]:
    """Return what holds of runs that change something, unless of a place that a tenant has left."""
    place = tables.deployment
    left = select(place.c.id).where(
        place.c.id == _run.c.deployment_id, place.c.position == Position.FORMER
    )
    return and_(_changes(_run), ~left.exists())


def _newest_run() -> Select[Any]:
    owner = _run.c.deployment_id
    query = select(_run).where(owner == bindparam("deployment", type_=owner.type), _changes(_run))
    return query.order_by(_run.c.number.desc()).limit(1)


def _open_look() -> Select[Any]:
    owner = _run.c.deployment_id
    query = select(_run).where(owner == bindparam("deployment", type_=owner.type))
    return query.where(text(run_tables.LOOK_IS_OPEN))


def _last_number() -> Select[Any]:
    owner = _run.c.deployment_id
    return select(func.max(_run.c.number)).where(owner == bindparam("deployment", type_=owner.type))


def _newest(
    owner: ColumnElement[str],
    order: Sequence[ColumnElement[Any]],
    *found: Any,
    among: ColumnElement[bool] | None = None,
) -> FromClause:
    """Return the last row of each owner: one step down an index, however many rows it has.

    ``among`` holds of the rows that count.
    """
    descending = [each.desc() for each in order]
    query = select(*found).where(owner == _OWNERS.c.value)
    query = query if among is None else query.where(among)
    query = query.order_by(*descending).limit(1)
    return query.lateral()


@cache
def _newest_of(table: Table) -> Select[tuple[str]]:
    among = _deciding(table)
    newest = _newest(table.c.deployment_id, [table.c.number], table.c.id, among=among)
    return select(newest.c.id).join_from(_OWNERS, newest, true())


def _newest_of_tenants() -> Select[Any]:
    run, bundle = (
        _newest(
            table.c.tenant_id,
            [table.c[time], table.c.id],
            table.c.id,
            table.c.error,
            among=_of_present_places() if table is _run else None,
        )
        for table, time in ((_run, "requested_at"), (_bundle, "created_at"))
    )
    query = select(_OWNERS.c.value, run.c.id, run.c.error, bundle.c.id, bundle.c.error)
    rows = _OWNERS.outerjoin(run, true()).outerjoin(bundle, true())
    return query.select_from(rows)


def _placed_runs() -> Select[Any]:
    run, place, tenant = _run, tables.deployment, tables.tenant
    others = _run.alias("other")
    newer = select(others.c.id).where(
        others.c.deployment_id == run.c.deployment_id,
        others.c.number > run.c.number,
        _changes(others),
    )
    rows = _OWNERS.join(run, run.c.id == _OWNERS.c.value)
    rows = rows.join(place, place.c.id == run.c.deployment_id)
    rows = rows.outerjoin(tenant, tenant.c.id == run.c.tenant_id)
    return select(~newer.exists(), *run.c, *place.c, *tenant.c).select_from(rows)


def _envelope() -> Select[Any]:
    contract, refused = tables.contract, tables.refused_request
    given = bindparam("provider", type_=Text), bindparam("envelope_id", type_=Text)
    known, newest = (
        select(table.c.id).where(table.c.provider == given[0], table.c.envelope_id == given[1])
        for table in (contract, refused)
    )
    newest = newest.order_by(refused.c.id.desc()).limit(bindparam("refusals", type_=Integer))
    return select(known.scalar_subquery(), func.array(newest.scalar_subquery()))


def _claim() -> Any:
    new = insert(_key).values(_new_key())
    is_free = or_(
        _key.c.expires_at <= new.excluded.created_at,
        and_(
            _key.c.response_status.is_(None),
            _key.c.created_at < bindparam("dead_before", type_=_key.c.created_at.type),
        ),
    )
    others = {each.name: new.excluded[each.name] for each in _key.c if each.name != "id"}
    taken = new.on_conflict_do_update(index_elements=[_key.c.id], set_=others, where=is_free)
    return taken.returning(_key.c.id)


def _new_key() -> dict[str, BindParameter[Any]]:
    return {each.name: bindparam(f"new_{each.name}", type_=each.type) for each in _key.c}


def _values_of(record: IdempotencyRecord) -> dict[str, Any]:
    row = mapping.IDEMPOTENCY.to_row(record)
    return {f"new_{name}": value for name, value in row.items()}


def _answer() -> Update:
    new = _new_key()
    is_held = and_(
        _key.c.id == new.pop("id"),
        _key.c.response_status.is_(None),
        _key.c.created_at == new.pop("created_at"),
    )
    return _key.update().where(is_held).values(new)


@cache
def _of_deployment(table: Table) -> Select[Any]:
    owner = table.c.deployment_id
    query = select(table).where(owner == bindparam("deployment", type_=owner.type))
    return query.order_by(table.c.number.desc()).limit(bindparam("most", type_=Integer))


def _to_stop() -> Select[tuple[str]]:
    query = select(_call.c.id).join(_run, _run.c.id == _call.c.run_id)
    return query.where(
        _call.c.worker == bindparam("worker", type_=_call.c.worker.type),
        _call.c.ended_at.is_(None),
        _run.c.cancel_requested,
        _run.c.status.in_((RunStatus.APPLYING, RunStatus.CANCELED)),
    )


def _forget_calls() -> Delete:
    owner = _call.c.deployment_id
    return _call.delete().where(
        owner == bindparam("deployment", type_=owner.type),
        _call.c.number < bindparam("below", type_=_call.c.number.type),
        _call.c.ended_at.is_not(None),
    )


# made once: making a statement costs more than it does
_key: Final = tables.idempotency_record
_CLAIM: Final = _claim()
_ANSWER: Final = _answer()
_OWNERS: Final = texts_given("owners")
_NEWEST: Final = _newest_of_tenants()
_NEWEST_RUN: Final = _newest_run()
_RUN_BEFORE: Final = _NEWEST_RUN.where(_run.c.number < bindparam("number", type_=Integer))
_OPEN_LOOK: Final = _open_look()
_LAST_NUMBER: Final = _last_number()
_TO_STOP: Final = _to_stop()
_FORGET_CALLS: Final = _forget_calls()
_PLACED_RUNS: Final = _placed_runs()
_ENVELOPE: Final = _envelope()
_LIVE_TENANTS: Final = (
    select(tables.tenant.c.id, tables.tenant.c.slug)
    .where(
        tables.tenant.c.domain == bindparam("domain", type_=KEY),
        tables.tenant.c.status != TenantStatus.DEPROVISIONED,
    )
    .order_by(tables.tenant.c.id)
)


def _placed_run(row: Row[Any]) -> PlacedRun:
    values = iter(row)
    is_newest = next(values)
    run, place, tenant = (
        list(islice(values, len(mapped.names)))
        for mapped in (mapping.RUN, mapping.DEPLOYMENT, mapping.TENANT)
    )
    return PlacedRun(
        run=mapping.RUN.to_entity(run),
        deployment=mapping.DEPLOYMENT.to_entity(place),
        tenant=mapping.TENANT.to_entity(tenant) if tenant[0] is not None else None,
        is_newest=is_newest,
    )


class SqlQueries(HubQueries):
    """The port ``Queries``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # --- runs ----------------------------------------------------------------------------------
    def newest_run(self, deployment_id: str) -> Run | None:
        """Return the deployment's newest run of a kind that changes something."""
        return self._one_run(_NEWEST_RUN, deployment_id)

    def run_before(self, deployment_id: str, number: int) -> Run | None:
        """Return the newest run with a number below ``number`` that changes something."""
        return self._one_run(_RUN_BEFORE, deployment_id, number=number)

    def open_look(self, deployment_id: str) -> Run | None:
        """Return the look at a deployment that has not ended."""
        return self._one_run(_OPEN_LOOK, deployment_id)

    def last_number(self, deployment_id: str) -> int:
        """Return the number of the run of a deployment that was requested last, 0 if none was."""
        with translated():
            found = self._connection.execute(_LAST_NUMBER, {"deployment": deployment_id})
            return int(found.scalar() or 0)

    def _one_run(self, query: Select[Any], deployment_id: str, **more: int) -> Run | None:
        given = {"deployment": deployment_id, **more}
        with translated():
            row = self._connection.execute(query, given).one_or_none()
        return mapping.RUN.to_entity(row) if row is not None else None

    def newest_runs(self, deployment_ids: Sequence[str]) -> Collection[str]:
        """Return the ids of the newest runs of some deployments, as ``newest_run`` does."""
        return self._newest(_run, deployment_ids)

    def placed_runs(self, run_ids: Sequence[str]) -> Mapping[str, PlacedRun]:
        """Return some runs by id, each with its deployment and tenant."""
        with translated():
            rows = self._connection.execute(_PLACED_RUNS, {"owners": list(run_ids)}).all()
        return {placed.run.id: placed for placed in map(_placed_run, rows)}

    def newest_bundles(self, deployment_ids: Sequence[str]) -> Collection[str]:
        """Return the ids of the newest bundles of some deployments."""
        return self._newest(_bundle, deployment_ids)

    def _newest(self, table: Table, deployment_ids: Sequence[str]) -> Collection[str]:
        return frozenset(self._ids(_newest_of(table), owners=sorted(set(deployment_ids))))

    def blocked_runs(
        self,
        on: BlockedOn,
        *,
        limit: int | None,
        region: str | None = None,
        hub_id: str | None = None,
        is_placed: bool | None = None,
    ) -> Sequence[str]:
        """Return the ids of the runs that wait for ``on`` longest, of a region or Hub or of all.

        ``is_placed``: whether their deployments have a Hub already.
        """
        deployment = tables.deployment
        query = select(_run.c.id).where(_run.c.status == RunStatus.BLOCKED, _run.c.blocked_on == on)
        query = query.join(deployment, deployment.c.id == _run.c.deployment_id)
        for field, value in ((deployment.c.region, region), (deployment.c.hub_id, hub_id)):
            query = query if value is None else query.where(field == value)
        if is_placed is not None:
            query = query.where(deployment.c.hub_id.is_not(None) == is_placed)
        return self._ids(query.order_by(_run.c.updated_at).limit(limit))

    def plan_heads(self, plan_ids: Sequence[str]) -> Mapping[str, PlanHead]:
        """Return what a list shows of some plans, without their resources."""
        plan = run_tables.plan
        irreversible = func.jsonb_path_query_array(
            plan.c.operations, cast("$[*] ? (@.irreversible == true)", JSONPATH)
        )
        query = select(
            plan.c.id, plan.c.summary, type_coerce(irreversible, Documents(Operation)),
            plan.c.risks, plan.c.parts["state"].astext, plan.c.created_at,
        )  # fmt: skip
        with translated():
            rows = self._connection.execute(query.where(plan.c.id.in_(list(plan_ids)))).all()
        return {
            plan_id: PlanHead(
                id=plan_id,
                summary=summary,
                irreversible=found,
                risks=risks,
                state=state or "",
                created_at=made,
            )
            for plan_id, summary, found, risks, state, made in rows
        }

    # --- engine calls --------------------------------------------------------------------------
    def newest_call(self, deployment_id: str) -> CallRecord | None:
        """Return the engine call that owns the deployment's stack."""
        return next(iter(self._of_deployment(mapping.CALL, deployment_id, limit=1)), None)

    def calls_of(self, deployment_id: str, *, limit: int) -> Sequence[CallRecord]:
        """Return the newest engine calls of a deployment, newest first."""
        return self._of_deployment(mapping.CALL, deployment_id, limit=limit)

    def calls_to_stop(self, worker: str) -> Sequence[str]:
        """Return the worker's open calls whose runs somebody canceled before they were applied."""
        return self._ids(_TO_STOP, worker=worker)

    # --- owners --------------------------------------------------------------------------------
    def newest_bundle(self, deployment_id: str) -> Bundle | None:
        """Return the deployment's newest bundle."""
        return next(iter(self._of_deployment(mapping.BUNDLE, deployment_id, limit=1)), None)

    def was_applied(self, deployment_id: str) -> bool:
        """Tell whether the customer applied some version of the deployment's bundle."""
        query = select(
            select(_bundle.c.id)
            .where(
                _bundle.c.deployment_id == deployment_id,
                _bundle.c.status == BundleStatus.APPLIED,
            )
            .exists()
        )
        with translated():
            return bool(self._connection.execute(query).scalar_one())

    def live_tenants(self, domain: str) -> Mapping[str, str]:
        """Return the slugs of a company's tenants that are not deprovisioned, by id."""
        with translated():
            rows = self._connection.execute(_LIVE_TENANTS, {"domain": domain})
            return {str(tenant_id): str(slug) for tenant_id, slug in rows}

    def envelope(self, provider: str, envelope_id: str, *, refusals: int) -> EnvelopeHistory:
        """Return what became of an envelope before, with at most so many refusals."""
        given = {"provider": provider, "envelope_id": envelope_id, "refusals": refusals}
        with translated():
            known, refused = self._connection.execute(_ENVELOPE, given).one()
        return EnvelopeHistory(contract_id=known, refusals=refused)

    def count_tenants(self, tenant_ids: Sequence[str] | None) -> Sequence[StandingCount]:
        """Return where tenants stand, counted; of all that are not removed without ids."""
        tenant = tables.tenant
        group = (tenant.c.status, tenant.c.waiting_on)
        query = (
            select(
                *group,
                func.count(),
                func.count().filter(tenant.c.drifted),
                func.count().filter(tenant.c.hold),
                func.min(tenant.c.updated_at),
            )
            .where(tenant.c.removed_at.is_(None))
            .group_by(*group)
        )
        if tenant_ids is not None:
            query = query.where(tenant.c.id.in_(tenant_ids))
        with translated():
            rows = self._connection.execute(query).all()
        return [
            StandingCount(
                status=TenantStatus(status),
                waiting_on=None if waiting is None else WaitingOn(waiting),
                count=count, drifted=drifted, held=held, since=since,
            )
            for status, waiting, count, drifted, held, since in rows
        ]  # fmt: skip

    def newest_of_tenants(self, tenant_ids: Sequence[str]) -> Mapping[str, Newest]:
        """Return each tenant's newest run, as ``newest_run`` does, and newest bundle.

        Runs that take apart a place which the tenant has left are none of its own.
        """
        with translated():
            rows = self._connection.execute(_NEWEST, {"owners": list(tenant_ids)})
            return {row[0]: Newest(*row[1:]) for row in rows}

    # --- idempotency keys ----------------------------------------------------------------------
    def claim_key(self, mine: IdempotencyRecord, *, dead_before: datetime) -> bool:
        """Take a key that nobody has, that has expired, or whose holder died; tell whether.

        A holder without an answer that took it before ``dead_before`` has died. It is durable at
        once, without a commit: one message in place of three.
        """
        given = {**_values_of(mine), "dead_before": dead_before}
        with translated():
            alone = self._connection.execution_options(isolation_level="AUTOCOMMIT")
            return alone.execute(_CLAIM, given).one_or_none() is not None

    def answer_key(self, answered: IdempotencyRecord) -> bool:
        """Keep the answer of a key if it is still that of ``answered``; tell whether it is."""
        with translated():
            return self._connection.execute(_ANSWER, _values_of(answered)).rowcount == 1

    # --- retention -----------------------------------------------------------------------------
    def forget_calls(self, deployment_id: str, *, below: int) -> int:
        """Delete ended engine calls of a deployment with numbers below ``below``; how many."""
        given = {"deployment": deployment_id, "below": below}
        with translated():
            return self._connection.execute(_FORGET_CALLS, given).rowcount

    def forget_answers(self, now: datetime, *, limit: int) -> int:
        """Delete idempotent answers whose lifetime has ended; returns how many."""
        table = tables.idempotency_record
        old = select(table.c.id).where(table.c.expires_at < now).limit(limit)
        with translated():
            return self._connection.execute(table.delete().where(table.c.id.in_(old))).rowcount

    # -------------------------------------------------------------------------------------------
    def _of_deployment(self, mapped: Mapped[T], deployment_id: str, *, limit: int) -> Sequence[T]:
        """Return the entities of a deployment with the highest numbers, the highest first."""
        given = {"deployment": deployment_id, "most": limit}
        with translated():
            rows = self._connection.execute(_of_deployment(mapped.table), given)
            return [mapped.to_entity(row) for row in rows]

    def _ids(self, query: Select[tuple[str]], **given: Any) -> Sequence[str]:
        with translated():
            return [str(found) for found in self._connection.execute(query, given).scalars()]
