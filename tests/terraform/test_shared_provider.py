"""Commands share one provider: the one that ``init`` verified, and no longer than they need it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.terraform.commands import TerraformCommands
from control_plane.adapters.terraform.packing import pack, read_tree, sums
from control_plane.adapters.terraform.provider import shared_provider
from control_plane.adapters.terraform.rehearsal import QuickRehearsal
from control_plane.adapters.terraform.running import Running
from control_plane.adapters.terraform.toolchain import Flavour, ProviderMirror, Toolchain
from control_plane.domain.evaluation import Evaluation
from tests.terraform.workspace import Workspace

SECONDS = 30.0  # for what takes no time
ADDRESS = "registry.terraform.io/hashicorp/aws"
PROVIDER = "terraform-provider-aws_v5.100.0_x5"
# A stand-in of a provider, which says where it listens as the real one does, and its process.
LISTENS = f"""#!/bin/sh
echo $$ >> pids
echo "Provider started. To attach Terraform CLI, set the following:"
printf "\\n\\tTF_REATTACH_PROVIDERS='%s'\\n" '{{"{ADDRESS}":{{"Pid":'$$'}}}}'
exec sleep 1000
"""
SILENT = "#!/bin/sh\necho $$ >> pids\nexec sleep 1000\n"
ENDS = "#!/bin/sh\necho $$ >> pids\necho no such flag >&2\nexit 2\n"
# A stand-in of Terraform, which prints the address of a provider that it gets.
TERRAFORM = '#!/bin/sh\nprintf %s "$TF_REATTACH_PROVIDERS"\n'


def script(path: Path, text: str) -> Path:
    """Write a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def stand_in(folder: Path, provider: str, flavour: Flavour = Flavour.TERRAFORM) -> Toolchain:
    """Return a toolchain whose ``init`` has been in ``folder``."""
    found = Toolchain(
        binary=script(folder / "terraform", TERRAFORM),
        flavour=flavour, version="1.11.4", platform="linux_amd64", mirror=None,
    )  # fmt: skip
    installed = folder / ".terraform" / "providers" / flavour.provider_address / "5.100.0"
    script(installed / "linux_amd64" / PROVIDER, provider)
    return found


def pids(folder: Path) -> list[int]:
    """Return the processes of the providers that were started in a folder."""
    return [int(pid) for pid in (folder / "pids").read_text().split()]


def has_ended(pid: int) -> bool:
    """Wait for a process to end; False when it does not."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("flavour", list(Flavour))
def test_commands_of_a_block_get_one_provider_and_those_after_it_none(
    tmp_path: Path, flavour: Flavour
) -> None:
    commands = TerraformCommands(tmp_path, stand_in(tmp_path, LISTENS, flavour), Running())
    with commands.one_provider():
        told = [json.loads(commands.run("validate").out), json.loads(commands.run("test").out)]
        (pid,) = pids(tmp_path)
        assert told == [{flavour.provider_address: {"Pid": pid}}] * 2
    assert has_ended(pid)
    assert commands.run("validate").out == ""


def test_each_block_has_a_provider_of_its_own(tmp_path: Path) -> None:
    commands = TerraformCommands(tmp_path, stand_in(tmp_path, LISTENS), Running())
    for _ in range(2):
        with commands.one_provider():
            pass
    assert len(set(pids(tmp_path))) == 2


@pytest.mark.parametrize("provider", [ENDS, SILENT])
def test_without_a_provider_that_listens_each_command_starts_its_own(
    tmp_path: Path, provider: str
) -> None:
    toolchain = stand_in(tmp_path, provider)
    with shared_provider(tmp_path, toolchain, Running(), start_seconds=1.0) as told:
        assert told == {}
    assert all(map(has_ended, pids(tmp_path)))


def test_nothing_is_started_but_what_init_put_into_the_folder(tmp_path: Path) -> None:
    toolchain, other = stand_in(tmp_path, LISTENS), tmp_path / "other"
    other.mkdir()
    mirror = toolchain.installed_in(tmp_path)
    assert mirror is not None
    with shared_provider(other, replace(toolchain, mirror=mirror), Running()) as told:
        assert told == {}
    assert not (other / "pids").exists()


def test_of_several_providers_in_a_folder_none_is_started(tmp_path: Path) -> None:
    toolchain = stand_in(tmp_path, LISTENS)
    (version,) = (tmp_path / ".terraform" / "providers").glob("*/*/*/5.100.0")
    script(version.with_name("5.999.0") / "linux_amd64" / PROVIDER, LISTENS)
    with shared_provider(tmp_path, toolchain, Running()) as told:
        assert told == {}
    assert not (tmp_path / "pids").exists()


def test_a_shared_provider_ends_with_the_builds_of_its_process(tmp_path: Path) -> None:
    running = Running()
    with shared_provider(tmp_path, stand_in(tmp_path, LISTENS), running) as told:
        assert told
        running.end_all()
        assert all(map(has_ended, pids(tmp_path)))


HOLDS = """
import sys, time
from pathlib import Path
from control_plane.adapters.terraform.provider import shared_provider
from control_plane.adapters.terraform.running import Running
from tests.terraform.test_shared_provider import LISTENS, stand_in
folder = Path(sys.argv[1])
with shared_provider(folder, stand_in(folder, LISTENS), Running()):
    print("held", flush=True)
    time.sleep(1000)
"""


def test_a_shared_provider_does_not_outlive_a_process_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        (pid,) = pids(tmp_path)
        os.kill(pid, 0)
        holder.send_signal(signal.SIGKILL)
    assert has_ended(pid)


# --- with a real Terraform -------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_plan_of_a_shared_provider_is_that_of_providers_that_terraform_starts(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    own = Workspace.make(tmp_path / "own", toolchain, "created")
    assert own.init().code == 0
    expected = own.offline_plan()
    shared = Workspace.make(tmp_path / "shared", toolchain, "created").folder
    override = shared / "offline_override.tf"
    override.write_bytes((shared / "ops" / override.name).read_bytes())
    commands = TerraformCommands(shared, toolchain, Running())
    assert commands.init_offline(locked=False).code == 0
    answer, plan = commands.plan_json()
    assert answer.code == 0, answer.detail
    assert comparable(plan) == comparable(expected)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_terraform_starts_no_provider_beside_the_shared_one(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    folder = Workspace.make(tmp_path / "modules", toolchain, "created").folder
    logging = script(
        tmp_path / "terraform", f'#!/bin/sh\nTF_LOG=DEBUG exec {toolchain.binary} "$@"\n'
    )
    commands = TerraformCommands(folder, replace(toolchain, binary=logging), Running())
    assert commands.init_offline(locked=False).code == 0
    alone = commands.run("validate")
    with commands.one_provider():
        shared = commands.run("validate")
    assert (alone.code, shared.code) == (0, 0), alone.detail + shared.detail
    assert alone.err.count("starting plugin") > 1
    assert "starting plugin" not in shared.err


@pytest.mark.slow
def test_a_provider_that_the_lock_file_does_not_know_is_refused_and_never_started(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    work = Workspace.make(tmp_path / "modules", toolchain, "created")
    assert work.init().code == 0
    files = read_tree(work.folder)
    lock = files[".terraform.lock.hcl"].decode()
    files[".terraform.lock.hcl"] = re.sub(r'"h1:.{4}', '"h1:AAAA', lock).encode()
    files["SHA256SUMS"] = sums(files).encode()
    checks = QuickRehearsal(
        pack(files, "hub-x-1"), tmp_path / "rehearsal", toolchain, Running(),
        judge=lambda plan: Evaluation(ok=True, digest="sha256:0"), on_check=lambda check: None,
    ).run()  # fmt: skip
    found = {check["name"]: check["ok"] for check in checks}
    assert found == {"fmt": True, "init": False, "bytes_unchanged": True}
    left = list((tmp_path / "rehearsal").glob("*/.terraform/plugin*"))
    assert [path for path in left if path.is_socket()] == []


@pytest.mark.slow
def test_a_packed_provider_is_unpacked_once_and_linked_from_there(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    packed = tmp_path / "mirror" / toolchain.flavour.provider_address
    packed.mkdir(parents=True)
    name = f"terraform-provider-aws_5.100.0_{toolchain.platform}.zip"
    with zipfile.ZipFile(packed / name, "w") as archive:
        archive.writestr(PROVIDER, "any bytes: init runs no provider")
    mirror = ProviderMirror(
        folder=tmp_path / "mirror", version="5.100.0", executable=None,
        platforms=(toolchain.platform,),
    )  # fmt: skip
    unpacking = replace(toolchain, mirror=mirror)
    first = Workspace.make(tmp_path / "first", unpacking, "created").folder
    commands = TerraformCommands(first, unpacking, Running())
    assert commands.init_offline(locked=False).code == 0
    lock = (first / ".terraform.lock.hcl").read_bytes()
    assert commands.lock((toolchain.platform,)).code == 0
    # init alone locks the hash of its own platform
    assert (first / ".terraform.lock.hcl").read_bytes() == lock
    installed = unpacking.installed_in(first)
    assert installed is not None
    linking = replace(unpacking, mirror=installed)
    second = Workspace.make(tmp_path / "second", linking, "created").folder
    (second / ".terraform.lock.hcl").write_bytes(lock)
    answer = TerraformCommands(second, linking, Running()).init_offline(locked=True)
    assert answer.code == 0, answer.detail
    again = linking.installed_in(second)
    assert again is not None
    assert again.executable is not None
    assert again.executable.parent.is_symlink()
    assert again.executable.samefile(installed.executable or "")
    # who changes it in between is found out
    again.executable.write_text("other bytes")
    (second / ".terraform" / "providers").rename(tmp_path / "away")
    refused = TerraformCommands(second, linking, Running()).init_offline(locked=True)
    assert refused.code != 0
    assert "checksums" in refused.detail


def comparable(plan: Any) -> dict[str, Any]:
    """Return a plan without when it was made, and what Terraform lists in no order in one."""
    attributes = sorted(plan["relevant_attributes"], key=json.dumps)
    return {**plan, "timestamp": None, "relevant_attributes": attributes}
