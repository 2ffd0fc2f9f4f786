"""Finding Terraform or OpenTofu and their provider; the binaries are small programs of the test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from control_plane.adapters.terraform import toolchain as module
from control_plane.adapters.terraform.toolchain import Flavour, find_toolchain
from control_plane.domain.errors import TerraformUnavailable
from tests.terraform.workspace import MODULES

HOST = "registry.terraform.io"


def binary(folder: Path, name: str, answer: str) -> Path:
    """Make a program that answers as ``terraform version`` does."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{answer}'\n")
    path.chmod(0o755)
    return path


def mirrored(
    folder: Path, version: str, *, host: str = HOST, platform: str = "linux_amd64"
) -> Path:
    """Make a mirror that holds an unpacked provider."""
    place = folder / host / "hashicorp" / "aws" / version / platform
    place.mkdir(parents=True)
    executable = place / f"terraform-provider-aws_v{version}_x5"
    executable.touch()
    return executable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bin"


def environment(path: Path, **more: str) -> dict[str, str]:
    """A PATH with the test's programs and no others."""
    return {"PATH": str(path), **more}


def test_terraform_is_found_on_the_path(path: Path) -> None:
    made = binary(path, "terraform", "Terraform v1.12.3\non linux_amd64")
    found = find_toolchain(environment=environment(path))
    assert (found.binary, found.version, found.platform) == (made, "1.12.3", "linux_amd64")
    assert found.flavour is Flavour.TERRAFORM


def test_a_relative_path_is_found_from_every_folder(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = binary(path, "my-terraform", "Terraform v1.12.3\non linux_amd64")
    monkeypatch.chdir(tmp_path)
    for setting, places in (("bin/my-terraform", "/nowhere"), ("my-terraform", "bin")):
        found = find_toolchain(environment={"PATH": places}, binary=setting)
        assert found.binary == made


def test_opentofu_takes_its_place(path: Path) -> None:
    binary(path, "tofu", "OpenTofu v1.11.0\non linux_arm64")
    found = find_toolchain(environment=environment(path))
    assert found.flavour is Flavour.OPENTOFU
    assert found.flavour.registry_host == "registry.opentofu.org"


def test_none_at_all_is_one_sentence_with_a_remedy(path: Path) -> None:
    with pytest.raises(
        TerraformUnavailable, match=r"Neither terraform nor tofu is on PATH\. Install"
    ):
        find_toolchain(environment=environment(path))


def test_a_setting_that_names_nothing_is_named(path: Path) -> None:
    binary(path, "tofu", "OpenTofu v1.11.0\non linux_amd64")
    with pytest.raises(TerraformUnavailable, match="TENANTPLANE_TERRAFORM names a program"):
        find_toolchain(environment=environment(path), binary=str(path / "absent"))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("Terraform v1.10.5\non linux_amd64", "Terraform 1.10.5 is too old .* 1.11.0 or later"),
        ("hello", "does not report its version"),
    ],
)
def test_a_binary_that_does_not_fit_is_refused(path: Path, answer: str, sentence: str) -> None:
    binary(path, "terraform", answer)
    with pytest.raises(TerraformUnavailable, match=sentence):
        find_toolchain(environment=environment(path))


def test_the_newest_provider_that_fits_is_taken(path: Path, tmp_path: Path) -> None:
    binary(path, "terraform", "Terraform v1.11.4\non linux_amd64")
    mirror = tmp_path / "mirror"
    for version in ("5.99.0", "5.100.0", "6.2.0"):
        mirrored(mirror, version)
    newest = mirrored(mirror, "5.101.0")
    mirrored(mirror, "5.102.0", platform="darwin_arm64")
    found = find_toolchain(environment=environment(path), mirror=mirror)
    assert found.mirror is not None
    assert (found.mirror.version, found.mirror.executable) == ("5.101.0", newest.resolve())
    assert found.mirror.folder == mirror.resolve()


def test_a_packed_provider_is_taken(path: Path, tmp_path: Path) -> None:
    binary(path, "terraform", "Terraform v1.11.4\non linux_amd64")
    place = tmp_path / HOST / "hashicorp" / "aws"
    place.mkdir(parents=True)
    (place / "terraform-provider-aws_5.100.0_linux_amd64.zip").touch()
    found = find_toolchain(environment=environment(path), mirror=tmp_path)
    assert found.mirror is not None
    assert (found.mirror.version, found.mirror.executable) == ("5.100.0", None)


@pytest.mark.parametrize("holds", ["nothing", "a provider of the other registry"])
def test_a_mirror_setting_that_does_not_fit_is_named(
    path: Path, tmp_path: Path, holds: str
) -> None:
    binary(path, "terraform", "Terraform v1.11.4\non linux_amd64")
    if holds != "nothing":
        mirrored(tmp_path / "mirror", "5.100.0", host="registry.opentofu.org")
    with pytest.raises(TerraformUnavailable, match="TENANTPLANE_TERRAFORM_MIRROR") as refused:
        find_toolchain(environment=environment(path), mirror=tmp_path / "mirror")
    assert str(tmp_path) not in refused.value.message


def test_a_usual_place_is_searched(path: Path, tmp_path: Path) -> None:
    binary(path, "terraform", "Terraform v1.11.4\non linux_amd64")
    mirrored(tmp_path / "cache", "5.100.0")
    found = find_toolchain(
        environment=environment(path, TF_PLUGIN_CACHE_DIR=str(tmp_path / "cache"))
    )
    assert found.mirror is not None
    assert found.mirror.folder == (tmp_path / "cache").resolve()


@pytest.mark.parametrize("name", ["providers", "hashicorp/plugins"])
def test_beside_other_programs_a_mirror_is_known_by_its_layout(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(module, "_UNPACKED_PROGRAMS", tmp_path / "opt")
    binary(path, "terraform", "Terraform v1.11.4\non linux_amd64")
    (tmp_path / "opt" / "another").mkdir(parents=True)
    mirrored(tmp_path / "opt" / name, "5.100.0")
    found = find_toolchain(environment=environment(path))
    assert found.mirror is not None
    assert found.mirror.folder == (tmp_path / "opt" / name).resolve()


def test_a_child_gets_no_credentials_and_nothing_that_changes_what_it_does(
    path: Path, tmp_path: Path
) -> None:
    binary(path, "terraform", "Terraform v1.11.4\non linux_amd64")
    mirrored(tmp_path, "5.100.0")
    ours = environment(
        path,
        AWS_SECRET_ACCESS_KEY="secret",
        HTTPS_PROXY="http://proxy",
        TF_CLI_ARGS="-destroy",
        TF_CLI_CONFIG_FILE=str(path / "terraform"),
        TF_VAR_uninstall="true",
    )
    child = find_toolchain(environment=ours, mirror=tmp_path).child_environment(ours)
    assert set(child) == {
        "AWS_EC2_METADATA_DISABLED",
        "CHECKPOINT_DISABLE",
        "PATH",
        "TF_INPUT",
        "TF_IN_AUTOMATION",
    }


def test_the_versions_are_those_that_the_modules_ask_for() -> None:
    def text(version: tuple[int, ...]) -> str:
        return ".".join(str(number) for number in version)

    wanted = {
        f">= {text(module.BINARY_AT_LEAST)}",
        f">= {text(module.PROVIDER_AT_LEAST)}, < {text(module.PROVIDER_BELOW)}",
    }
    files = [MODULES / "terraform.tf", *MODULES.glob("modules/*/terraform.tf")]
    assert len(files) == 5
    for file in files:
        assert set(re.findall(r'version += "([^"]+)"', file.read_text())) == wanted
