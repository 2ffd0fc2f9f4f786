"""Logs of stacks for tests: one in each kind of store, and what an engine would say to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.postgres import EmbeddedPostgres
from stacks.contract import Code
from stacks.engine.backend import Backend
from stacks.engine.failures import CallFailed
from stacks.engine.sealing import Sealer
from stacks.engine.stores import Store, store_for
from tests.databases import new_database
from tests.stacks.cloud_process import REGION, CloudProcess

ENGINE = "v3.259.0"
SEALER = Sealer("a passphrase for tests only", "of logs")


@pytest.fixture(scope="session")
def bucket_url(runner_cloud: CloudProcess) -> str:
    runner_cloud.client("s3").create_bucket(
        Bucket="logs-of-states", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    place = f"endpoint={runner_cloud.endpoint}&s3ForcePathStyle=true"
    return f"s3://logs-of-states/of/tests?region={REGION}&{place}"


@pytest.fixture(scope="session")
def table_url(postgres_server: EmbeddedPostgres) -> str:
    name = new_database(postgres_server)
    return postgres_server.url("tenantplane_owner", name).replace("postgresql://", "postgres://")


@pytest.fixture(params=["folder", "bucket", "table"])
def store_url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The URL of each kind of store."""
    if request.param == "folder":
        return f"file://{tmp_path}/states"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return str(request.getfixturevalue(f"{request.param}_url"))


Open = Callable[[], Backend]


@pytest.fixture
def open_stack(store_url: str) -> Open:
    """Open the stack of a test once more, as another process would."""
    stack = f"acme-{os.urandom(3).hex()}.production.a"
    return lambda: Backend(store=store_for(store_url), stack=stack, engine=ENGINE, sealer=SEALER)


@pytest.fixture
def backend(open_stack: Open) -> Backend:
    return open_stack()


def nothing() -> None:
    """Do nothing."""


@dataclass
class Between:
    """A store that does something before or after one of its operations, once."""

    store: Store
    name: str
    before: Callable[[], Any]
    after: Callable[[], Any]
    times: Iterator[int] = field(default_factory=lambda: iter([1]))

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self.store, name)

        def done(*arguments: Any) -> Any:
            is_now = name == self.name and next(self.times, None) is not None
            if is_now:
                self.before()
            answer = operation(*arguments)
            if is_now:
                self.after()
            return answer

        return done


def between(
    backend: Backend,
    name: str,
    *,
    before: Callable[[], Any] = nothing,
    after: Callable[[], Any] = nothing,
) -> Backend:
    return replace(backend, store=Between(backend.store, name, before, after))


def outage() -> None:
    raise CallFailed(Code.BACKEND_UNAVAILABLE, "The answer was lost.")


# --- what an engine would say ----------------------------------------------------------------
def urn(name: str) -> str:
    return f"urn:pulumi:s::tenantplane::aws:ssm/parameter:Parameter::{name}"


def began(number: int) -> dict[str, Any]:
    resource = {"urn": urn(f"r{number}"), "type": "aws:ssm/parameter:Parameter"}
    operation = {"type": "creating", "resource": resource}
    return {"kind": 0, "sequenceID": 2 * number, "operationID": number, "operation": operation}


def made(number: int) -> dict[str, Any]:
    state = {"urn": urn(f"r{number}"), "type": "aws:ssm/parameter:Parameter", "id": f"{number}"}
    return {"kind": 1, "sequenceID": 2 * number + 1, "operationID": number, "state": state}


SECRETS = {"kind": 6, "sequenceID": 0, "operationID": 0, "secretsProvider": {"type": "service"}}


def ids(state: Any) -> list[str]:
    """Return the ids of the resources of a state, in order."""
    return [r["id"] for r in state["resources"]]


def timeless(state: Any) -> dict[str, Any]:
    return {**state, "manifest": None}


def pending(state: Any) -> list[str]:
    return [p["resource"]["urn"] for p in state.get("pending_operations") or ()]


def records(backend: Backend) -> list[tuple[int, str]]:
    """Return number and kind of every record."""
    found = []
    for name in backend.store.names(f"stacks/{backend.stack}"):
        number = int(name.removesuffix(".json"))
        record = backend.read(number)
        assert record is not None
        found.append((number, str(record["record"])))
    return found


def written(backend: Backend, call_id: str, *numbers: int) -> None:
    """Make an update that makes resources."""
    update = backend.take(call_id)
    update.record([entry for n in numbers for entry in (began(n), made(n))])
    update.close("succeeded")


def refused(act: Callable[[], Any]) -> CallFailed:
    with pytest.raises(CallFailed) as failed:
        act()
    assert failed.value.code is Code.LOCKED
    return failed.value
