"""What became of a create: looked up in the cloud with the credentials that the stack is made with.

A thing is ours when it carries every tag that it was to be made with, the deployment's among them,
or, where a service cannot tag at creation, when its name or its parent leave no doubt.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from stacks.contract import UNKNOWN, Code, Request
from stacks.descriptions import new_session
from stacks.engine.backend import State
from stacks.engine.failures import CallFailed
from stacks.engine.identities import LOOKUPS, SETTINGS, Found, Unknowable
from stacks.engine.state import ids_of
from stacks.engine.values import is_secret

DEPLOYMENT_TAG = "tenantplane:deployment"

_THREADS = 8
_CONNECT_SECONDS = 10
_ANSWER_SECONDS = 60
_ATTEMPTS = 4
_LOOK_SECONDS = 0.2  # between two looks whether the call is to stop
_NAMES = ("name", "bucket", "identifier")  # inputs that are the physical name


@dataclass(frozen=True)
class Verdict:
    """What a look-up showed of one create.

    ``id`` is that of the thing if it exists and is ours; ``sure`` is false when that is unknown.
    """

    urn: str
    type: str
    proof: str
    id: str | None = None
    sure: bool = True


class Cloud:
    """Asks the services of the cloud; its methods may be called by several threads.

    Raises ``CallFailed`` when the role of the request cannot be assumed.
    """

    def __init__(self, request: Request) -> None:
        cloud = request.cloud
        self.deployment = str(request.spec.get("owner", {}).get("deployment", ""))
        self._options: dict[str, Any] = {"region_name": cloud.region, "config": _patience()}
        if cloud.endpoint:
            self._options["endpoint_url"] = cloud.endpoint
        self._session: Any = new_session()  # its services are names from the table
        if cloud.role_arn:
            sts = self._session.create_client("sts", **self._options)
            self._options |= _assumed(sts, cloud.role_arn, cloud.external_id)
        self._clients: dict[tuple[str, str | None], Any] = {}
        self._making = threading.Lock()

    def client(self, service: str, *, region: str | None = None) -> Any:
        """Return the client of a service, of another region if one is named.

        Making one is not safe in several threads.
        """
        with self._making:
            if (service, region) not in self._clients:
                options = self._options | ({"region_name": region} if region else {})
                self._clients[service, region] = self._session.create_client(service, **options)
            return self._clients[service, region]

    def verdicts(
        self,
        state: State | None,
        resources: Sequence[Mapping[str, Any]],
        *,
        heed: Callable[[], None],
    ) -> list[Verdict]:
        """Look up what resources, in the form of a state but without ids, have become.

        Ids that the state holds already are of other resources. ``heed`` is called repeatedly
        meanwhile; what it raises ends the wait for the cloud.
        """
        pool = ThreadPoolExecutor(max_workers=_THREADS)
        try:
            asked = [pool.submit(self._verdict, state, each) for each in resources]
            while wait(asked, timeout=_LOOK_SECONDS).not_done:
                heed()
            return [each.result() for each in asked]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _verdict(self, state: State | None, resource: Mapping[str, Any]) -> Verdict:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - loaded by now

        urn, kind = str(resource["urn"]), str(resource["type"])
        if is_of_the_state_alone(resource):
            return Verdict(urn, kind, "it exists only in the state")
        if kind in SETTINGS:
            return Verdict(urn, kind, "creating it again overwrites it")
        lookup = LOOKUPS.get(kind)
        if lookup is None:
            return Verdict(urn, kind, "this type cannot be looked up", sure=False)
        inputs = resource.get("inputs") or {}
        try:
            found = list(lookup(self.client, inputs))
        except (ClientError, BotoCoreError) as error:
            return Verdict(
                urn, kind, f"the cloud refused the look-up: {code_of(error)}", sure=False
            )
        except Unknowable:
            return Verdict(urn, kind, "its parent does not exist")
        except KeyError as error:
            return Verdict(urn, kind, f"its inputs have no {error}", sure=False)
        return _judged(
            Verdict(urn, kind, ""), inputs, self._wanted(inputs), found, ids_of(state, kind)
        )

    def _wanted(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        tags = {**(inputs.get("tags") or {}), **(inputs.get("tagsAll") or {})}
        known = {k: v for k, v in tags.items() if v != UNKNOWN and not is_secret(v)}
        return {**known, DEPLOYMENT_TAG: self.deployment}


def is_of_the_state_alone(resource: Mapping[str, Any]) -> bool:
    """Tell whether a resource, a component or a provider, has nothing in the cloud."""
    return not resource.get("custom") or str(resource["type"]).startswith("pulumi:")


def code_of(error: Exception) -> str:
    """Return AWS's code of an error of botocore, its class when AWS did not answer."""
    answer: Mapping[str, Any] = getattr(error, "response", {})
    return str(answer.get("Error", {}).get("Code", type(error).__name__))


def _judged(
    subject: Verdict,
    inputs: Mapping[str, Any],
    wanted: Mapping[str, Any],
    found: Sequence[Found],
    known: Collection[str],
) -> Verdict:
    urn, kind = subject.urn, subject.type
    new = [f for f in found if f.id not in known]
    ours = [f for f in new if f.tags is None or wanted.items() <= f.tags.items()]
    if len(ours) == 1:
        carries = f" and carries {DEPLOYMENT_TAG}={wanted[DEPLOYMENT_TAG]}"
        proof = f"{ours[0].id} exists" + ("" if ours[0].tags is None else carries)
        return Verdict(urn, kind, proof, id=ours[0].id)
    if len(ours) > 1:
        ids = ", ".join(f.id for f in ours)
        return Verdict(urn, kind, f"several resources carry its tags: {ids}", sure=False)
    name = next((inputs[k] for k in _NAMES if isinstance(inputs.get(k), str)), None)
    if new and name is not None:  # what has a name is looked up by it
        proof = f"{new[0].id} exists but does not carry the deployment's tags"
        return Verdict(urn, kind, proof, sure=False)
    absent = "has its tags" if name is None else f"is named {name}"
    return Verdict(urn, kind, f"nothing in the cloud {absent}")


def _patience() -> Any:
    """Return how long the clients wait: one that hears nothing gives up within minutes."""
    from botocore.config import Config  # noqa: PLC0415 - loaded by now

    return Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_ANSWER_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    )


def _assumed(sts: Any, role_arn: str, external_id: str | None) -> dict[str, str]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - loaded by now

    extra = {"ExternalId": external_id} if external_id else {}
    try:
        credentials = sts.assume_role(RoleArn=role_arn, RoleSessionName="tenantplane", **extra)[
            "Credentials"
        ]
    except (ClientError, BotoCoreError) as error:
        code = code_of(error)
        raise CallFailed(
            Code.PROVIDER,
            f"The role {role_arn} cannot be assumed, so the cloud was not asked: {code}.",
            data={"aws_code": code},
        ) from error
    return {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    }
