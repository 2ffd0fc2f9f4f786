"""The operation ``resolve_pending``: what became of creates that a dead engine had begun."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stacks.contract import Code, Resolved, Result
from stacks.engine.applying import touched
from stacks.engine.backend import State, salt_of
from stacks.engine.call import Call
from stacks.engine.failures import CallFailed, name_of
from stacks.engine.identities import LOOKUPS, SETTINGS, Found
from stacks.engine.state import ids_of, outputs_of, pending_creates, pending_of, resources_of

_DEPLOYMENT_TAG = "tenantplane:deployment"
_CONSISTENCY_SECONDS = 10.0  # AWS may not show at once what it has just made
_REFRESH = ["refresh", "--yes", "--skip-preview", "--skip-plugin-pre-install"]


@dataclass(frozen=True)
class Verdict:
    """What a lookup showed: ``import_id`` if it exists and is ours; not ``sure``: unresolved."""

    urn: str
    type: str
    proof: str
    import_id: str | None = None
    sure: bool = True


def resolve_pending(call: Call) -> Result:
    """Import what exists and is ours, clear what does not exist; else change nothing and fail."""
    state = call.state()
    creates = pending_creates(state)
    with call.phase("look_up"):
        verdicts = _verdicts(call, state, creates)
    unsure = [v for v in verdicts if not v.sure]
    if unsure:
        raise CallFailed(
            Code.PENDING_UNRESOLVED,
            "It cannot be told what became of: "
            + "; ".join(f"{name_of(v.urn)} ({v.proof})" for v in unsure),
            data={"resources": [{"urn": v.urn, "type": v.type, "why": v.proof} for v in unsure]},
        )
    if state is not None and pending_of(state):
        _settle(call, state, verdicts)
    return _result(call, verdicts)


def _settle(call: Call, state: State, verdicts: Sequence[Verdict]) -> None:
    """Write the verdicts into the state, and let the engine read what was imported.

    The engine's own ``--import-pending-creates`` forgets the resource instead (3.259.0). Here it
    keeps the inputs it was to be created with, so that the next preview finds it the same.
    """
    call.check_version()
    call.write_state(_settled(state, verdicts))
    with call.phase("refresh"):
        done = call.engine(
            "refresh",
            [*_REFRESH, *call.message()],
            doing="settle the interrupted operations",
            seconds=call.request.deadlines.apply_seconds,
            program=False,
            locks=True,
        )
    if done.failure is not None:
        raise touched(call, done)
    after = call.state()
    left = [p.urn for p in pending_of(after)]
    present = {r.urn for r in resources_of(after)}
    left += [v.urn for v in verdicts if v.import_id is not None and v.urn not in present]
    if left:
        raise CallFailed(
            Code.PENDING_UNRESOLVED,
            "The engine did not settle: " + ", ".join(map(name_of, left)),
            data={"resources": [{"urn": urn} for urn in left]},
        )


def _settled(state: State, verdicts: Sequence[Verdict]) -> State:
    """Return the state without interrupted creates and with what of them exists.

    Operations of other kinds stay: a refresh settles them.
    """
    ids = {v.urn: v.import_id for v in verdicts}
    imported = [_existing(r, str(ids[r["urn"]])) for r in pending_creates(state) if ids[r["urn"]]]
    others = [p for p in state.get("pending_operations") or () if p.get("type") != "creating"]
    return {
        **state,
        "resources": [*(state.get("resources") or ()), *imported],
        "pending_operations": others,
    }


def _existing(resource: Mapping[str, Any], identity: str) -> dict[str, Any]:
    inputs = resource.get("inputs") or {}
    outputs = {k: v for k, v in inputs.items() if not k.startswith("__")}
    return {**resource, "id": identity, "outputs": {**outputs, "id": identity}}


def _result(call: Call, verdicts: Sequence[Verdict]) -> Result:
    state = call.state()
    outputs, secret_outputs = outputs_of(state)
    return Result(
        outcome="resolved",
        outputs=outputs,
        secret_outputs=secret_outputs,
        state_digest=None if state is None else call.digest_of(state),
        history_digest=call.history_digest(),
        resources=tuple(resources_of(state)),
        resolved=tuple(
            Resolved(
                urn=v.urn,
                type=v.type,
                resolution="imported" if v.import_id is not None else "cleared",
                proof=v.proof,
            )
            for v in verdicts
        ),
        stack_salt=salt_of(state),
        encrypted_key=call.request.encrypted_key,
        seconds=call.seconds,
    )


def _verdicts(
    call: Call, state: State | None, creates: Sequence[Mapping[str, Any]]
) -> list[Verdict]:
    if not creates:
        return []
    cloud = _Cloud(call)
    verdicts = [cloud.verdict(state, resource) for resource in creates]
    if call.request.cloud.endpoint is None and any(_absent(v) for v in verdicts):
        time.sleep(_CONSISTENCY_SECONDS)
        verdicts = [
            cloud.verdict(state, resource) if _absent(verdict) else verdict
            for verdict, resource in zip(verdicts, creates, strict=True)
        ]
    return verdicts


def _absent(verdict: Verdict) -> bool:
    return verdict.sure and verdict.import_id is None and verdict.type in LOOKUPS


class _Cloud:
    """Looks things up with the credentials and the role that the stack is made with."""

    def __init__(self, call: Call) -> None:
        import boto3  # noqa: PLC0415 - only this operation asks the cloud itself

        cloud = call.request.cloud
        self._deployment = str(call.request.spec.get("owner", {}).get("deployment", ""))
        self._options: dict[str, Any] = {"region_name": cloud.region}
        if cloud.endpoint:
            self._options["endpoint_url"] = cloud.endpoint
        if cloud.role_arn:
            self._options |= _assumed(boto3, self._options, cloud.role_arn, cloud.external_id)
        self._session: Any = boto3.session.Session()  # its services are names from the table
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Return the client of a service."""
        if service not in self._clients:
            self._clients[service] = self._session.client(service, **self._options)
        return self._clients[service]

    def verdict(self, state: State | None, resource: Mapping[str, Any]) -> Verdict:
        """Look one interrupted create up."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - see above

        urn, kind = str(resource["urn"]), str(resource["type"])
        if not resource.get("custom") or kind.startswith("pulumi:"):
            return Verdict(urn, kind, "it exists in the state alone")
        if kind in SETTINGS:
            return Verdict(urn, kind, "creating it again writes over itself")
        lookup = LOOKUPS.get(kind)
        if lookup is None:
            return Verdict(urn, kind, "there is no way to look this type up", sure=False)
        inputs = resource.get("inputs") or {}
        known = ids_of(state, kind)
        try:
            found = [f for f in lookup(self.client, inputs) if f.id not in known]
        except (ClientError, BotoCoreError) as error:
            code = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
            return Verdict(urn, kind, f"the cloud refused to tell: {code}", sure=False)
        except KeyError as error:
            return Verdict(urn, kind, f"its inputs have no {error}", sure=False)
        return self._judge(urn, kind, inputs, found)

    def _judge(
        self, urn: str, kind: str, inputs: Mapping[str, Any], found: Sequence[Found]
    ) -> Verdict:
        wanted = {
            **(inputs.get("tags") or {}),
            **(inputs.get("tagsAll") or {}),
            _DEPLOYMENT_TAG: self._deployment,
        }
        ours = [f for f in found if f.tags is None or wanted.items() <= f.tags.items()]
        named = any(isinstance(inputs.get(k), str) for k in ("name", "bucket", "identifier"))
        if len(ours) == 1:
            proof = f"{ours[0].id} exists" + (
                "" if ours[0].tags is None else f" and carries {_DEPLOYMENT_TAG}={self._deployment}"
            )
            return Verdict(urn, kind, proof, import_id=ours[0].id)
        if len(ours) > 1:
            ids = ", ".join(f.id for f in ours)
            return Verdict(urn, kind, f"more than one carry its tags: {ids}", sure=False)
        if found and named and not kind.startswith("aws:kms/key"):
            return Verdict(
                urn, kind, f"{found[0].id} exists but does not carry the deployment's tags",
                sure=False,
            )  # fmt: skip
        what = f"named {_name(inputs)}" if named else "with its tags"
        return Verdict(urn, kind, f"the cloud has none {what}")


def _name(inputs: Mapping[str, Any]) -> str:
    return str(inputs.get("name") or inputs.get("bucket") or inputs.get("identifier"))


def _assumed(
    boto3: Any, options: Mapping[str, Any], role_arn: str, external_id: str | None
) -> dict[str, str]:
    extra = {"ExternalId": external_id} if external_id else {}
    credentials = boto3.client("sts", **options).assume_role(
        RoleArn=role_arn, RoleSessionName="tenantplane", **extra
    )["Credentials"]
    return {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    }
