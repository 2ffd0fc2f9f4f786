"""Where everything of a deployment is: its resources, and what services keep of them elsewhere.

A resource is where it answered: in the region that its ARN names, or that its provider works in.
What a service copies is asked of that service: replicas of buckets, tables, keys and secrets, and
of databases read replicas, automated backups and snapshots, also those that somebody has copied to
another region. What carries the deployment's tag is searched for in every region of the account,
where that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from stacks.contract import Place
from stacks.engine.backend import State
from stacks.engine.identities import Client, listed
from stacks.engine.looking_up import DEPLOYMENT_TAG, Cloud, code_of
from stacks.engine.state import in_cloud
from stacks.engine.things import Thing, of_arn

if TYPE_CHECKING:
    from stacks.contract import Request

GLOBAL = "global"
_THREADS = 8
_GLOBAL_SERVICES = ("aws:iam/",)  # IAM is in no region
_BUCKET = "aws:s3/bucket:Bucket"
_TABLE = "aws:dynamodb/table:Table"
_KEY = "aws:kms/key:Key"
_SECRET = "aws:secretsmanager/secret:Secret"  # noqa: S105 - a type, no secret
_DATABASE = "aws:rds/instance:Instance"
_FIRST_REGION = "us-east-1"  # that of a bucket for which S3 names none
# what these say is that there is nothing, or that nobody may ask from here
_NOTHING = frozenset(
    {"ReplicationConfigurationNotFoundError", "NoSuchBucket", "NotFoundException",
     "ResourceNotFoundException", "DBInstanceNotFound", "DBInstanceNotFoundFault"}
)  # fmt: skip


@dataclass(frozen=True)
class Places:
    """Where everything is; ``unanswered`` says why that may not be all."""

    found: tuple[Place, ...]
    unanswered: str = ""


@dataclass(frozen=True)
class Store:
    """Something that may have copies elsewhere: its subject, type and name."""

    subject: str
    type: str
    name: str


Ask = Callable[[], Iterable[Place]]


def places(request: Request, state: State | None, cloud: Cloud) -> Places:
    """Return where everything of a request's deployment is, each once, sorted.

    Other regions are searched only where the request says ``everywhere``: that takes a question or
    more for each region. A service that does not answer is named in ``unanswered``.
    """
    home = request.cloud.region
    stores = [*_stores(state), *_shared(request.spec)]
    own = [*_resources(state, home), *_of_the_hub(request.spec, home)]
    asks: list[tuple[str, Ask]] = [
        (f"{store.type} {store.name}", partial(COPIES[store.type], cloud.client, home, store))
        for store in stores
        if store.type in COPIES
    ]
    failures: list[str] = []
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        asked = [("ec2", lambda: _regions(cloud.client))] if request.everywhere else []
        regions = _answered(pool, asked, failures)
        databases = frozenset(store.name for store in stores if store.type == _DATABASE)
        known = _arns(state)
        asks += [
            (region, partial(_elsewhere, cloud, region, databases, known))
            for region in regions
            if region != home
        ]
        found = [*own, *_answered(pool, asks, failures)]
    once = {(each.subject, each.region, each.what): each for each in found}
    return Places(
        found=tuple(once[key] for key in sorted(once)),
        unanswered="; ".join(sorted(set(failures))),
    )


def _answered(
    pool: ThreadPoolExecutor, asks: Sequence[tuple[str, Callable[[], Iterable[Any]]]],
    failures: list[str],
) -> list[Any]:  # fmt: skip
    """Return all answers; what was asked in vain is added to ``failures``."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - loaded by now

    waited = [(name, pool.submit(lambda ask: list(ask()), ask)) for name, ask in asks]
    found: list[Any] = []
    for name, answer in waited:
        try:
            found += answer.result()
        except (BotoCoreError, ClientError) as error:
            failures.append(f"{name} did not say where it is: {code_of(error)}")
    return found


# --- what the state says --------------------------------------------------------------------
def _resources(state: State | None, home: str) -> Iterator[Place]:
    for resource in in_cloud(state):
        kind = str(resource["type"])
        if resource.get("delete") or not resource.get("id") or kind == _BUCKET:
            continue  # a bucket's region is asked for: its ARN has none
        yield Place(
            subject=str(resource["urn"]), type=kind, what="resource", region=_region(resource, home)
        )


def _region(resource: Mapping[str, Any], home: str) -> str:
    if str(resource["type"]).startswith(_GLOBAL_SERVICES):
        return GLOBAL
    outputs = resource.get("outputs") or {}
    arn = outputs.get("arn")
    named = arn.split(":")[3] if isinstance(arn, str) and arn.count(":") >= 5 else ""
    region = outputs.get("region")
    return named or (region if isinstance(region, str) else "") or home


def _stores(state: State | None) -> Iterator[Store]:
    for resource in in_cloud(state):
        if resource["type"] in COPIES and resource.get("id") and not resource.get("delete"):
            inputs = resource.get("inputs") or {}
            name = inputs.get("identifier") if resource["type"] == _DATABASE else resource["id"]
            yield Store(str(resource["urn"]), str(resource["type"]), str(name))


def _shared(spec: Mapping[str, Any]) -> Iterator[Store]:
    """Yield the stores of its Hub that a slice keeps its data in."""
    hub = spec.get("hub")
    if hub:
        yield Store(f"s3:bucket {hub['data_bucket']}", _BUCKET, str(hub["data_bucket"]))
        yield Store(f"dynamodb:table {hub['table_name']}", _TABLE, str(hub["table_name"]))
        yield Store(str(of_arn(str(hub["data_key_arn"]))), _KEY, str(hub["data_key_arn"]))


def _of_the_hub(spec: Mapping[str, Any], home: str) -> Iterator[Place]:
    for store in _shared(spec):
        if store.type != _BUCKET:
            yield Place(subject=store.subject, type=store.type, what="shared", region=home)


def _arns(state: State | None) -> frozenset[str]:
    outputs = ((r.get("outputs") or {}).get("arn") for r in in_cloud(state))
    return frozenset(arn for arn in outputs if isinstance(arn, str))


# --- what a service copies ------------------------------------------------------------------
def _bucket(client: Client, home: str, store: Store) -> Iterator[Place]:  # noqa: ARG001 - as the others
    """Yield where a bucket is, and where what is written to it is replicated to."""
    what = "resource" if store.subject.startswith("urn:") else "shared"
    yield Place(
        subject=store.subject, type=store.type, what=what, region=_located(client, store.name)
    )
    for rule in _quietly(lambda: _rules(client, store.name)):
        target = rule["Destination"]["Bucket"].rpartition(":")[2]
        yield Place(
            subject=f"s3:bucket {target}", type=_BUCKET, what="replica",
            region=_located(client, target), of=store.subject,
        )  # fmt: skip


def _rules(client: Client, bucket: str) -> list[Mapping[str, Any]]:
    found = client("s3").get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]["Rules"]
    return [rule for rule in found if rule.get("Status") != "Disabled"]


def _located(client: Client, bucket: str) -> str:
    region = client("s3").get_bucket_location(Bucket=bucket).get("LocationConstraint")
    return "eu-west-1" if region == "EU" else region or _FIRST_REGION


def _table(client: Client, home: str, store: Store) -> Iterator[Place]:
    found = client("dynamodb").describe_table(TableName=store.name)["Table"]
    for replica in found.get("Replicas") or ():
        if replica["RegionName"] != home:
            yield _replica(store, replica["RegionName"])


def _key(client: Client, home: str, store: Store) -> Iterator[Place]:
    found = client("kms").describe_key(KeyId=store.name)["KeyMetadata"]
    shape = found.get("MultiRegionConfiguration") or {}
    for each in (shape.get("PrimaryKey"), *(shape.get("ReplicaKeys") or ())):
        if each and each["Region"] != home:
            yield _replica(store, each["Region"])


def _secret(client: Client, home: str, store: Store) -> Iterator[Place]:
    found = client("secretsmanager").describe_secret(SecretId=store.name)
    for replica in found.get("ReplicationStatus") or ():
        if replica["Region"] != home:
            yield _replica(store, replica["Region"])


def _database(client: Client, home: str, store: Store) -> Iterator[Place]:
    found = client("rds").describe_db_instances(DBInstanceIdentifier=store.name)["DBInstances"]
    for instance in found:
        copies = [
            *(instance.get("ReadReplicaDBInstanceIdentifiers") or ()),
            instance.get("ReadReplicaSourceDBInstanceIdentifier") or "",
        ]
        for arn in copies:
            if arn.startswith("arn:"):  # one of this region has no ARN here
                yield _copy(store, of_arn(arn), arn.split(":")[3], "replica")
        for each in instance.get("DBInstanceAutomatedBackupsReplications") or ():
            arn = each["DBInstanceAutomatedBackupsArn"]
            yield _copy(store, of_arn(arn), arn.split(":")[3], "backup")
    snapshots = ("describe_db_snapshots", "DBSnapshots")
    for each in listed(client, "rds", *snapshots, DBInstanceIdentifier=store.name):
        thing = Thing("rds:snapshot", each["DBSnapshotIdentifier"])
        yield _copy(store, thing, home, "backup")


def _replica(store: Store, region: str) -> Place:
    """Return a copy that has the name of what it is of."""
    return Place(
        subject=f"{store.subject} in {region}", type=store.type, what="replica", region=region,
        of=store.subject,
    )  # fmt: skip


def _copy(store: Store, thing: Thing, region: str, what: Any) -> Place:
    return Place(
        subject=str(thing), type=thing.kind, what=what, region=region, of=store.subject
    )  # fmt: skip


def _quietly(ask: Callable[[], list[Any]]) -> list[Any]:
    """Return what a service says; nothing where it says that there is nothing."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - loaded by now

    try:
        return ask()
    except ClientError as error:
        if error.response["Error"]["Code"] in _NOTHING:
            return []
        raise


COPIES: Mapping[str, Callable[[Client, str, Store], Iterator[Place]]] = {
    _BUCKET: _bucket,
    _TABLE: _table,
    _KEY: _key,
    _SECRET: _secret,
    _DATABASE: _database,
}


# --- what is in other regions ---------------------------------------------------------------
def _regions(client: Client) -> list[str]:
    """Return the regions that the account uses: nothing of it can be in another."""
    return sorted(each["RegionName"] for each in client("ec2").describe_regions()["Regions"])


def _elsewhere(
    cloud: Cloud, region: str, databases: frozenset[str], known: frozenset[str]
) -> Iterator[Place]:
    """Yield what a region has that carries the deployment's tag, and copies of its databases."""
    client = partial(cloud.client, region=region)
    wanted = [{"Key": DEPLOYMENT_TAG, "Values": [cloud.deployment]}]
    answer = ("get_resources", "ResourceTagMappingList")
    for each in listed(client, "resourcegroupstaggingapi", *answer, TagFilters=wanted):
        arn = str(each["ResourceARN"])
        named = arn.split(":")[3]
        if arn not in known and named in {"", region}:
            thing = of_arn(arn)
            what: Any = "backup" if "snapshot" in thing.kind else "replica"
            yield Place(subject=str(thing), type=thing.kind, what=what, region=named or region)
    if not databases:
        return
    for each in listed(client, "rds", "describe_db_snapshots", "DBSnapshots"):
        if each.get("DBInstanceIdentifier") in databases:
            thing = Thing("rds:snapshot", each["DBSnapshotIdentifier"])
            yield Place(subject=str(thing), type=thing.kind, what="backup", region=region)
    for each in listed(client, "rds", "describe_db_instances", "DBInstances"):
        source = str(each.get("ReadReplicaSourceDBInstanceIdentifier") or "")
        if source.rpartition(":")[2] in databases:
            thing = Thing("rds:db", each["DBInstanceIdentifier"])
            yield Place(subject=str(thing), type=thing.kind, what="replica", region=region)
