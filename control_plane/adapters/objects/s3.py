"""Objects in an S3 bucket, written once by the store's own conditional writes."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from control_plane.adapters.objects.keys import check_key
from control_plane.domain.errors import Conflict, NotFound, SettingInvalid, Unavailable
from control_plane.domain.networks import is_loopback

_PARAMETERS: Final = frozenset({"region", "endpoint"})
_ATTEMPTS: Final = 5
_EXPECTED: Final = frozenset(
    {"NoSuchKey", "404", "NotFound", "PreconditionFailed", "ConditionalRequestConflict"}
)


class S3ObjectStore:
    """The port ``ObjectStore`` over a bucket.

    A key is written with ``If-None-Match: *``: of many writers the store itself lets one through.
    Credentials come from where boto3 finds them. Raises ``Unavailable`` when S3 does not answer.
    """

    def __init__(self, client: Any, bucket: str, prefix: str = "") -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @classmethod
    def at(cls, url: str) -> S3ObjectStore:
        """Return the store of ``s3://bucket/prefix?region=…&endpoint=…``.

        Raises ``SettingInvalid``.
        """
        import boto3  # noqa: PLC0415 - 30 MB that an installation on files does not need
        from botocore.config import Config  # noqa: PLC0415

        parsed = urlsplit(url)
        given = dict(parse_qsl(parsed.query))
        if parsed.scheme != "s3" or not parsed.hostname or set(given) - _PARAMETERS:
            raise SettingInvalid(
                "TENANTPLANE_OBJECTS_URL: write s3://bucket/prefix?region=…&endpoint=…; both "
                "parameters are optional, and there are no others"
            )
        endpoint = given.get("endpoint")
        direct = endpoint is not None and is_loopback(urlsplit(endpoint).hostname or "")
        config = Config(
            connect_timeout=5,
            read_timeout=30,
            retries={"mode": "standard", "max_attempts": 4},
            s3={"addressing_style": "path"} if endpoint else {},
            proxies={} if direct else None,  # None: as the environment says
        )
        client = boto3.session.Session().client(
            "s3", region_name=given.get("region"), endpoint_url=endpoint, config=config
        )
        return cls(client, parsed.netloc, parsed.path)

    def put(self, key: str, content: bytes) -> None:
        """Store durably; an existing key with other content is refused with ``Conflict``."""
        for _ in range(_ATTEMPTS):
            _, refused = self._ask("put_object", key, Body=content, IfNoneMatch="*")
            if not refused:
                return
            if refused == "PreconditionFailed":
                if self.get(key) != content:
                    raise Conflict(
                        "an object with this key and other content already exists",
                        constraint="object",
                    )
                return
            # ConditionalRequestConflict: another writer of this key is at work
        raise Unavailable("S3 reported conflicting writes to one object; try again")

    def get(self, key: str) -> bytes:
        """Return the content. Raises ``NotFound``."""
        found, absent = self._ask("get_object", key)
        if absent:
            raise NotFound("object not found")
        return bytes(found)

    def remove(self, key: str) -> None:
        """Remove the object, if there is one."""
        self._ask("delete_object", key)

    def _ask(self, operation: str, key: str, **given: Any) -> tuple[bytes, str]:
        """Call S3; returns the body, and the code of a refusal that is part of the protocol."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

        name = self._prefix + check_key(key)
        try:
            answer = getattr(self._client, operation)(Bucket=self._bucket, Key=name, **given)
            return answer["Body"].read() if operation == "get_object" else b"", ""
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code not in _EXPECTED:
                raise Unavailable(f"the object store refused the request: {code}") from error
            return b"", code
        except BotoCoreError as error:
            raise Unavailable(
                f"the object store is unreachable ({type(error).__name__})"
            ) from error
