"""Moves a tenant's data to a Hub in the customer's own account, and reports what has arrived.

    python3 -m handover export --manifest M --to FOLDER             by the vendor, at the data
    python3 -m handover import --manifest M --from FOLDER --hub HUB        by the customer
    python3 -m handover report --manifest M --hub HUB --output FILE        by the customer

HUB is the file of `terraform output -json hub`. This needs Python 3.9 and its standard library. It
talks to S3, DynamoDB, Parameter Store and Secrets Manager of one region and to nothing else, with
the credentials of the environment (AWS_ACCESS_KEY_ID and so on). It never reads the value of a
secret or of an encrypted parameter, only whether there is one. A report changes nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .aws import Aws, Refused
from .entries import differences, item_entry, object_entry, parameter_entry, totals
from .stores import THREADS, Stores

LARGEST = 5 * 1024**3  # bytes that S3 takes in one request
NAMED = 200  # differences that a report names


def export_data(manifest: dict[str, Any], stores: Stores, folder: Path) -> int:
    """Write objects, items and settings into a folder; what is there already stays."""
    objects = folder / "objects"
    objects.mkdir(parents=True, exist_ok=True, mode=0o700)

    def save(entry: dict[str, Any]) -> dict[str, Any] | None:
        name = entry["digest"].partition(":")[2]
        if (objects / f"{name}.json").exists():
            return entry
        try:
            about, content = stores.get_object(entry["name"])
        except FileNotFoundError:
            return None
        found = object_entry(entry["name"], about, content)
        name = found["digest"].partition(":")[2]
        (objects / name).write_bytes(content)
        (objects / f"{name}.json").write_text(json.dumps(about), encoding="utf-8")
        return found

    wanted = [e for e in manifest["entries"] if e["kind"] != "secret" and e["digest"]]
    with ThreadPoolExecutor(THREADS) as pool:
        kept = pool.map(save, (e for e in wanted if e["kind"] == "object"))
        found = [each for each in kept if each is not None]
    items = list(stores.items())
    settings = [each for each in stores.parameters() if each["type"] != "SecureString"]
    _write(folder / "items.json", items)
    _write(folder / "parameters.json", settings)
    found += [*map(item_entry, items), *map(parameter_entry, settings)]
    left = differences(wanted, found)
    _say(left, f"{len(wanted)} things exported to {folder}")
    return 1 if left and manifest["is_frozen"] else 0


def import_data(
    manifest: dict[str, Any], stores: Stores, folder: Path, *, removes_others: bool
) -> int:
    """Write what a folder has; what has arrived is not written again."""

    def put(entry: dict[str, Any]) -> None:
        name = entry["digest"].partition(":")[2]
        about = json.loads((folder / "objects" / f"{name}.json").read_text(encoding="utf-8"))
        content = (folder / "objects" / name).read_bytes()
        if object_entry(entry["name"], about, content)["digest"] != entry["digest"]:
            raise Refused(f"the file of {entry['name']} was altered")
        if len(content) > LARGEST:
            raise Refused(f"{entry['name']} is too large for one request: use aws s3 cp")
        stores.put_object(entry["name"], about, content)

    before = {(e["kind"], e["name"]): e["digest"] for e in stores.entries()}
    wanted = {(e["kind"], e["name"]): e for e in manifest["entries"]}
    new = [e for key, e in wanted.items() if e["digest"] and before.get(key) != e["digest"]]
    there = [e for e in new if (folder / "objects" / f"{e['digest'][7:]}.json").exists()]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(put, (e for e in there if e["kind"] == "object")))
    names = {(e["kind"], e["name"]) for e in new}
    items = json.loads((folder / "items.json").read_text(encoding="utf-8"))
    puts = [i for i in items if ("item", item_entry(i)["name"]) in names]
    stores.write_items([{"PutRequest": {"Item": item}} for item in puts])
    for each in json.loads((folder / "parameters.json").read_text(encoding="utf-8")):
        if ("parameter", each["name"]) in names:
            stores.put_parameter(each["name"], each["value"], each["type"])
    for name, where in (("data-prefix", "prefix"), ("leading-key", "leading_key")):
        if manifest["source"][where]:
            stores.put_parameter(name, manifest["source"][where])
    others = sorted(key for key in before if key not in wanted and key[0] != "secret")
    if removes_others:
        _remove(stores, others)
        others = []
    found = stores.entries()
    left = differences(manifest["entries"], found)
    _say(left, f"{len(new)} things were to be written; {len(found)} are there")
    if others:
        sys.stderr.write("remove what is not in the manifest with --remove-others\n")
    return 1 if left else 0


def _remove(stores: Stores, others: list[tuple[str, str]]) -> None:
    deletes = []
    for kind, name in others:
        if kind == "object":
            stores.aws.send("s3", "DELETE", f"/{stores.place['bucket']}/{name}", {}, {}, b"")
        elif kind == "item":
            pk, sk = json.loads(name)
            deletes.append({"DeleteRequest": {"Key": {"pk": {"S": pk}, "sk": {"S": sk}}}})
        else:
            full = f"{stores.place['parameters']}/{name}"
            stores.aws.ask("ssm", "AmazonSSM.DeleteParameters", {"Names": [full]})
    stores.write_items(deletes)


def report(
    manifest: dict[str, Any], content: bytes, stores: Stores, account: str, dump: str | None
) -> dict[str, Any]:
    """Return what the vendor compares with the manifest: counts, sizes, digests, differences."""
    found = stores.entries()
    left = differences(manifest["entries"], found)
    return {
        "schema_version": 1,
        "tenant": manifest["tenant"],
        "deployment": manifest["deployment"],
        "account_id": account,
        "region": stores.aws.region,
        "manifest_digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "made_at": datetime.now(timezone.utc).isoformat(),  # noqa: UP017 - Python 3.9
        "totals": totals(found),
        "differences": left[:NAMED],
        "database": {"dump_digest": dump} if dump else None,
    }


def place_of_hub(hub: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    """Return where a Hub's stores are, by the output ``hub`` of its apply."""
    return {
        "bucket": hub["data_bucket"],
        "prefix": manifest["source"]["prefix"],
        "table": hub["table_name"],
        "leading_key": manifest["source"]["leading_key"],
        "parameters": hub["app_log_group"].rpartition("/")[0],
        "secrets": hub["secret_names"],
        "account_id": hub["app_role_arn"].split(":")[4],
        "region": hub["data_key_arn"].split(":")[3],
    }


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    file.chmod(0o600)


def _say(left: list[dict[str, str]], done: str) -> None:
    sys.stderr.write(f"{done}; {len(left)} differ from the manifest\n")
    for each in left[:20]:
        sys.stderr.write(f"  {each['kind']} {each['name']}: {each['what']}\n")


def _arguments(argv: list[str]) -> argparse.Namespace:
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python3 -m handover", description=description)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, folder in (("export", "--to"), ("import", "--from"), ("report", None)):
        each = commands.add_parser(name)
        each.add_argument("--manifest", type=Path, required=True)
        each.add_argument("--endpoint", help="another endpoint than AWS, for a rehearsal")
        if folder:
            each.add_argument(folder, dest="folder", type=Path, required=True)
        if name != "export":
            each.add_argument("--hub", type=Path, required=True)
        if name == "import":
            each.add_argument("--remove-others", action="store_true")
        if name == "report":
            each.add_argument("--output", type=Path, required=True)
            each.add_argument("--dump", type=Path, help="the database's dump that was restored")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Do one command; returns the exit code: 0 done and equal, 1 differences, 2 refused."""
    given = _arguments(argv)
    try:
        content = given.manifest.read_bytes()
        manifest = json.loads(content)
        place = manifest["source"]
        if given.command != "export":
            place = place_of_hub(json.loads(given.hub.read_bytes()), manifest)
        stores = Stores(Aws(place["region"], given.endpoint), place)
        if given.command == "export":
            return export_data(manifest, stores, given.folder)
        if given.command == "import":
            others = given.remove_others
            return import_data(manifest, stores, given.folder, removes_others=others)
        dump = _file_digest(given.dump) if given.dump else None
        found = report(manifest, content, stores, place["account_id"], dump)
        text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
        given.output.write_text(text, encoding="utf-8")
        _say(found["differences"], f"written to {given.output}")
        return 1 if found["differences"] else 0
    except FileNotFoundError as error:
        sys.stderr.write(f"{error.filename or error} does not exist\n")
    except Refused as error:
        sys.stderr.write(f"{error}\n")
    except (OSError, KeyError, ValueError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    return 2


def _file_digest(file: Path) -> str:
    found = hashlib.sha256()
    with file.open("rb") as opened:
        for chunk in iter(lambda: opened.read(1024 * 1024), b""):
            found.update(chunk)
    return f"sha256:{found.hexdigest()}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
