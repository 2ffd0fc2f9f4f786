"""Values of secrets and parameters. They pass from store to store in memory; digests are keyed."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from typing import Any, Final

from control_plane.adapters.tenant_data.clients import Clients, is_missing
from control_plane.domain.canonical import digest
from control_plane.domain.errors import DataDiffers
from control_plane.domain.transfer import Copied, Kind, Place, Thing

_CURRENT: Final = "AWSCURRENT"
_OF_THE_APPLICATION: Final = "app"  # beside it lie those that the programs of the stacks write


def keyed(key: bytes, *parts: str | bytes) -> str:
    """Return a digest that says nothing without the key."""
    found = hmac.new(key, digestmod=hashlib.sha256)
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        found.update(len(content).to_bytes(8, "big") + content)
    return f"hmac-sha256:{found.hexdigest()}"


# --- secrets ---------------------------------------------------------------------------------
def secrets(client: Clients, place: Place) -> Iterator[Thing]:
    """Return the secrets that have a value, by what each is for."""
    manager = client("secretsmanager")
    for purpose, name in sorted(place.secrets.items()):
        stages = manager.describe_secret(SecretId=name).get("VersionIdsToStages") or {}
        for version, labels in stages.items():
            if _CURRENT in labels:
                yield Thing(kind=Kind.SECRET, name=purpose, version=version)


def other_secrets(client: Clients, place: Place) -> tuple[str, ...]:
    """Return names of secrets that were made beside those of the deployment."""
    own = set(place.secrets.values())
    folders = {name.partition("/")[0] for name in own}
    pages = client("secretsmanager").get_paginator("list_secrets")
    found = [
        str(one["Name"])
        for folder in sorted(folders)
        for page in pages.paginate(Filters=[{"Key": "name", "Values": [f"{folder}/"]}])
        for one in page["SecretList"]
    ]
    return tuple(sorted({name for name in found if name not in own}))


def copy_secrets(
    read: Clients, write: Clients, source: Place, target: Place, asked: Sequence[Thing], key: bytes
) -> list[Copied]:
    """Copy values. The version has the same id in both places, so it is stored once."""
    copied = []
    for one in asked:
        found = read("secretsmanager").get_secret_value(
            SecretId=source.secrets[one.name], VersionId=one.version
        )
        value = {name: found[name] for name in ("SecretString", "SecretBinary") if name in found}
        shell = target.secrets[one.name]
        write("secretsmanager").put_secret_value(
            SecretId=shell, ClientRequestToken=one.version, VersionStages=[_CURRENT], **value
        )
        there = write("secretsmanager").get_secret_value(SecretId=shell)
        if _value(key, there) != _value(key, found) or there["VersionId"] != one.version:
            raise DataDiffers("a secret cannot be read as it was stored", kind=str(Kind.SECRET))
        copied.append(
            Copied(kind=Kind.SECRET, name=one.name, version=one.version,
                   target_version=one.version, digest=_value(key, found))
        )  # fmt: skip
    return copied


def _value(key: bytes, answer: dict[str, Any]) -> str:
    if "SecretString" in answer:
        return keyed(key, "text", answer["SecretString"])
    return keyed(key, "binary", answer["SecretBinary"])


def describe_secrets(client: Clients, place: Place, asked: Sequence[Thing]) -> list[Copied]:
    """Return secrets as references; no value is read."""
    del client, place
    return [
        Copied(kind=Kind.SECRET, name=one.name, version=one.version, target_version="", digest="")
        for one in asked
    ]


def empty_secrets(client: Clients, place: Place, purposes: Sequence[str]) -> None:
    """Take the value's label away from its version; the shell stays, and has no value then."""
    manager = client("secretsmanager")
    for purpose in purposes:
        stages = manager.describe_secret(SecretId=place.secrets[purpose])
        for version, labels in (stages.get("VersionIdsToStages") or {}).items():
            for label in labels:
                manager.update_secret_version_stage(
                    SecretId=place.secrets[purpose], VersionStage=label,
                    RemoveFromVersionId=version,
                )  # fmt: skip


# --- parameters ------------------------------------------------------------------------------
def parameters(client: Clients, place: Place) -> Iterator[Thing]:
    """Return the settings of the application: the parameters below ``app/`` of its path."""
    path = f"{place.parameters}/{_OF_THE_APPLICATION}"
    pages = client("ssm").get_paginator("get_parameters_by_path")
    for page in pages.paginate(Path=path, Recursive=True, WithDecryption=False):
        for one in page["Parameters"]:
            name = str(one["Name"]).removeprefix(f"{place.parameters}/")
            yield Thing(kind=Kind.PARAMETER, name=name, version=str(one["Version"]))


def copy_parameters(
    read: Clients, write: Clients, source: Place, target: Place, asked: Sequence[Thing], key: bytes
) -> list[Copied]:
    """Copy parameters; one that has its value already is not written a second time."""
    copied = []
    for one in asked:
        found = _parameter(read, f"{source.parameters}/{one.name}")
        if found is None:
            continue
        path = f"{target.parameters}/{one.name}"
        there = _parameter(write, path)
        if there is None or _parameter_digest(key, there) != _parameter_digest(key, found):
            sealed = {"KeyId": target.data_key_arn} if found["Type"] == "SecureString" else {}
            write("ssm").put_parameter(
                Name=path, Value=found["Value"], Type=found["Type"], Overwrite=True, **sealed
            )
            there = _parameter(write, path)
        if there is None or _parameter_digest(key, there) != _parameter_digest(key, found):
            raise DataDiffers("a parameter cannot be read as it was stored",
                              kind=str(Kind.PARAMETER))  # fmt: skip
        copied.append(
            Copied(kind=Kind.PARAMETER, name=one.name, version=str(found["Version"]),
                   target_version=str(there["Version"]), digest=_parameter_digest(key, found),
                   size=len(found["Value"].encode()))
        )  # fmt: skip
    return copied


def describe_parameters(client: Clients, place: Place, asked: Sequence[Thing]) -> list[Copied]:
    """Return parameters with their digests; one that is encrypted is a reference."""
    described = []
    for one in asked:
        found = _parameter(client, f"{place.parameters}/{one.name}", decrypts=False)
        if found is None:
            continue
        is_secret = found["Type"] == "SecureString"
        described.append(
            Copied(
                kind=Kind.PARAMETER,
                name=one.name,
                version=str(found["Version"]),
                target_version="",
                digest="" if is_secret else digest([found["Type"], found["Value"]]),
                size=0 if is_secret else len(found["Value"].encode()),
            )
        )
    return described


def _parameter(client: Clients, path: str, *, decrypts: bool = True) -> dict[str, Any] | None:
    from botocore.exceptions import ClientError  # noqa: PLC0415 - loaded by now

    try:
        found: dict[str, Any] = client("ssm").get_parameter(Name=path, WithDecryption=decrypts)
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return dict(found["Parameter"])


def _parameter_digest(key: bytes, parameter: dict[str, Any]) -> str:
    return keyed(key, parameter["Type"], parameter["Value"])


def remove_parameters(client: Clients, place: Place, names: Sequence[str]) -> None:
    """Remove parameters; one that is not there is no fault."""
    for start in range(0, len(names), 10):  # so many in one request
        part = names[start : start + 10]
        client("ssm").delete_parameters(Names=[f"{place.parameters}/{name}" for name in part])
