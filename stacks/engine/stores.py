"""Where a state backend keeps its records: a folder, a bucket or a table.

The same tree of small files is laid out in all of them: as files below the folder, as objects below
the prefix of the bucket, as rows of a table. Paths here are those of the tree, ``/`` between their
parts.
"""

from __future__ import annotations

import contextlib
import os
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from stacks.contract import Code
from stacks.engine.failures import CallFailed
from stacks.engine.outages import is_outage

_CONNECT_SECONDS = 10
_ANSWER_SECONDS = 60
_TABLE = "stack_record"
_TABLE_OF_RECORDS = (
    'CREATE TABLE {} (key text COLLATE "C" PRIMARY KEY, content bytea NOT NULL,'
    " made_at timestamptz NOT NULL DEFAULT now())"
)
_LAST = "\U0010ffff"  # after every name
_DELETED_AT_ONCE = 1000  # the most that S3 takes

# What an s3:// URL may say, by the names that the engine's own have.
_S3_OPTIONS = frozenset(
    {
        *("region", "endpoint", "profile", "prefix", "awssdk", "ssetype", "kmskeyid"),
        *("s3ForcePathStyle", "use_path_style", "disableSSL", "disable_https"),
        "hostname_immutable",
    }
)


class Store(Protocol):
    """A tree of small files that never change once they are made.

    Every method raises ``CallFailed`` when the store cannot be used.
    """

    def newest(self, folder: str) -> tuple[str, bytes] | None:
        """Return name and content of the last file of a folder by name, None when it is empty."""

    def names(self, folder: str) -> list[str]:
        """Return the names of the files of a folder, which has no folders in it, sorted."""

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, None when there is none."""

    def create(self, path: str, content: bytes) -> bool:
        """Make a file at one go unless it is there; return whether it was made.

        After a failure it may have been made all the same.
        """

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files; one that is not there is as good as deleted."""


def store_for(url: str, *, endpoint: str | None = None) -> Store:
    """Return the store that the URL of a state backend names.

    ``endpoint`` is that of the emulated cloud, which has a bucket as well.
    Raises ``CallFailed`` for a URL that cannot be supported.
    """
    parsed = urllib.parse.urlsplit(url)
    match parsed.scheme:
        case "file":
            path = urllib.parse.unquote(parsed.netloc + parsed.path)
            return FolderStore(Path(path).expanduser().absolute())
        case "s3":
            return _bucket(parsed, endpoint)
        case "postgres" | "postgresql":
            return _table(parsed)
    raise _refused(f"a state backend is a file://, s3:// or postgres:// URL, not {parsed.scheme}:")


# --- a folder --------------------------------------------------------------------------------
@dataclass(frozen=True)
class FolderStore:
    """Files below a folder."""

    root: Path

    def newest(self, folder: str) -> tuple[str, bytes] | None:
        """See ``Store``."""
        return _newest(self, folder)

    def names(self, folder: str) -> list[str]:
        """See ``Store``."""
        with _told(OSError):
            try:
                found = [p.name for p in (self.root / folder).iterdir() if p.is_file()]
            except FileNotFoundError:
                return []
        return sorted(name for name in found if not name.startswith("."))

    def read(self, path: str) -> bytes | None:
        """See ``Store``."""
        with _told(OSError):
            try:
                return (self.root / path).read_bytes()
            except FileNotFoundError:
                return None

    def create(self, path: str, content: bytes) -> bool:
        """See ``Store``."""
        target = self.root / path
        draft = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
        with _told(OSError):
            _make(target.parent)
            try:
                with draft.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                target.hardlink_to(draft)
            except FileExistsError:
                return False
            finally:
                draft.unlink(missing_ok=True)
            _sync(target.parent)
        return True

    def delete(self, paths: Sequence[str]) -> None:
        """See ``Store``."""
        with _told(OSError):
            for path in paths:
                (self.root / path).unlink(missing_ok=True)


def _make(folder: Path) -> None:
    """Make a folder, and have it outlive a loss of power as what is put into it does."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    """Write through to the disk which files a folder has."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- a bucket --------------------------------------------------------------------------------
@dataclass(frozen=True)
class BucketStore:
    """Objects of a bucket below a prefix; ``client`` is boto3's."""

    client: Any
    bucket: str
    prefix: str
    encryption: Mapping[str, str] = field(default_factory=dict)

    def newest(self, folder: str) -> tuple[str, bytes] | None:
        """See ``Store``."""
        return _newest(self, folder)

    def names(self, folder: str) -> list[str]:
        """See ``Store``."""
        start = f"{self.prefix}{folder}/"
        with _told(*_aws_errors()):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=start, Delimiter="/"
            )
            keys = [str(each["Key"]) for page in pages for each in page.get("Contents", ())]
        return sorted(key.removeprefix(start) for key in keys)

    def read(self, path: str) -> bytes | None:
        """See ``Store``."""
        with _told(*_aws_errors()):
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + path)
                return bytes(answer["Body"].read())
            except self.client.exceptions.NoSuchKey:
                return None

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

    def delete(self, paths: Sequence[str]) -> None:
        """See ``Store``."""
        with _told(*_aws_errors()):
            keys = [{"Key": self.prefix + path} for path in paths]
            for start in range(0, len(keys), _DELETED_AT_ONCE):
                some = keys[start : start + _DELETED_AT_ONCE]
                self.client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": some, "Quiet": True}
                )


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
    # AWS_REGION comes first for the tools of AWS; boto3 does not know it.
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
class TableStore:
    """Rows of a table of PostgreSQL, which is made when the first one is written.

    It keeps its connection, and makes a new one when that was closed while nobody used it.
    """

    def __init__(self, *, conninfo: str, table: str) -> None:
        """``conninfo`` may hold a password."""
        self.table = table
        self._conninfo = conninfo
        self._connection: Any = None

    def __del__(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def newest(self, folder: str) -> tuple[str, bytes] | None:
        """See ``Store``."""
        start = f"{folder}/"
        rows = self._run(
            "SELECT key, content FROM {} WHERE key > %s AND key < %s ORDER BY key DESC LIMIT 1",
            start, start + _LAST,
        )  # fmt: skip
        return next(((str(key).removeprefix(start), bytes(content)) for key, content in rows), None)

    def names(self, folder: str) -> list[str]:
        """See ``Store``."""
        start = f"{folder}/"
        rows = self._run(
            "SELECT key FROM {} WHERE key > %s AND key < %s ORDER BY key", start, start + _LAST
        )
        return [str(key).removeprefix(start) for (key,) in rows]

    def read(self, path: str) -> bytes | None:
        """See ``Store``."""
        rows = self._run("SELECT content FROM {} WHERE key = %s", path)
        return bytes(rows[0][0]) if rows else None

    def has(self, path: str) -> bool:
        """Tell whether there is a file, in a table of the engine's as well."""
        return bool(self._run("SELECT key FROM {} WHERE key = %s", path))

    def beside(self, table: str) -> TableStore:
        """Return another table of the same database."""
        return TableStore(conninfo=self._conninfo, table=table)

    def create(self, path: str, content: bytes) -> bool:
        """See ``Store``."""
        insert = (
            "INSERT INTO {} (key, content) VALUES (%s, %s) ON CONFLICT (key) DO NOTHING"
            " RETURNING key"
        )
        return bool(self._run(insert, path, content, make=True))

    def delete(self, paths: Sequence[str]) -> None:
        """See ``Store``."""
        if paths:
            self._run("DELETE FROM {} WHERE key = ANY(%s)", list(paths))

    def _run(self, text: str, *values: Any, make: bool = False) -> list[Any]:
        import psycopg  # noqa: PLC0415 - calls on other backends do without
        from psycopg import sql  # noqa: PLC0415

        table = sql.Identifier(self.table)
        with _told(psycopg.Error):
            try:
                return self._fetch(sql.SQL(text).format(table), values)
            except psycopg.errors.UndefinedTable:
                if not make:
                    return []
            with suppress(psycopg.errors.DuplicateTable, psycopg.errors.UniqueViolation):
                self._fetch(sql.SQL(_TABLE_OF_RECORDS).format(table), ())  # or another made it
            return self._fetch(sql.SQL(text).format(table), values)

    def _fetch(self, statement: Any, values: Sequence[Any]) -> list[Any]:
        import psycopg  # noqa: PLC0415 - see ``_run``

        is_new = self._connection is None
        if is_new:
            self._connection = psycopg.connect(self._conninfo, autocommit=True)
        try:
            cursor = self._connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []
        except psycopg.OperationalError:
            if not self._connection.broken:
                raise
            self._connection = None
            if is_new:
                raise
        return self._fetch(statement, values)


def _table(url: urllib.parse.SplitResult) -> TableStore:
    database = urllib.parse.unquote(url.path.strip("/"))
    if not database or "/" in database:
        raise _refused("its postgres:// URL must name the database")
    options = _options(url)
    table = options.pop("table", _TABLE)
    defaults = {
        "connect_timeout": str(_CONNECT_SECONDS),
        "tcp_user_timeout": str(_ANSWER_SECONDS * 1000),
    }
    if "PGSSLMODE" not in os.environ:
        defaults["sslmode"] = "require"
    query = urllib.parse.urlencode({**defaults, **options}, quote_via=urllib.parse.quote)
    conninfo = url._replace(query=query, fragment="").geturl()
    _check_conninfo(conninfo)
    return TableStore(conninfo=conninfo, table=table)


def _check_conninfo(conninfo: str) -> None:
    import psycopg  # noqa: PLC0415 - see ``TableStore._run``
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        # its text would quote the URL, password included
        raise _refused("its postgres:// URL has a parameter that libpq does not know") from None


# --- what they share -------------------------------------------------------------------------
def _newest(store: Store, folder: str) -> tuple[str, bytes] | None:
    """See ``Store.newest``. One that is deleted meanwhile was not the newest any more."""
    while names := store.names(folder):
        content = store.read(f"{folder}/{names[-1]}")
        if content is not None:
            return names[-1], content
    return None


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
