"""The port ``BundleBuilder``: modules and inputs become a signed, rehearsed archive.

In this order: stage, lock and review (both from the inputs only), pack, sign, rehearse the packed
bytes, attest. What is inside the archive is determined by modules and inputs; what was done with it
lies beside it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from control_plane.adapters.audit.keys import KeyFileUnusable, load_key_file
from control_plane.adapters.terraform.attestation import envelope, statement
from control_plane.adapters.terraform.commands import TerraformCommands
from control_plane.adapters.terraform.minisign import MinisignKey
from control_plane.adapters.terraform.packing import (
    content_digest,
    pack,
    read_tree,
    sums,
    write_tree,
)
from control_plane.adapters.terraform.rehearsal import OVERRIDE, QuickRehearsal
from control_plane.adapters.terraform.review import review_files
from control_plane.adapters.terraform.running import Running
from control_plane.adapters.terraform.toolchain import (
    USUAL_PLATFORMS,
    Toolchain,
    find_toolchain,
)
from control_plane.adapters.terraform.variables import check_variables
from control_plane.domain.errors import (
    BundleInvalid,
    TerraformUnavailable,
    Unavailable,
)
from control_plane.domain.evaluation import Evaluation
from control_plane.ports import Json
from control_plane.ports.bundles import BuiltBundle, BundleOrder
from control_plane.ports.engine import EventListener
from control_plane.ports.stores import PolicyScope

LOCK: Final = ".terraform.lock.hcl"
JudgeTerraform = Callable[[Json, PolicyScope], Evaluation]
# files of the modules' folder that are for its authors, not for the customer
_OURS: Final = ("examples/",)
_PREFIX: Final = "build-"
_HANDOVER: Final = "handover"
_HANDOVER_SCHEMAS: Final = ("mode_c_manifest.schema.json", "mode_c_import_report.schema.json")


@dataclass(frozen=True, kw_only=True)
class TerraformBundleBuilder:
    """Builds bundles from the modules in ``modules``; ``judge`` evaluates a Terraform plan.

    ``guide`` is the text for the customer's reviewers that goes along as ``MODE-C.md``,
    ``handover_tool`` the folder of the program that moves data where some is handed over.
    """

    modules: Path
    guide: Path
    handover_tool: Path
    variables_schema: Path
    key_file: Path
    work_folder: Path
    binary: str
    mirror: Path | None
    judge: JudgeTerraform
    running: Running = field(default_factory=Running, init=False)

    def check_variables(self, variables: Json, *, is_draft: bool = False) -> None:
        """Validate variables against their schema; in a draft ``account_id`` may be empty.

        Raises ``InvalidInput`` that names every wrong field.
        """
        check_variables(self.variables_schema, variables, is_draft=is_draft)

    def build(self, order: BundleOrder, *, on_events: EventListener) -> BuiltBundle:
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
            files, content = self._staged(order)
            platforms: tuple[str, ...] = ()
            if toolchain is not None:
                added, platforms = self._locked_and_reviewed(
                    files, folder / "stage", toolchain, order, on_events
                )
                files |= added
            files["README.md"] = _readme(order, content, platforms).encode()
            files["MANIFEST.json"] = self._manifest(order, content, toolchain, platforms, why)
            files["SHA256SUMS"] = sums(files).encode()
            name = f"hub-{order.tenant_slug}-{order.number}"
            archive = pack(files, name)
            if toolchain is not None and (installed := toolchain.installed_in(folder / "stage")):
                toolchain = replace(toolchain, mirror=installed)
            checks = self._rehearsed(
                archive, folder / "rehearsal", toolchain, order, why, on_events
            )
        return self._signed(f"{name}.tar.gz", archive, content, checks, toolchain, key)

    def sign(self, name: str, content: bytes) -> bytes:
        """Return a signature over something that goes along with a bundle, by the same key.

        Raises ``Unavailable`` when the key cannot be used.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        return self._key().sign(content, f"file:{name} sha256:{sha256}").encode()

    def public_key(self) -> str:
        """Return the public key that bundles are signed with, as a minisign file.

        Raises ``Unavailable`` when the key cannot be used.
        """
        return self._key().public_file()

    def stop_all(self) -> None:
        """End what builds of this builder have running; the process is about to end.

        A build that is cut waits forever: it is resumed, not failed.
        """
        self.running.end_all()

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        self.work_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with ExitStack() as held:
            with _locked(self.work_folder):
                for left in self.work_folder.glob(f"{_PREFIX}*"):
                    _remove_unless_held(left)
                folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self.work_folder))
                held.enter_context(_locked(folder))
            yield held.enter_context(self.running.folder(folder))

    def _staged(self, order: BundleOrder) -> tuple[dict[str, bytes], str]:
        """Return the files that modules and inputs determine, and the digest over both."""
        files = {
            name: content
            for name, content in read_tree(self.modules).items()
            if not name.startswith(_OURS)
        }
        files["terraform.tfvars.json"] = _pretty(order.variables)
        files |= self._handed_over(order)
        content = content_digest(files)
        version = files["VERSION"].decode().strip()
        release = {"module_set_version": version, "content_digest": content}
        files["release.auto.tfvars.json"] = _pretty({"release": release})
        files["MODE-C.md"] = self.guide.read_bytes()
        return files, content

    def _handed_over(self, order: BundleOrder) -> dict[str, bytes]:
        """Return what goes along where data is handed over: its tool, schemas and files."""
        if not order.handover:
            return {}
        tool = {
            name: content
            for name, content in read_tree(self.handover_tool).items()
            if name.endswith(".py")
        }
        schemas = {
            name: (self.variables_schema.parent / name).read_bytes() for name in _HANDOVER_SCHEMAS
        }
        found = {**tool, **schemas, **order.handover}
        return {f"{_HANDOVER}/{name}": content for name, content in found.items()}

    def _locked_and_reviewed(
        self,
        files: Mapping[str, bytes],
        folder: Path,
        toolchain: Toolchain,
        order: BundleOrder,
        on_events: EventListener,
    ) -> tuple[dict[str, bytes], tuple[str, ...]]:
        """Return lock file and review files of the offline plan, and the platforms of the lock."""
        write_tree(files, folder)
        commands = TerraformCommands(folder, toolchain, self.running)
        self._require("init", commands.init_offline(locked=False), on_events)
        # ``init`` has locked the hash of our own platform. Those of others are wanted, not needed:
        # what could not be had is said.
        own = (toolchain.platform,)
        platforms = toolchain.lock_platforms
        if platforms != own and commands.lock(platforms).code != 0:
            platforms = own
        shutil.copyfile(folder / "ops" / OVERRIDE, folder / OVERRIDE)
        answer, plan = commands.plan_json()
        self._require("offline_plan", answer, on_events)
        account = str(order.variables["account_id"])
        lock = (folder / LOCK).read_bytes()
        return {LOCK: lock, **review_files(plan, account)}, platforms

    @staticmethod
    def _require(name: str, answer: Any, on_events: EventListener) -> None:
        if answer.code != 0:
            check = {"name": name, "ok": False, "detail": answer.detail, "seconds": answer.seconds}
            on_events([("check", check)])
            raise BundleInvalid(f"{name} failed: {answer.summary}", checks=[check])

    @staticmethod
    def _manifest(
        order: BundleOrder,
        content: str,
        toolchain: Toolchain | None,
        platforms: tuple[str, ...],
        why: str,
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
                "content_digest": content,
                "provider_aws": provider,
                "lock_platforms": list(platforms),
                "tool": {"name": toolchain.flavour.value, "version": toolchain.version}
                if toolchain
                else None,
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
        on_events: EventListener,
    ) -> list[dict[str, Any]]:
        if toolchain is None:
            absent = {"name": "terraform_available", "ok": False, "detail": why, "seconds": 0.0}
            on_events([("check", absent)])
            return [absent]
        owner = order.variables["owner"]
        scope = PolicyScope(
            region=str(order.variables["region"]),
            account_id=str(order.variables["account_id"]),
            zone=order.zone,
            strict=order.strict,
            mode="C",
            tenant=str(owner["tenant"]),
            deployment=str(owner["deployment"]),
            environment=str(owner["environment"]),
        )
        checks = QuickRehearsal(
            archive,
            folder,
            toolchain,
            self.running,
            judge=lambda plan: self.judge(plan, scope),
            on_check=lambda check: on_events([("check", check)]),
        ).run()
        failed = [check for check in checks if not check["ok"]]
        if failed:
            names = ", ".join(check["name"] for check in failed)
            raise BundleInvalid(f"the rehearsal failed: {names}; see the checks", checks=checks)
        return checks

    def _key(self) -> MinisignKey:
        try:
            return MinisignKey(load_key_file(self.key_file))
        except KeyFileUnusable as error:
            raise Unavailable(f"the bundle cannot be signed: {error}") from error

    @staticmethod
    def _signed(
        name: str,
        archive: bytes,
        content: str,
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
            content_digest=content,
            rehearsal=rehearsal,
            checks=checks,
            tools=tools,
        )
        return BuiltBundle(
            archive_name=name,
            archive=archive,
            archive_digest=f"sha256:{sha256}",
            content_digest=content,
            rehearsal=rehearsal,
            checks=checks,
            files={
                f"{name}.minisig": key.sign(archive, f"file:{name} sha256:{sha256}").encode(),
                "tenantplane-bundle.pub": key.public_file().encode(),
                f"{name}.attestation.json": envelope(done, key),
            },
        )


@contextmanager
def _locked(folder: Path, *, at_once: bool = False) -> Iterator[None]:
    """Hold a folder, which ends with this process at the latest.

    Raises ``BlockingIOError`` when somebody has it and it is wanted ``at_once``.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if at_once else 0))
        yield
    finally:
        os.close(descriptor)


def _remove_unless_held(folder: Path) -> None:
    """Remove the folder of a build that was killed; one that still runs holds its own."""
    with suppress(OSError), _locked(folder, at_once=True):
        shutil.rmtree(folder, ignore_errors=True)


def _pretty(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2, sort_keys=True).encode() + b"\n"


def _lock_text(platforms: tuple[str, ...]) -> str:
    if not platforms:
        return "There is no provider lock file: `terraform init` creates one; keep it."
    missing = sorted(set(USUAL_PLATFORMS) - set(platforms))
    text = f"The lock file holds the hashes of the provider for {', '.join(platforms)}."
    if missing:
        text += f""" On another platform ({", ".join(missing)})
`terraform init` refuses the provider; add your own hash and review the change:
`terraform providers lock -platform=<yours>`. With OpenTofu do the same with `tofu`: it uses
another registry, so the lock file gets a separate entry."""
    return text


def _readme(order: BundleOrder, content: str, platforms: tuple[str, ...]) -> str:
    archive = f"hub-{order.tenant_slug}-{order.number}.tar.gz"
    return f"""# Your Hub: bundle {order.number} for {order.tenant_slug}

Terraform that builds your Hub in your own AWS account {order.variables["account_id"]}, region
{order.variables["region"]}. You review and apply it; nobody else has access to the account.

1. Verify: `minisign -Vm {archive} -p tenantplane-bundle.pub`
   and, inside, `sha256sum -c SHA256SUMS`. The key came with the bundle: compare its id
   (last word of the file's first line) with the one that the vendor gave you another way.
2. Review without AWS: copy `ops/{OVERRIDE}` here, `terraform init`, `terraform plan`; then
   remove it. `review/` has the inventory, every policy and what the vendor can reach.
3. Apply: `terraform init`, `terraform plan`, `terraform apply`, with credentials of the account.
   `backend.tf.example` shows a state in S3.
4. Optionally send back: `terraform output -json receipt`.

{_lock_text(platforms)}

`MODE-C.md` explains every part, every variable and the removal. Inputs are in
`terraform.tfvars.json`. Content digest: `{content}`; MODE-C.md says how it is computed.
"""
