"""The runbook of a hand-over: with the tenant's own names, counts and digests, and the commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_KINDS: Final = ("object", "item", "parameter", "secret")


def handover_guide(manifest: Mapping[str, Any], digest: str, *, keep_days: int) -> str:
    """Return the runbook for one manifest, as Markdown."""
    source, totals = manifest["source"], manifest["totals"]
    rows = "\n".join(_row(kind, totals[kind]) for kind in _KINDS)
    number, tenant = manifest["number"], manifest["tenant"]
    # the first one comes in the bundle, whose signature covers it; later ones lie beside it
    name = f"handover-manifest-{number}.json" if manifest["is_frozen"] else "handover/manifest.json"
    return f"""# Hand-over of the data of {tenant}

From Mode {source["mode"]} (deployment `{source["deployment"]}`, account {source["account_id"]},
{source["region"]}) to the Hub that this bundle builds in your account (deployment
`{
        manifest["deployment"]
    }`). Until the switch the present place serves, and nothing there is changed.

Manifest {number}, {_writes(manifest)}: `{name}`, `{digest}`.

| kind | count | bytes | digest over names and digests |
| --- | --- | --- | --- |
{rows}

The manifest names each thing with its size and digest. Of a secret, and of an encrypted parameter,
it has the name only. `handover/` in this bundle is the tool: Python 3.9 or later, its standard
library alone, no installation. It talks to S3, DynamoDB, Parameter Store and Secrets Manager of
your region with your credentials, and sends nothing anywhere else. Read it first.

Run the commands in the folder of the bundle. Credentials come from the environment:
`eval "$(aws configure export-credentials --format env)"`.

## 1. Build (customer)

Apply the bundle as `README.md` says, then:

```sh
terraform output -json receipt > receipt.json      # send it to the vendor
terraform output -json hub > hub.json              # the tool reads it; it stays with you
```

## 2. First copy, while the application works (vendor, then customer)

```sh
# vendor, in account {source["account_id"]}
python3 -m handover export --manifest {name} --to data
{_verified(manifest, name)}
# transfer the folder `data` over a channel that both agreed on, for example a bucket of yours:
aws s3 sync data s3://<bucket of yours>/{tenant}/ --sse aws:kms
# customer
python3 -m handover import --manifest {name} --from data --hub hub.json
```

What changes meanwhile comes with the second copy. Put the values of secrets and of encrypted
parameters in yourself; their names are in the manifest:

```sh
{_secrets(source)}
```

The vendor records that the copy has arrived: `tenantctl tenant first-copy {tenant} --reason "…"`.
From then on the application only reads{_approved(source)}.

## 3. Second copy, under the freeze (vendor, then customer)

Repeat step 2 with the manifest that says that writes are stopped, into the same folder: what has
arrived is not written again. Give `--remove-others` for what was deleted meanwhile. The vendor gets
that manifest with its signature and a new version of this page, and sends the three files:
`tenantctl tenant handover-manifest {tenant}`.
{_database(source, tenant)}
## 4. Report (customer)

```sh
python3 -m handover report --manifest {name} --hub hub.json --output import-report.json{
        " --dump hub.dump" if source["database"] else ""
    }
```

Exit code 0: everything is there and nothing else. 1: the report names what differs; import again.
Send `import-report.json` to the vendor, who records it: `tenantctl tenant import-report {tenant}
import-report.json`. Counts, bytes and digests must be those of the table above, for the newest
manifest. A report that differs is refused, and nothing is switched.

## 5. Switch (vendor)

Automatic once the report is accepted: the outputs of your Hub are then those of the tenant. Start
the application in your account. It finds objects and items under the names that they had; the
parameters `data-prefix` and `leading-key` say under which.

## 6. Keep, and retire (vendor)

The former place stays for {keep_days} days and only reads. Then two people of the vendor approve
its destroy. Until the switch the hand-over can be withdrawn: writes are allowed again at once, and
what you applied is yours to destroy (`MODE-C.md`, Removal). After the switch there is only forward.
"""


def _row(kind: str, sums: Mapping[str, Any]) -> str:
    return f"| {kind} | {sums['count']} | {sums['bytes']} | `{sums['digest']}` |"


def _writes(manifest: Mapping[str, Any]) -> str:
    if manifest["is_frozen"]:
        return "listed while writes are stopped: this one has to arrive"
    return "listed while the application works: a later one follows under the freeze"


def _verified(manifest: Mapping[str, Any], name: str) -> str:
    if not manifest["is_frozen"]:
        return "# customer: the manifest is the vendor's, as the signature of the bundle says"
    return f"minisign -Vm {name} -p tenantplane-bundle.pub      # customer: it is the vendor's"


def _approved(source: Mapping[str, Any]) -> str:
    return ", as soon as operations have approved the plan that stops writes" * bool(
        source["database"]
    )


def _secrets(source: Mapping[str, Any]) -> str:
    lines = [
        f"aws secretsmanager put-secret-value --secret-id <short>/<install id>/{purpose} "
        f"--secret-string file://{purpose}.json"
        for purpose in sorted(source["secrets"])
    ]
    return "\n".join(lines) or "# there are none"


def _database(source: Mapping[str, Any], tenant: str) -> str:
    if not source["database"]:
        return ""
    return f"""
The database `{source["database"]}` is handed over by a dump, from within its network:

```sh
# vendor: new transactions only read by now
pg_dump --format=custom --no-owner --file hub.dump "$DATABASE_URL"
sha256sum hub.dump      # tenantctl tenant record-dump {tenant} --digest sha256:… --reason "…"
# customer
pg_restore --no-owner --exit-on-error --dbname "$DATABASE_URL" hub.dump
```
"""
