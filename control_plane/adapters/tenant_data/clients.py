"""Clients of one place, and what their refusals mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from control_plane.domain.errors import DataUnreadable, Unavailable
from control_plane.domain.networks import is_loopback
from control_plane.domain.transfer import Place

THREADS: Final = 8
_OVERLOADED: Final = frozenset(
    {"InternalError", "InternalServerError", "ServiceUnavailable", "SlowDown", "Throttling",
     "ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"}
)  # fmt: skip

Clients = Callable[[str], Any]  # service -> client


def clients_of(place: Place, endpoint: str | None) -> Clients:
    """Return what makes the clients of a place, each once.

    ``endpoint`` is that of the emulated cloud, None for AWS. Credentials come from where boto3
    finds them; the role of the account is assumed with them.
    """
    import boto3  # noqa: PLC0415 - 30 MB that only a transfer needs
    from botocore.config import Config  # noqa: PLC0415

    direct = endpoint is not None and is_loopback(urlsplit(endpoint).hostname or "")
    config = Config(
        connect_timeout=5,
        read_timeout=60,
        retries={"mode": "standard", "max_attempts": 5},
        max_pool_connections=2 * THREADS,
        s3={"addressing_style": "path"} if endpoint else {},
        proxies={} if direct else None,  # None: as the environment says
    )
    keys: Any = (
        {"aws_access_key_id": "sandbox", "aws_secret_access_key": "sandbox"} if endpoint else {}
    )
    session: Any = boto3.session.Session(region_name=place.region, **keys)
    if place.role_arn is not None:
        sts = session.client("sts", endpoint_url=endpoint, config=config)
        extra = {"ExternalId": place.external_id} if place.external_id else {}
        with translated("the account's role"):
            given = sts.assume_role(
                RoleArn=place.role_arn, RoleSessionName="tenantplane-transfer", **extra
            )["Credentials"]
        session = boto3.session.Session(
            region_name=place.region,
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
        )
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            made[service] = session.client(service, endpoint_url=endpoint, config=config)
        return made[service]

    return client


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise what a store answers as ``Unavailable`` or ``DataUnreadable``, which names ``what``."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - loaded by now

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _OVERLOADED:
            raise Unavailable(f"{what} cannot be used now: {code}") from error
        raise DataUnreadable(
            f"{what}: {error.operation_name} is refused: {code}", aws_code=code
        ) from error
    except BotoCoreError as error:
        raise Unavailable(f"{what} does not answer ({type(error).__name__})") from error


def is_missing(error: Any) -> bool:
    """Tell whether a ``ClientError`` says that the thing does not exist."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code in {"NoSuchKey", "NoSuchVersion", "404", "NotFound", "ParameterNotFound",
                    "ResourceNotFoundException"}  # fmt: skip
