"""The stores of one place: objects, items, settings, and whether secrets have a value."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlencode

from .aws import TRIES, Aws, Refused
from .entries import item_entry, object_entry, parameter_entry, secret_entry

THREADS = 8
HEADERS = {  # what an object has beside its content, as requests and answers name it
    "cache-control": "CacheControl", "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding", "content-language": "ContentLanguage",
    "content-type": "ContentType",
}  # fmt: skip


class Stores:
    """The four stores of one place; ``place`` is as the manifest has its source."""

    def __init__(self, aws: Aws, place: dict[str, Any]) -> None:
        self.aws = aws
        self.place = place

    def keys(self) -> Iterator[str]:
        """List the objects under the prefix."""
        query = {"list-type": "2", "prefix": self.place["prefix"]}
        while True:
            _, answer = self.aws.send("s3", "GET", f"/{self.place['bucket']}", query, {}, b"")
            tree = ET.fromstring(answer)  # noqa: S314 - an answer of S3, over TLS
            space = tree.tag.partition("}")[0] + "}" if "}" in tree.tag else ""
            for each in tree.findall(f"{space}Contents/{space}Key"):
                yield each.text or ""
            token = tree.findtext(f"{space}NextContinuationToken")
            if not token:
                return
            query["continuation-token"] = token

    def _path(self, key: str) -> str:
        return f"/{self.place['bucket']}/{key}"

    def get_object(self, key: str) -> tuple[dict[str, Any], bytes]:
        """Return what an object has beside its content, and the content."""
        headers, content = self.aws.send("s3", "GET", self._path(key), {}, {}, b"")
        about: dict[str, Any] = {
            field: headers[name] for name, field in HEADERS.items() if headers.get(name)
        }
        start = "x-amz-meta-"
        own = {name[len(start) :]: v for name, v in headers.items() if name.startswith(start)}
        if own:
            about["Metadata"] = own
        about["tags"] = self._tags(key) if headers.get("x-amz-tagging-count") else []
        return about, content

    def _tags(self, key: str) -> list[list[str]]:
        _, answer = self.aws.send("s3", "GET", self._path(key), {"tagging": ""}, {}, b"")
        texts = [each.text or "" for each in ET.fromstring(answer).iter() if not len(each)]  # noqa: S314 - as above
        return sorted([texts[at], texts[at + 1]] for at in range(0, len(texts), 2))

    def put_object(self, key: str, about: dict[str, Any], content: bytes) -> None:
        """Write an object with its headers, metadata and tags; the bucket encrypts it."""
        headers = {name: about[field] for name, field in HEADERS.items() if about.get(field)}
        headers |= {f"x-amz-meta-{name}": v for name, v in about.get("Metadata", {}).items()}
        if about["tags"]:
            headers["x-amz-tagging"] = urlencode(
                [tuple(each) for each in about["tags"]], quote_via=quote
            )
        self.aws.send("s3", "PUT", self._path(key), {}, headers, content)

    def items(self) -> Iterator[dict[str, Any]]:
        """Read the items of the tenant."""
        body: dict[str, Any] = {"TableName": self.place["table"], "ConsistentRead": True}
        own = self.place["leading_key"]
        if own:
            body["FilterExpression"] = "pk = :own OR begins_with(pk, :below)"
            values = {":own": {"S": own}, ":below": {"S": f"{own}#"}}
            body["ExpressionAttributeValues"] = values
        while True:
            page = self.aws.ask("dynamodb", "DynamoDB_20120810.Scan", body)
            yield from page["Items"]
            if not page.get("LastEvaluatedKey"):
                return
            body["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def write_items(self, requests: list[dict[str, Any]]) -> None:
        """Write or delete items, 25 at a time."""
        action, table = "DynamoDB_20120810.BatchWriteItem", self.place["table"]
        for start in range(0, len(requests), 25):
            left: dict[str, Any] = {table: requests[start : start + 25]}
            for attempt in range(TRIES):
                answer = self.aws.ask("dynamodb", action, {"RequestItems": left})
                left = answer.get("UnprocessedItems") or {}
                if not left:
                    break
                time.sleep(0.1 * 2**attempt)
            else:
                raise Refused("the table takes no more items now")

    def parameters(self) -> Iterator[dict[str, str]]:
        """Read the settings of the application; encrypted ones stay encrypted."""
        path = self.place["parameters"]
        body: dict[str, Any] = {"Path": f"{path}/app", "Recursive": True, "WithDecryption": False}
        while True:
            page = self.aws.ask("ssm", "AmazonSSM.GetParametersByPath", body)
            for each in page["Parameters"]:
                name = each["Name"][len(path) + 1 :]
                yield {"name": name, "type": each["Type"], "value": each["Value"]}
            if not page.get("NextToken"):
                return
            body["NextToken"] = page["NextToken"]

    def put_parameter(self, name: str, value: str, kind: str = "String") -> None:
        """Write a setting."""
        full = f"{self.place['parameters']}/{name}"
        body = {"Name": full, "Value": value, "Type": kind, "Overwrite": True}
        self.aws.ask("ssm", "AmazonSSM.PutParameter", body)

    def secrets(self) -> Iterator[str]:
        """Say which secrets have a value, by what each is for; no value is read."""
        for purpose, name in sorted(self.place["secrets"].items()):
            found = self.aws.ask("secretsmanager", "secretsmanager.DescribeSecret",
                                 {"SecretId": name})  # fmt: skip
            stages = (found.get("VersionIdsToStages") or {}).values()
            if any("AWSCURRENT" in each for each in stages):
                yield purpose

    # --- everything, as a manifest lists it -----------------------------------------------------
    def entries(self) -> list[dict[str, Any]]:
        """Return each thing with its size and digest."""
        with ThreadPoolExecutor(THREADS) as pool:
            found = [each for each in pool.map(self._object, self.keys()) if each is not None]
        found += map(item_entry, self.items())
        found += map(parameter_entry, self.parameters())
        found += map(secret_entry, self.secrets())
        return found

    def _object(self, key: str) -> dict[str, Any] | None:
        try:
            return object_entry(key, *self.get_object(key))
        except FileNotFoundError:
            return None  # deleted since it was listed
