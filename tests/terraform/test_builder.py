"""Bundles as they leave: the same bytes, signed, rehearsed with a real Terraform."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import minisign
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from control_plane.adapters.audit.keys import create_key_file
from control_plane.adapters.terraform.attestation import (
    PAYLOAD_TYPE,
    PREDICATE_TYPE,
    pre_authentication,
)
from control_plane.adapters.terraform.commands import Answer, TerraformCommands
from control_plane.adapters.terraform.minisign import MinisignKey, SignatureInvalid, verify
from control_plane.adapters.terraform.packing import pack, read_tree, sums, unpack, write_tree
from control_plane.adapters.terraform.review import review_files
from control_plane.adapters.terraform.running import Running
from control_plane.adapters.terraform.toolchain import USUAL_PLATFORMS, Toolchain, find_toolchain
from control_plane.domain.errors import BundleInvalid, InvalidInput, Unavailable
from tests.terraform.shipped import ABSENT, GUIDE, MODULES, Shipped, builder, order, passes

PUBLIC_KEY = "tenantplane-bundle.pub"
CHECKS = ["fmt", "init", "validate", "test", "offline_plan", "policies", "bytes_unchanged"]
SECONDS = 60  # for a tool that takes no time


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """A bundle that was built where there is no Terraform."""
    folder = tmp_path_factory.mktemp("plain")
    made = builder(folder, binary=ABSENT)
    return Shipped.build(made, folder / "unpacked")


@pytest.fixture(scope="module")
def rehearsed(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """A bundle that was built and rehearsed with this machine's Terraform."""
    folder = tmp_path_factory.mktemp("rehearsed")
    made = builder(
        folder,
        binary=str(toolchain.binary),
        mirror=toolchain.mirror.folder if toolchain.mirror else None,
    )
    return Shipped.build(made, folder / "unpacked")


# --- packing ---------------------------------------------------------------------------------
def test_the_same_files_give_the_same_bytes_in_any_order() -> None:
    files = {"b/x.tf": b"x", "a.tf": b"a"}
    assert pack(files, "root") == pack(dict(reversed(files.items())), "root")
    assert pack(files, "root") != pack({**files, "a.tf": b"b"}, "root")


def test_what_is_packed_comes_out_again_and_the_lock_file_with_it(tmp_path: Path) -> None:
    files = {"a.tf": b"a", ".terraform.lock.hcl": b"lock", "modules/m/main.tf": b""}
    root = unpack(pack(files, "hub-x-1"), tmp_path)
    for left in (".terraform/providers/p", "terraform.tfstate", "terraform.tfstate.d/x"):
        (root / left).parent.mkdir(parents=True, exist_ok=True)
        (root / left).write_bytes(b"left")
    assert root.name == "hub-x-1"
    assert read_tree(root) == files


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a/../../outside"])
def test_a_path_that_leaves_the_bundle_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(ValueError, match="not a path inside"):
        write_tree({name: b"x"}, folder)
    with pytest.raises(ValueError, match="not a file of a bundle"):
        unpack(pack({name: b"x"}, ".."), folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["in"]


def test_the_sums_are_those_that_sha256sum_checks(plain: Shipped) -> None:
    assert plain.text("SHA256SUMS") == sums(
        {k: v for k, v in read_tree(plain.root).items() if k != "SHA256SUMS"}
    )
    program = shutil.which("sha256sum")
    if program is None:
        pytest.skip("no sha256sum on PATH")
    done = subprocess.run(
        [program, "--check", "--strict", "--quiet", "SHA256SUMS"],
        cwd=plain.root, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


# --- signatures ------------------------------------------------------------------------------
@pytest.mark.requirement("J-054")
def test_the_archive_verifies_against_its_signature(plain: Shipped) -> None:
    bundle = plain.bundle
    trusted = verify(
        plain.beside(".pub").decode(), plain.beside(".minisig").decode(), bundle.archive
    )
    sha256 = bundle.archive_digest.removeprefix("sha256:")
    assert trusted == f"file:{bundle.archive_name} sha256:{sha256}"


@pytest.mark.parametrize("at", [0, 10, 5000, -1])
def test_one_flipped_byte_of_the_archive_is_refused(plain: Shipped, at: int) -> None:
    spoilt = bytearray(plain.bundle.archive)
    spoilt[at] ^= 1
    with pytest.raises(SignatureInvalid):
        verify(plain.beside(".pub").decode(), plain.beside(".minisig").decode(), bytes(spoilt))


def test_one_changed_letter_of_the_signature_file_is_refused(plain: Shipped) -> None:
    signature = plain.beside(".minisig").decode()
    lines = signature.splitlines()
    for number, column in [(1, 4), (1, 20), (1, 80), (2, 20), (3, 10)]:
        letter = "A" if lines[number][column] != "A" else "B"
        spoilt = lines.copy()
        spoilt[number] = lines[number][:column] + letter + lines[number][column + 1 :]
        with pytest.raises(SignatureInvalid):
            verify(plain.beside(".pub").decode(), "\n".join(spoilt), plain.bundle.archive)


def test_the_signature_of_another_key_is_refused(plain: Shipped, tmp_path: Path) -> None:
    other = MinisignKey(create_key_file(tmp_path / "other.key"))
    with pytest.raises(SignatureInvalid, match="another key"):
        verify(other.public_file(), plain.beside(".minisig").decode(), plain.bundle.archive)


@pytest.mark.parametrize("text", ["", "one line", "a\nb\nc\nd", "a\nÿ\nc\nd"])
def test_what_is_no_signature_file_is_refused(plain: Shipped, text: str) -> None:
    with pytest.raises(SignatureInvalid):
        verify(plain.beside(".pub").decode(), text, plain.bundle.archive)


def test_those_who_did_not_write_it_verify_it_too(plain: Shipped, tmp_path: Path) -> None:
    """The library of the format's author, and the tool that customers use, where it is."""
    archive = tmp_path / plain.bundle.archive_name
    for name, content in plain.bundle.files.items():
        (tmp_path / name).write_bytes(content)
    for content, is_right in (
        (plain.bundle.archive, True),
        (plain.bundle.archive[:-1] + b"x", False),
    ):
        archive.write_bytes(content)
        accepted = {"library": library_accepts(archive)}
        if program := shutil.which("minisign"):
            command = [program, "-Vm", archive.name, "-p", PUBLIC_KEY]
            done = subprocess.run(
                command, cwd=tmp_path, capture_output=True, timeout=SECONDS, check=False
            )
            accepted["tool"] = done.returncode == 0
        assert set(accepted.values()) == {is_right}, accepted


def library_accepts(archive: Path) -> bool:
    """Tell whether the library accepts an archive with the signature and the key beside it."""
    try:
        minisign.PublicKey.from_file(archive.with_name(PUBLIC_KEY)).verify_file(archive)
    except minisign.VerifyError:
        return False
    return True


def test_the_key_is_made_once_and_kept_to_its_owner(tmp_path: Path) -> None:
    made = builder(tmp_path, binary=ABSENT)
    first = made.build(order(), on_events=lambda *_: None)
    second = made.build(order(2), on_events=lambda *_: None)
    assert first.files[PUBLIC_KEY] == second.files[PUBLIC_KEY]
    assert (tmp_path / "bundle.key").stat().st_mode & 0o077 == 0


# --- the attestation -------------------------------------------------------------------------
def test_the_attestation_is_signed_and_about_this_archive(plain: Shipped) -> None:
    document = json.loads(plain.beside(".attestation.json"))
    payload = base64.b64decode(document["payload"])
    (signature,) = document["signatures"]
    key = base64.b64decode(plain.beside(".pub").decode().splitlines()[1])
    public = Ed25519PublicKey.from_public_bytes(key[10:])
    signed = pre_authentication(document["payloadType"], payload)
    assert signed.startswith(b"DSSEv1 28 application/vnd.in-toto+json ")
    public.verify(base64.b64decode(signature["sig"]), signed)
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(signature["sig"]), payload)
    assert document["payloadType"] == PAYLOAD_TYPE
    assert signature["keyid"] in plain.beside(".pub").decode()
    statement = json.loads(payload)
    assert statement["predicateType"] == PREDICATE_TYPE
    assert statement["subject"] == [
        {
            "name": plain.bundle.archive_name,
            "digest": {"sha256": plain.bundle.archive_digest.removeprefix("sha256:")},
        }
    ]
    assert statement["predicate"]["content_digest"] == plain.bundle.content_digest
    assert statement["predicate"]["rehearsal"] == plain.bundle.rehearsal


# --- what is inside --------------------------------------------------------------------------
def test_without_terraform_the_bundle_is_built_and_says_so(plain: Shipped) -> None:
    assert plain.bundle.rehearsal == "none"
    (check,) = plain.bundle.checks
    assert (check["name"], check["ok"]) == ("terraform_available", False)
    assert "TENANTPLANE_TERRAFORM" in plain.manifest["without_terraform"]
    assert plain.manifest["without_terraform"] == check["detail"]
    assert not (plain.root / ".terraform.lock.hcl").exists()


@pytest.mark.requirement("J-054")
def test_two_builds_give_the_same_bytes_and_other_inputs_other_ones(
    plain: Shipped, tmp_path: Path
) -> None:
    made = builder(tmp_path, binary=ABSENT)
    again = made.build(order(), on_events=lambda *_: None)
    other = made.build(order(account_id="111111111111"), on_events=lambda *_: None)
    assert again.archive == plain.bundle.archive
    assert again.content_digest == plain.bundle.content_digest
    assert other.content_digest != again.content_digest
    assert list((tmp_path / "builds").iterdir()) == []


ENDS = """
import sys, threading, time
from pathlib import Path
from tests.terraform.shipped import builder, order
folder = Path(sys.argv[1])
made = builder(folder, binary=str(folder / "terraform"))
build = threading.Thread(target=made.build, args=(order(),),
                         kwargs={"on_events": lambda *_: None}, daemon=True)
build.start()
while not (folder / "began").exists():
    time.sleep(0.02)
made.stop_all()
build.join(1.0)
print(build.is_alive(), list((folder / "builds").iterdir()))
"""
NEVER_ENDS = """#!/bin/sh
case "$1" in version) echo "Terraform v1.12.3"; echo "on linux_amd64"; exit;; esac
touch "{folder}/began"
exec sleep 100
"""
REFUSES = """#!/bin/sh
case "$1" in version) echo "Terraform v1.12.3"; echo "on linux_amd64"; exit;; esac
echo "Error: not today" >&2
exit 1
"""


def test_a_build_that_is_stopped_with_its_process_neither_fails_nor_ends(tmp_path: Path) -> None:
    terraform = tmp_path / "terraform"
    terraform.write_text(NEVER_ENDS.format(folder=tmp_path))
    terraform.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", ENDS, str(tmp_path)],
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.stdout == "True []\n", done.stderr


def test_a_stop_ends_the_builds_of_its_own_builder_alone(tmp_path: Path) -> None:
    terraform = tmp_path / "terraform"
    terraform.write_text(REFUSES)
    terraform.chmod(0o755)
    made = builder(tmp_path, binary=str(terraform))
    builder(tmp_path, binary=str(terraform)).stop_all()
    with pytest.raises(BundleInvalid, match="init failed: not today"):
        made.build(order(), on_events=lambda *_: None)


def test_what_a_killed_build_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    made = builder(tmp_path, binary=ABSENT)
    folder = tmp_path / "builds"
    code = (
        "import os, sys; from pathlib import Path; from tests.terraform.shipped import builder;"
        "made = builder(Path(sys.argv[1])); held = made._folder(); found = held.__enter__();"
        "(found / 'stage').mkdir(); print('held', flush=True); sys.stdin.read(); os._exit(1)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        (folder / "lost+found").mkdir()
        made.build(order(), on_events=lambda *_: None)
        assert len(list(folder.iterdir())) == 2  # that of a build that runs is left
    made.build(order(), on_events=lambda *_: None)
    assert [left.name for left in folder.iterdir()] == ["lost+found"]


def test_the_archive_holds_modules_inputs_and_what_explains_them(plain: Shipped) -> None:
    files = read_tree(plain.root)
    assert plain.root.name == "hub-dainese-1"
    assert json.loads(files["terraform.tfvars.json"]) == order().variables
    release = json.loads(files["release.auto.tfvars.json"])["release"]
    assert (
        release["content_digest"]
        == plain.bundle.content_digest
        == (plain.manifest["content_digest"])
    )
    assert files["MODE-C.md"] == GUIDE.read_bytes()
    links = re.findall(r"\]\((?!https?:|#)([^)]*)\)", GUIDE.read_text(encoding="utf-8"))
    assert [link for link in links if link not in files] == []
    assert "MODE-C.md" in plain.text("README.md")
    assert {"main.tf", "modules/keys/main.tf", "modules/network/main.tf"} <= set(files)
    assert not [name for name in files if name.startswith("examples/")]


def test_where_data_is_handed_over_its_tool_and_runbook_are_inside_and_count(
    plain: Shipped, tmp_path: Path
) -> None:
    assert not [name for name in read_tree(plain.root) if name.startswith("handover/")]
    files = {"manifest.json": b"{}", "HANDOVER.md": b"# Hand-over\n"}
    shipped = Shipped.build(builder(tmp_path, binary=ABSENT), tmp_path / "out", handover=files)
    inside = read_tree(shipped.root)
    for name, content in files.items():
        assert inside[f"handover/{name}"] == content
    assert {
        "handover/__main__.py", "handover/aws.py", "handover/entries.py", "handover/stores.py",
        "handover/mode_c_manifest.schema.json", "handover/mode_c_import_report.schema.json",
    } <= set(inside)  # fmt: skip
    helped = subprocess.run(
        [sys.executable, "-m", "handover", "--help"],
        cwd=shipped.root, capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    assert {"export", "import", "report"} <= set(re.findall(r"\w+", helped.stdout))
    assert shipped.bundle.content_digest != plain.bundle.content_digest
    signature = builder(tmp_path).sign("m.json", b"{}").decode()
    public = shipped.beside(".pub").decode()
    assert verify(public, signature, b"{}").startswith("file:m.json sha256:")


def test_a_reworded_guide_is_no_other_content(plain: Shipped, tmp_path: Path) -> None:
    guide = tmp_path / "guide.md"
    guide.write_text("Another text.")
    built = builder(tmp_path, binary=ABSENT, guide=guide).build(order(), on_events=lambda *_: None)
    assert built.content_digest == plain.bundle.content_digest
    assert built.archive_digest != plain.bundle.archive_digest


@pytest.mark.requirement("J-055")
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"account_id": ""}, "inputs.account_id"),
        ({"surprise": 1}, "inputs.surprise"),
        (
            {"network": {"mode": "create", "cidr": "10.0.0.0/16",
                         "zones": ["eu-west-1a", "eu-west-1b"], "client_cidrs": ["0.0.0.0/0"]}},
            "inputs.network.client_cidrs.0",
        ),
    ],
)  # fmt: skip
def test_inputs_that_cannot_be_right_are_refused_by_field(
    tmp_path: Path, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        builder(tmp_path).build(order(**changes), on_events=lambda *_: None)
    assert refused.value.data["field"] == field
    assert field.rpartition(".")[2] in str(refused.value)


def test_a_key_file_that_cannot_be_used_is_said_and_nothing_is_signed(tmp_path: Path) -> None:
    (tmp_path / "bundle.key").write_text("no key")
    with pytest.raises(Unavailable, match=r"bundle\.key") as refused:
        builder(tmp_path, binary=ABSENT).build(order(), on_events=lambda *_: None)
    assert str(tmp_path) not in str(refused.value)


ACCOUNT, FOREIGN = "210987654321", "999999999999"


def planned(address: str, principal: Any = None, **changes: Any) -> dict[str, Any]:
    """Return a resource of a plan whose policy allows a principal something."""
    statement = {"Effect": "Allow", "Principal": principal, "Action": "*"}
    policy = json.dumps({"Statement": [statement | changes]})
    return {
        "mode": "managed", "address": address, "type": "aws_kms_key",
        "change": {"after": {"policy": policy}, "after_unknown": {"key_id": True}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("principal", "named"),
    [
        ("*", "*"),
        ({"AWS": "*"}, "*"),
        ({"AWS": FOREIGN}, FOREIGN),
        ({"AWS": [f"arn:aws:iam::{FOREIGN}:root", ACCOUNT]}, f"arn:aws:iam::{FOREIGN}:root"),
        ({"AWS": f"arn:aws:iam::{FOREIGN}:role/x:{ACCOUNT}:"},
         f"arn:aws:iam::{FOREIGN}:role/x:{ACCOUNT}:"),
        ({"Federated": "accounts.example"}, "accounts.example"),
        ({"CanonicalUser": "79a5"}, "79a5"),
    ],
)  # fmt: skip
def test_the_review_files_name_every_principal_of_another_account(
    principal: Any, named: str
) -> None:
    own = {"AWS": [f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT], "Service": "ecs-tasks.amazonaws.com"}
    endpoint = planned("k.endpoint", principal) | {"type": "aws_vpc_endpoint"}
    items = [
        planned("k.own", own), planned("k.foreign", principal), endpoint,
        planned("k.refused", principal, Effect="Deny"),
    ]  # fmt: skip
    files = review_files({"resource_changes": items}, ACCOUNT)
    access = files["review/VENDOR-ACCESS.md"].decode()
    assert f"* Principals of accounts other than {ACCOUNT}: 1.\n  * k.foreign: {named}\n" in access
    assert "* Policies that only the apply makes known: none." in access
    assert files == review_files({"resource_changes": items[::-1]}, ACCOUNT)


def test_the_review_files_name_who_is_left_out_alone_and_what_nobody_knows_yet() -> None:
    others = planned("k.others", NotPrincipal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
    others["change"]["after"]["policy"] = others["change"]["after"]["policy"].replace(
        '"Principal": null, ', ""
    )
    later = {
        "mode": "managed", "address": "b.later", "type": "aws_s3_bucket_policy",
        "change": {"after": {"bucket": "b"}, "after_unknown": {"policy": True}},
    }  # fmt: skip
    mirror = later | {"address": "s.mirror", "type": "s"}  # AWS says which policy it has
    configured = [
        {"mode": "managed", "type": "b", "name": "later",
         "expressions": {"policy": {"references": ["x.arn"]}}},
        {"mode": "managed", "type": "s", "name": "mirror",
         "expressions": {"name": {"constant_value": "s"}}},
    ]  # fmt: skip
    plan = {
        "resource_changes": [others, later, mirror],
        "configuration": {"root_module": {"resources": configured}},
    }
    files = review_files(plan, ACCOUNT)
    access = files["review/VENDOR-ACCESS.md"].decode()
    assert "  * k.others: everybody but some\n" in access
    assert "* Policies that only the apply makes known: 1.\n  * b.later.policy\n" in access
    assert json.loads(files["review/policies.json"])["b.later.policy"] == "known after the apply"


# --- with a real Terraform -------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_bundle_passes_every_check_of_the_quick_rehearsal(
    rehearsed: Shipped, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        took = [f"{check['name']} {check['seconds']} s" for check in rehearsed.bundle.checks]
        sys.stdout.write(f"\nquick rehearsal: {', '.join(took)}\n")
    assert rehearsed.bundle.rehearsal == "quick"
    assert [check["name"] for check in rehearsed.bundle.checks] == CHECKS
    assert all(check["ok"] for check in rehearsed.bundle.checks), rehearsed.bundle.checks
    assert rehearsed.events == rehearsed.bundle.checks  # told one by one, as they were done


@pytest.mark.requirement("J-054")
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_rehearsed_bundle_has_lock_file_manifest_and_review(
    rehearsed: Shipped, toolchain: Toolchain
) -> None:
    assert rehearsed.text("SHA256SUMS") == sums(
        {k: v for k, v in read_tree(rehearsed.root).items() if k != "SHA256SUMS"}
    )
    lock = rehearsed.text(".terraform.lock.hcl")
    assert "hashicorp/aws" in lock
    assert rehearsed.manifest["provider_aws"] in lock
    assert toolchain.platform in rehearsed.manifest["lock_platforms"]
    assert rehearsed.manifest["tool"] == {"name": "Terraform", "version": toolchain.version}
    readme = rehearsed.text("README.md")
    assert f"for {', '.join(rehearsed.manifest['lock_platforms'])}." in readme
    assert ("terraform providers lock -platform" in readme) == (
        not set(USUAL_PLATFORMS) <= set(rehearsed.manifest["lock_platforms"])
    )
    assert rehearsed.manifest["without_terraform"] is None
    rows = list(csv.reader(io.StringIO(rehearsed.text("review/inventory.csv"))))
    kinds = [row[1] for row in rows[1:]]
    assert len(kinds) > 50
    assert {"aws_kms_key", "aws_vpc", "aws_s3_bucket", "aws_db_instance"} <= set(kinds)
    policies = json.loads(rehearsed.text("review/policies.json"))
    assert all(document["Statement"] for document in policies.values())
    access = rehearsed.text("review/VENDOR-ACCESS.md")
    assert "Principals of accounts other than 210987654321: none." in access
    assert "Policies that only the apply makes known: none." in access


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_with_and_without_terraform_the_content_digest_is_the_same(
    rehearsed: Shipped, plain: Shipped
) -> None:
    assert rehearsed.bundle.content_digest == plain.bundle.content_digest
    verify(
        rehearsed.beside(".pub").decode(),
        rehearsed.beside(".minisig").decode(),
        rehearsed.bundle.archive,
    )


@pytest.mark.slow
def test_modules_that_terraform_refuses_fail_the_build_by_name(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    modules = tmp_path / "modules"
    shutil.copytree(MODULES, modules)
    (modules / "main.tf").write_text("resource {\n")
    made = builder(
        tmp_path, modules=modules, binary=str(toolchain.binary), judge=passes,
        mirror=toolchain.mirror.folder if toolchain.mirror else None,
    )  # fmt: skip
    with pytest.raises(BundleInvalid, match="init failed") as refused:
        made.build(order(), on_events=lambda *_: None)
    assert [(c["name"], c["ok"]) for c in refused.value.data["checks"]] == [("init", False)]
    assert list((tmp_path / "builds").iterdir()) == []
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.slow
def test_the_lock_file_holds_every_platform_that_the_mirror_holds(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    assert toolchain.mirror is not None
    provider = Path(toolchain.flavour.registry_host) / "hashicorp" / "aws"
    own = tmp_path / "mirror" / provider
    shutil.copytree(
        toolchain.mirror.folder / provider, own, copy_function=lambda a, b: Path(b).symlink_to(a)
    )
    for other in ("darwin_arm64", "windows_amd64"):
        name = f"terraform-provider-aws_{toolchain.mirror.version}_{other}.zip"
        with zipfile.ZipFile(own / name, "w") as packed:
            packed.writestr("terraform-provider-aws", f"the provider for {other}")
    found = find_toolchain(
        environment=os.environ, binary=str(toolchain.binary), mirror=tmp_path / "mirror"
    )
    platforms = sorted({toolchain.platform, "darwin_arm64", "windows_amd64"})
    assert list(found.lock_platforms) == platforms
    stage = tmp_path / "stage"
    shutil.copytree(MODULES, stage)
    commands = TerraformCommands(stage, found, Running())
    assert commands.init_offline(locked=False).code == 0
    locked = commands.lock(found.lock_platforms)
    assert locked.code == 0, locked.detail
    hashes = re.findall(r'"h1:[^"]+"', (stage / ".terraform.lock.hcl").read_text())
    assert len(set(hashes)) == len(platforms)


def test_an_answer_is_told_in_whole_lines_and_summed_up_by_its_first_error() -> None:
    box = "\u2577\n\u2502 Error: Invalid value\n\u2502 \n\u2502   on main.tf line 3\n\u2575\n"
    answer = Answer(code=1, out="", err="x" * 500 + "\n" + "filler line\n" * 300 + box, seconds=0)
    assert answer.summary == "Invalid value"
    assert answer.detail.splitlines()[0] == "filler line"
    assert "\u2502" not in answer.detail
    assert Answer(code=1, out="", err="", seconds=0).summary == "no output"


def test_the_guide_computes_the_content_digest(plain: Shipped) -> None:
    program = shutil.which("jq")
    if program is None:
        pytest.skip("no jq on PATH")
    guide = GUIDE.read_text(encoding="utf-8")
    command = guide[guide.index("grep -vE ") :].partition("```")[0]
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=plain.root, capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    assert "sha256:" + done.stdout.split()[0] == plain.bundle.content_digest
