"""Where a state backend keeps its files: a folder, a bucket or a table.

The engine lays the same tree of small files out in all of them (pulumi 3.259.0, ``pkg/backend/diy``
over ``gocloud.dev/blob``): as files below the folder, as objects below the prefix of the bucket, as
rows of a table whose keys begin with the name of the database. Paths here are those of the tree,
``/`` between their parts.
"""

from __future__ import annotations

import base64
import contextlib
import os
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from stacks.contract import Code
from stacks.engine.failures import CallFailed
from stacks.engine.outages import is_outage

_CONNECT_SECONDS = 10
_ANSWER_SECONDS = 60
_TABLE = "pulumi_state"

# What the engine's s3:// URLs may say, and what of it is understood here. Anything else would make
# the two look at different objects, or be refused by the engine with less to go by.
_S3_OPTIONS = frozenset(
    {
        *("region", "endpoint", "profile", "prefix", "awssdk", "ssetype", "kmskeyid"),
        *("s3ForcePathStyle", "use_path_style", "disableSSL", "disable_https"),
        "hostname_immutable",
    }
)


class Store(Protocol):
    """A tree of small files. Every method raises ``CallFailed`` when the store cannot be used."""

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, None when there is none."""

    def names(self, folder: str) -> list[str]:
        """Return the names of the files directly in a folder, sorted."""

    def write(self, path: str, content: bytes) -> None:
        """Make or replace a file at one go."""

    def create(self, path: str, content: bytes) -> bool:
        """Make a file at one go unless it is there; return whether it was made."""

    def delete(self, path: str) -> bool:
        """Delete a file; return whether it was there."""


def store_for(url: str, *, endpoint: str | None = None) -> Store:
    """Return the store that the URL of a state backend names.

    ``endpoint`` is that of the emulated cloud, which the engine takes for a bucket's as well.
    Raises ``CallFailed`` for a URL that cannot be supported.
    """
    parsed = urllib.parse.urlsplit(url)
    match parsed.scheme:
        case "file":
            path = urllib.parse.unquote(parsed.netloc + parsed.path)
            return FolderStore(Path(path).expanduser().absolute())
        case "s3":
            return _bucket(parsed, endpoint)
        case "postgres":
            return _table(parsed)
    raise _refused(f"a state backend is a file://, s3:// or postgres:// URL, not {parsed.scheme}:")


# --- a folder --------------------------------------------------------------------------------
@dataclass(frozen=True)
class FolderStore:
    """Files below a folder."""

    root: Path

    def read(self, path: str) -> bytes | None:
        """See ``Store``."""
        with _told(OSError):
            try:
                return (self.root / path).read_bytes()
            except FileNotFoundError:
                return None

    def names(self, folder: str) -> list[str]:
        """See ``Store``."""
        with _told(OSError):
            try:
                return sorted(p.name for p in (self.root / folder).iterdir() if p.is_file())
            except FileNotFoundError:
                return []

    def write(self, path: str, content: bytes) -> None:
        """See ``Store``."""
        with _told(OSError), self._draft(path, content) as draft:
            draft.replace(self.root / path)

    def create(self, path: str, content: bytes) -> bool:
        """See ``Store``."""
        with _told(OSError), self._draft(path, content) as draft:
            try:
                (self.root / path).hardlink_to(draft)
            except FileExistsError:
                return False
            return True

    @contextmanager
    def _draft(self, path: str, content: bytes) -> Iterator[Path]:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield draft
        finally:
            draft.unlink(missing_ok=True)

    def delete(self, path: str) -> bool:
        """See ``Store``."""
        with _told(OSError):
            try:
                (self.root / path).unlink()
            except FileNotFoundError:
                return False
            # notes that a bucket made of files keeps, if somebody's engine wrote them
            (self.root / f"{path}.attrs").unlink(missing_ok=True)
            return True


# --- a bucket --------------------------------------------------------------------------------
@dataclass(frozen=True)
class BucketStore:
    """Objects of a bucket below a prefix; ``client`` is boto3's."""

    client: Any
    bucket: str
    prefix: str
    encryption: Mapping[str, str] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        """See ``Store``."""
        with _told(*_aws_errors()):
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + path)
                return bytes(answer["Body"].read())
            except self.client.exceptions.NoSuchKey:
                return None

    def names(self, folder: str) -> list[str]:
        """See ``Store``."""
        start = f"{self.prefix}{folder}/"
        with _told(*_aws_errors()):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=start, Delimiter="/"
            )
            keys = [str(each["Key"]) for page in pages for each in page.get("Contents", ())]
        return sorted(key.removeprefix(start) for key in keys)

    def write(self, path: str, content: bytes) -> None:
        """See ``Store``."""
        with _told(*_aws_errors()):
            self.client.put_object(
                Bucket=self.bucket, Key=self.prefix + path, Body=content, **self.encryption
            )

    def create(self, path: str, content: bytes) -> bool:
        """See ``Store``."""
        with _told(*_aws_errors()):
            try:
                self.client.put_object(
                    Bucket=self.bucket, Key=self.prefix + path, Body=content, IfNoneMatch="*",
                    **self.encryption,
                )  # fmt: skip
            except self.client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] != "PreconditionFailed":
                    raise
                return False
            return True

    def delete(self, path: str) -> bool:
        """See ``Store``."""
        if self.read(path) is None:
            return False
        with _told(*_aws_errors()):
            self.client.delete_object(Bucket=self.bucket, Key=self.prefix + path)
        return True


def _bucket(url: urllib.parse.SplitResult, endpoint: str | None) -> BucketStore:
    import boto3  # noqa: PLC0415 - takes 0.2 s, which calls on other backends save
    from botocore.config import Config  # noqa: PLC0415

    options = _options(url)
    unknown = sorted(options.keys() - _S3_OPTIONS)
    if unknown:
        raise _refused(f"its s3:// URL says {', '.join(unknown)}, which is not supported")
    if not url.netloc:
        raise _refused("its s3:// URL names no bucket")
    place = options.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL_S3") or endpoint
    secure = not (_is_true(options, "disableSSL") or _is_true(options, "disable_https"))
    if place and "://" not in place:
        place = f"{'https' if secure else 'http'}://{place}"
    by_path = _is_true(options, "s3ForcePathStyle") or _is_true(options, "use_path_style")
    # The engine takes AWS_REGION first; boto3 does not know it.
    region = options.get("region") or os.environ.get("AWS_REGION")
    with _told(*_aws_errors()):
        session: Any = boto3.session.Session(profile_name=options.get("profile"))
        client = session.client(
            "s3",
            region_name=region or os.environ.get("AWS_DEFAULT_REGION"),
            endpoint_url=place,
            use_ssl=secure,
            config=Config(
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_ANSWER_SECONDS,
                s3={"addressing_style": "path" if by_path else "auto"},
            ),
        )
    sealed = {"ServerSideEncryption": "ssetype", "SSEKMSKeyId": "kmskeyid"}
    folder = url.path.strip("/")
    return BucketStore(
        client=client,
        bucket=url.netloc,
        prefix=options.get("prefix", "") + (f"{folder}/" if folder else ""),
        encryption={name: options[key] for name, key in sealed.items() if options.get(key)},
    )


# --- a table ---------------------------------------------------------------------------------
@dataclass(frozen=True)
class TableStore:
    """Rows of a table of PostgreSQL: ``key``, and ``data`` as ``{"data": <base64>}``."""

    conninfo: str = field(repr=False)  # may hold a password
    table: str
    prefix: str

    def read(self, path: str) -> bytes | None:
        """See ``Store``."""
        rows = self._run("SELECT data FROM {} WHERE key = %s", self.prefix + path)
        return base64.b64decode(rows[0][0]["data"]) if rows else None

    def names(self, folder: str) -> list[str]:
        """See ``Store``."""
        start = f"{self.prefix}{folder}/"
        rows = self._run("SELECT key FROM {} WHERE starts_with(key, %s)", start)
        below = [str(key).removeprefix(start) for (key,) in rows]
        return sorted(name for name in below if "/" not in name)

    def write(self, path: str, content: bytes) -> None:
        """See ``Store``."""
        from psycopg.types.json import Json  # noqa: PLC0415 - see ``_run``

        self._run(
            "INSERT INTO {} (key, data, updated_at) VALUES (%s, %s, now()) ON CONFLICT (key)"
            " DO UPDATE SET data = excluded.data, updated_at = excluded.updated_at",
            self.prefix + path,
            Json({"data": base64.b64encode(content).decode()}),
        )

    def create(self, path: str, content: bytes) -> bool:
        """See ``Store``."""
        from psycopg.types.json import Json  # noqa: PLC0415 - see ``_run``

        made = self._run(
            "INSERT INTO {} (key, data, updated_at) VALUES (%s, %s, now())"
            " ON CONFLICT (key) DO NOTHING RETURNING key",
            self.prefix + path,
            Json({"data": base64.b64encode(content).decode()}),
        )
        return bool(made)

    def delete(self, path: str) -> bool:
        """See ``Store``."""
        return bool(self._run("DELETE FROM {} WHERE key = %s RETURNING key", self.prefix + path))

    def _run(self, text: str, *values: Any) -> list[Any]:
        import psycopg  # noqa: PLC0415 - calls on other backends do without
        from psycopg import sql  # noqa: PLC0415

        statement = sql.SQL(text).format(sql.Identifier(self.table))
        with _told(psycopg.Error), psycopg.connect(self.conninfo, autocommit=True) as connection:
            try:
                cursor = connection.execute(statement, values)
            except psycopg.errors.UndefinedTable:
                return []  # the engine makes it when it makes the first stack
            return cursor.fetchall() if cursor.description else []


def _table(url: urllib.parse.SplitResult) -> TableStore:
    database = urllib.parse.unquote(url.path.strip("/"))
    if not database or "/" in database:
        raise _refused("its postgres:// URL must name the database, by which all keys begin")
    options = _options(url)
    table = options.pop("table", _TABLE)
    defaults = {
        "connect_timeout": str(_CONNECT_SECONDS),
        "tcp_user_timeout": str(_ANSWER_SECONDS * 1000),
    }
    if "PGSSLMODE" not in os.environ:
        defaults["sslmode"] = "require"  # the engine's driver does so unless it is told otherwise
    query = urllib.parse.urlencode({**defaults, **options}, quote_via=urllib.parse.quote)
    conninfo = url._replace(query=query, fragment="").geturl()
    _check_conninfo(conninfo)
    return TableStore(conninfo=conninfo, table=table, prefix=f"{database}/")


def _check_conninfo(conninfo: str) -> None:
    import psycopg  # noqa: PLC0415 - see ``TableStore._run``
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        # its text would quote the URL, password included
        raise _refused("its postgres:// URL has a parameter that libpq does not know") from None


# --- what they share -------------------------------------------------------------------------
def _options(url: urllib.parse.SplitResult) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))


def _is_true(options: Mapping[str, str], name: str) -> bool:
    return options.get(name, "").lower() in ("true", "1", "t")


def _aws_errors() -> tuple[type[Exception], ...]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - loaded by now

    return (BotoCoreError, ClientError)


@contextmanager
def _told(*kinds: type[Exception]) -> Iterator[None]:
    """Raise what a store says as ``CallFailed``, without the address, which may hold a password."""
    try:
        yield
    except kinds as error:
        code = getattr(error, "response", {}).get("Error", {}).get("Code")
        with contextlib.suppress(AttributeError):
            code = code or getattr(error, "sqlstate", None) or os.strerror(error.errno)  # type: ignore[attr-defined] # OSError's
        why = code or type(error).__name__
        if is_outage(error):
            raise CallFailed(
                Code.BACKEND_UNAVAILABLE,
                f"The state backend is not available ({why}): check that it is reachable.",
            ) from error
        raise CallFailed(
            Code.BACKEND,
            f"The state backend cannot be used ({why}): check its URL, its credentials and that "
            f"it is reachable.",
        ) from error


def _refused(why: str) -> CallFailed:
    return CallFailed(
        Code.BACKEND,
        f"The state backend cannot be used: {why}. Change TENANTPLANE_STATE_URL.",
        data={},
    )
