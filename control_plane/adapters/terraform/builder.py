"""The port ``BundleBuilder``: modules and inputs become a signed, rehearsed archive.

In this order: stage, lock and review (both from the inputs alone), pack, sign, rehearse the packed
bytes, attest. What is inside the archive is determined by modules and inputs; what was done with
it lies beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from control_plane.adapters.audit.keys import KeyFileUnusable, load_or_create_key_file
from control_plane.adapters.terraform.attestation import envelope, statement
from control_plane.adapters.terraform.commands import RUNNING, TerraformCommands
from control_plane.adapters.terraform.minisign import MinisignKey
from control_plane.adapters.terraform.packing import pack, read_tree, sums, write_tree
from control_plane.adapters.terraform.rehearsal import OVERRIDE, QuickRehearsal
from control_plane.adapters.terraform.review import review_files
from control_plane.adapters.terraform.toolchain import Toolchain, find_toolchain
from control_plane.domain.canonical import digest
from control_plane.domain.errors import (
    BundleInvalid,
    InvalidInput,
    TerraformUnavailable,
    Unavailable,
)
from control_plane.ports import BuiltBundle, BundleOrder, Json, OnEvents, PolicyScope

LOCK: Final = ".terraform.lock.hcl"
JudgeTerraform = Callable[[Json, PolicyScope], Mapping[str, Any]]
# files of the modules' folder that are for its authors, not for the customer
_OURS: Final = ("examples/",)


@dataclass(frozen=True, kw_only=True)
class TerraformBundleBuilder:
    """Builds bundles from the modules in ``modules``; ``judge`` evaluates a Terraform plan.

    ``guide`` is the text for the customer's reviewers that goes along as ``MODE-C.md``.
    """

    modules: Path
    guide: Path
    variables_schema: Path
    key_file: Path
    work_folder: Path
    binary: str
    mirror: Path | None
    judge: JudgeTerraform

    def check_variables(self, variables: Json) -> None:
        """Validate variables against their schema. Raises ``InvalidInput`` naming the field."""
        schema = json.loads(self.variables_schema.read_text(encoding="utf-8"))
        error = best_match(Draft202012Validator(schema).iter_errors(dict(variables)))
        if error is not None:
            where = ".".join(["inputs", *(str(part) for part in error.absolute_path)])
            raise InvalidInput(f"{where}: {error.message[:300]}", field=where)

    def build(self, order: BundleOrder, *, on_events: OnEvents) -> BuiltBundle:
        """Build, pack, sign and rehearse; ``on_events`` gets each ``check`` when it is done.

        Raises ``BundleInvalid`` naming the failed checks.

        Without Terraform the bundle is built and says ``rehearsal: none``. Raises ``Unavailable``
        when the key to sign with cannot be used.
        """
        self.check_variables(order.variables)
        key = self._key()
        try:
            toolchain = find_toolchain(
                environment=os.environ, binary=self.binary, mirror=self.mirror
            )
            why = ""
        except TerraformUnavailable as error:
            toolchain, why = None, error.message
        with self._folder() as folder:
            files, content_digest = self._staged(order)
            if toolchain is not None:
                files |= self._locked_and_reviewed(files, folder / "stage", toolchain, order)
            files["MANIFEST.json"] = self._manifest(order, content_digest, toolchain, why)
            files["SHA256SUMS"] = sums(files).encode()
            name = f"hub-{order.tenant_slug}-{order.number}"
            archive = pack(files, name)
            checks = self._rehearsed(
                archive, folder / "rehearsal", toolchain, order, why, on_events
            )
        return self._signed(f"{name}.tar.gz", archive, content_digest, checks, toolchain, key)

    def stop_all(self) -> None:
        """End what a build of this process has running; the process is about to end."""
        RUNNING.end_all()
        for folder in self.work_folder.glob(f"{os.getpid()}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        self.work_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self.work_folder.iterdir():
            if not psutil.pid_exists(int(left.name.partition("-")[0])):
                shutil.rmtree(left, ignore_errors=True)  # its build was killed
        folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=self.work_folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _staged(self, order: BundleOrder) -> tuple[dict[str, bytes], str]:
        """Return the files that modules and inputs determine, and the digest over both."""
        files = {
            name: content
            for name, content in read_tree(self.modules).items()
            if not name.startswith(_OURS)
        }
        files["terraform.tfvars.json"] = _pretty(order.variables)
        content_digest = digest(
            {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        )
        version = files["VERSION"].decode().strip()
        release = {"module_set_version": version, "content_digest": content_digest}
        files["release.auto.tfvars.json"] = _pretty({"release": release})
        files["README.md"] = _readme(order, content_digest).encode()
        files["MODE-C.md"] = self.guide.read_bytes()
        return files, content_digest

    def _locked_and_reviewed(
        self, files: Mapping[str, bytes], folder: Path, toolchain: Toolchain, order: BundleOrder
    ) -> dict[str, bytes]:
        """Return the provider's lock file and the review files of the offline plan."""
        write_tree(files, folder)
        commands = TerraformCommands(folder, toolchain)
        self._require("init", commands.init_offline(locked=False))
        shutil.copyfile(folder / "ops" / OVERRIDE, folder / OVERRIDE)
        answer, plan = commands.plan_json()
        self._require("offline_plan", answer)
        account = str(order.variables["account_id"])
        return {LOCK: (folder / LOCK).read_bytes(), **review_files(plan, account)}

    @staticmethod
    def _require(name: str, answer: Any) -> None:
        if answer.code != 0:
            check = {"name": name, "ok": False, "detail": answer.detail, "seconds": answer.seconds}
            raise BundleInvalid(f"{name} failed: {answer.detail[-400:]}", checks=[check])

    @staticmethod
    def _manifest(
        order: BundleOrder, content_digest: str, toolchain: Toolchain | None, why: str
    ) -> bytes:
        """Return what the archive says of itself; nothing that changes from build to build."""
        provider = toolchain.mirror.version if toolchain and toolchain.mirror else None
        return _pretty(
            {
                "schema_version": 1,
                "tenant": order.tenant_slug,
                "version": order.number,
                "account_id": order.variables["account_id"],
                "region": order.variables["region"],
                "content_digest": content_digest,
                "provider_aws": provider,
                "lock_platform": toolchain.platform if toolchain else None,
                "without_terraform": why or None,
            }
        )

    def _rehearsed(
        self,
        archive: bytes,
        folder: Path,
        toolchain: Toolchain | None,
        order: BundleOrder,
        why: str,
        on_events: OnEvents,
    ) -> list[dict[str, Any]]:
        if toolchain is None:
            return [{"name": "terraform_available", "ok": False, "detail": why, "seconds": 0.0}]
        scope = PolicyScope(
            region=str(order.variables["region"]),
            account_id=str(order.variables["account_id"]),
            zone=None,
            strict=False,
            mode="C",
        )
        checks = QuickRehearsal(
            archive,
            folder,
            toolchain,
            judge=lambda plan: self.judge(plan, scope),
            on_check=lambda check: on_events([("check", check)]),
        ).run()
        failed = [check for check in checks if not check["ok"]]
        if failed:
            raise BundleInvalid(
                f"{failed[0]['name']} failed: {failed[0]['detail'][:400]}", checks=checks
            )
        return checks

    def _key(self) -> MinisignKey:
        try:
            return MinisignKey(load_or_create_key_file(self.key_file))
        except KeyFileUnusable as error:
            raise Unavailable(f"the bundle cannot be signed: {error}") from error

    @staticmethod
    def _signed(
        name: str,
        archive: bytes,
        content_digest: str,
        checks: list[dict[str, Any]],
        toolchain: Toolchain | None,
        key: MinisignKey,
    ) -> BuiltBundle:
        sha256 = hashlib.sha256(archive).hexdigest()
        rehearsal = "quick" if toolchain else "none"
        tools = {toolchain.flavour.value: toolchain.version} if toolchain else {}
        done = statement(
            archive_name=name,
            archive_sha256=sha256,
            content_digest=content_digest,
            rehearsal=rehearsal,
            checks=checks,
            tools=tools,
        )
        return BuiltBundle(
            archive_name=name,
            archive=archive,
            archive_digest=f"sha256:{sha256}",
            content_digest=content_digest,
            rehearsal=rehearsal,
            checks=checks,
            files={
                f"{name}.minisig": key.sign(archive, f"file:{name} sha256:{sha256}").encode(),
                "tenantplane-bundle.pub": key.public_file().encode(),
                f"{name}.attestation.json": envelope(done, key),
            },
        )


def _pretty(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2, sort_keys=True).encode() + b"\n"


def _readme(order: BundleOrder, content_digest: str) -> str:
    return f"""# Your Hub: bundle {order.number} for {order.tenant_slug}

Terraform that builds your Hub in your own AWS account {order.variables["account_id"]}, region
{order.variables["region"]}. You review and apply it; nobody else has access to the account.

1. Verify: `minisign -Vm hub-{order.tenant_slug}-{order.number}.tar.gz -p tenantplane-bundle.pub`
   and, inside, `sha256sum -c SHA256SUMS`.
2. Review without AWS: copy `ops/{OVERRIDE}` here, `terraform init`, `terraform plan`; take it out
   again. `review/` has the inventory, every policy and what the vendor can reach.
3. Apply: `terraform init`, `terraform plan`, `terraform apply`, with credentials of the account.
   `backend.tf.example` shows a state in S3.
4. Send back, if you want to: `terraform output -json receipt`.

`MODE-C.md` explains every part, every variable and the removal. Inputs are in
`terraform.tfvars.json`. Content digest: `{content_digest}`.
"""
