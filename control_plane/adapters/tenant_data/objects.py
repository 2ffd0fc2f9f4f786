"""Objects under a prefix of a bucket: the present version of each."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import IO, Any, Final

from control_plane.adapters.tenant_data.clients import THREADS, Clients, is_missing
from control_plane.domain.canonical import digest
from control_plane.domain.errors import DataDiffers
from control_plane.domain.transfer import Copied, Kind, Place, Thing

_IN_MEMORY: Final = 8 * 1024 * 1024  # bytes of one object; a larger one passes through a file
_CHUNK: Final = 1024 * 1024
# what an object has beside its content, as S3 names it in requests and in answers
_HEADERS: Final = (
    "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType",
    "Metadata",
)  # fmt: skip
_AT_ONCE: Final = 1000  # S3 removes so many in one request


def things(client: Clients, place: Place) -> Iterator[Thing]:
    """Return the present version of each object, one page after the other."""
    for page in _versions(client, place):
        for one in page.get("Versions", ()):
            if one["IsLatest"]:
                yield Thing(
                    kind=Kind.OBJECT,
                    name=str(one["Key"]),
                    version=_version(one["VersionId"], one["ETag"]),
                    size=int(one["Size"]),
                )


def older_versions(client: Clients, place: Place) -> int:
    """Return how many versions there are that are not the present one."""
    return sum(
        not one["IsLatest"] for page in _versions(client, place) for one in page.get("Versions", ())
    )


def _versions(client: Clients, place: Place) -> Iterator[Mapping[str, Any]]:
    pages = client("s3").get_paginator("list_object_versions")
    yield from pages.paginate(Bucket=place.bucket, Prefix=place.prefix)


def _version(version_id: str, etag: str) -> str:
    """A bucket without versions gives each object the version ``null``."""
    return f"{version_id} {etag.strip(chr(34))}"


def copy(
    read: Clients, write: Clients, source: Place, target: Place, asked: Sequence[Thing]
) -> list[Copied]:
    """Copy objects side by side; see the port."""
    one = partial(_copy, read("s3"), write("s3"), source.bucket, target)
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        return [copied for copied in pool.map(one, asked) if copied is not None]


def _copy(read: Any, write: Any, bucket: str, target: Place, thing: Thing) -> Copied | None:
    found = _opened(read, bucket, thing)
    if found is None:
        return None
    answer, tags = found
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as content:
        known = _described(answer, tags, _read_into(answer["Body"], content))
        there = _there(write, target.bucket, thing.name)
        if there is None or there[0] != known:
            content.seek(0)
            _write(write, target, thing.name, content, answer, tags)
            there = _there(write, target.bucket, thing.name)
    if there is None or there[0] != known:
        raise DataDiffers("an object cannot be read as it was written", kind=str(Kind.OBJECT))
    return Copied(
        kind=Kind.OBJECT, name=thing.name, version=thing.version, target_version=there[1],
        digest=known, size=thing.size,
    )  # fmt: skip


def describe(client: Clients, place: Place, asked: Sequence[Thing]) -> list[Copied]:
    """Read objects side by side, and return their digests; see the port."""
    one = partial(_describe, client("s3"), place.bucket)
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        return [found for found in pool.map(one, asked) if found is not None]


def _describe(read: Any, bucket: str, thing: Thing) -> Copied | None:
    found = _opened(read, bucket, thing)
    if found is None:
        return None
    answer, tags = found
    return Copied(
        kind=Kind.OBJECT, name=thing.name, version=thing.version, target_version="",
        digest=_described(answer, tags, _read_into(answer["Body"], None)), size=thing.size,
    )  # fmt: skip


def _opened(
    read: Any, bucket: str, thing: Thing
) -> tuple[Mapping[str, Any], list[dict[str, str]]] | None:
    """Return the answer with an object's content, and its tags; None for one that is gone."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - loaded by now

    version_id = thing.version.partition(" ")[0]
    wanted = {} if version_id == "null" else {"VersionId": version_id}
    try:
        answer = read.get_object(Bucket=bucket, Key=thing.name, **wanted)
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return answer, _tags(read, bucket, thing.name, wanted) if answer.get("TagCount") else []


def _there(write: Any, bucket: str, key: str) -> tuple[str, str] | None:
    """Return the digest and version of what the target has under a key, read as a whole."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - loaded by now

    try:
        answer = write.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    version_id = str(answer.get("VersionId", "null"))
    wanted = {} if version_id == "null" else {"VersionId": version_id}
    tags = _tags(write, bucket, key, wanted) if answer.get("TagCount") else []
    found = _described(answer, tags, _read_into(answer["Body"], None))
    return found, _version(version_id, str(answer["ETag"]))


def _write(
    write: Any, target: Place, key: str, content: IO[bytes], answer: Mapping[str, Any],
    tags: Sequence[Mapping[str, str]],
) -> None:  # fmt: skip
    from boto3.s3.transfer import TransferConfig  # noqa: PLC0415 - loaded by now

    extra = {name: answer[name] for name in _HEADERS if answer.get(name)}
    # no encryption is asked for: the bucket's own key is used
    config = TransferConfig(multipart_threshold=64 * _CHUNK, use_threads=False)
    write.upload_fileobj(content, target.bucket, key, ExtraArgs=extra, Config=config)
    if tags:
        write.put_object_tagging(Bucket=target.bucket, Key=key, Tagging={"TagSet": list(tags)})


def _read_into(body: Any, content: IO[bytes] | None) -> str:
    """Read a body to its end, into a file where there is one, and return the SHA-256 of it."""
    found = hashlib.sha256()
    for chunk in iter(lambda: body.read(_CHUNK), b""):
        found.update(chunk)
        if content is not None:
            content.write(chunk)
    return found.hexdigest()


def _described(answer: Mapping[str, Any], tags: Sequence[Mapping[str, str]], content: str) -> str:
    """Return the digest of an object: its bytes, its headers, its own metadata and tags."""
    headers = {name: answer[name] for name in _HEADERS if answer.get(name)}
    return digest(
        {"sha256": content, **headers, "tags": sorted([t["Key"], t["Value"]] for t in tags)}
    )


def _tags(s3: Any, bucket: str, key: str, wanted: Mapping[str, str]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = s3.get_object_tagging(Bucket=bucket, Key=key, **wanted)["TagSet"]
    return found


def remove(client: Clients, place: Place, names: Sequence[str]) -> None:
    """Remove every version of objects, and the marks of their deletion."""
    wanted, s3 = set(names), client("s3")
    found = [
        {"Key": one["Key"], "VersionId": one["VersionId"]}
        for page in _versions(client, place)
        for part in ("Versions", "DeleteMarkers")
        for one in page.get(part, ())
        if one["Key"] in wanted
    ]
    for start in range(0, len(found), _AT_ONCE):
        answer = s3.delete_objects(
            Bucket=place.bucket, Delete={"Objects": found[start : start + _AT_ONCE], "Quiet": True}
        )
        refused = answer.get("Errors") or ()
        if refused:
            code = str(refused[0].get("Code"))
            raise DataDiffers(f"{len(refused)} objects cannot be removed: {code}", aws_code=code)
