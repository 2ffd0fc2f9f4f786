"""Terraform or OpenTofu on this machine, and the folder its AWS provider comes from.

The bundle's root asks for a least version of both (``terraform.tf``); what does not fit is not
found. Nothing is downloaded here: where no folder holds the provider, ``terraform init`` asks the
registry, which works on a connected machine only.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from control_plane.domain.errors import TerraformUnavailable

Version = tuple[int, int, int]

BINARY_SETTING: Final = "TENANTPLANE_TERRAFORM"
MIRROR_SETTING: Final = "TENANTPLANE_TERRAFORM_MIRROR"
DEFAULT_BINARY: Final = "terraform"
SUBSTITUTE: Final = "tofu"

BINARY_AT_LEAST: Final[Version] = (1, 11, 0)
PROVIDER_AT_LEAST: Final[Version] = (5, 100, 0)
PROVIDER_BELOW: Final[Version] = (6, 0, 0)

_VERSION_SECONDS: Final = 30
# What customers usually apply from. The registry has the provider for all of them.
USUAL_PLATFORMS: Final = (
    "darwin_amd64",
    "darwin_arm64",
    "linux_amd64",
    "linux_arm64",
    "windows_amd64",
)

_FIRST_LINE: Final = re.compile(r"^(Terraform|OpenTofu) v(\d+)\.(\d+)\.(\d+)", re.MULTILINE)
_PLATFORM: Final = re.compile(r"^on ([a-z0-9]+_[a-z0-9]+)$", re.MULTILINE)
_PACKED: Final = re.compile(r"^terraform-provider-aws_(\d+)\.(\d+)\.(\d+)_(.+)\.zip$")
_UNPACKED: Final = re.compile(r"^(\d+)\.(\d+)\.(\d+)$")

# Where mirrors usually lie: variables that name one, then folders (the implied mirrors of the
# Terraform CLI, see its page on provider installation), then whatever was unpacked beside other
# programs: a mirror has no usual name there, and is known by its layout.
_USUAL_VARIABLES: Final = ("TF_PLUGIN_MIRROR", "TF_PLUGIN_CACHE_DIR")
_USUAL_FOLDERS: Final = (
    "~/.terraform.d/plugins",
    "~/.local/share/terraform/plugins",
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
)
_UNPACKED_PROGRAMS: Final = Path("/opt")

# What a child needs of our environment. The rest, above all TF_VAR_*, TF_CLI_ARGS* and AWS_*,
# would make its result depend on who started the control plane.
_INHERITED: Final = ("HOME", "LANG", "PATH", "SYSTEMROOT", "TMPDIR")
_INHERITED_WITH_REGISTRY: Final = (
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "https_proxy",
    "no_proxy",
)


class Flavour(StrEnum):
    """Whose binary it is. The host is part of the address of every provider."""

    TERRAFORM = "Terraform"
    OPENTOFU = "OpenTofu"

    @property
    def registry_host(self) -> str:
        """Return the host under which a mirror keeps this binary's providers."""
        if self is Flavour.TERRAFORM:
            return "registry.terraform.io"
        return "registry.opentofu.org"

    @property
    def provider_address(self) -> str:
        """Return the address of the AWS provider, which is its folder in a mirror too."""
        return f"{self.registry_host}/hashicorp/aws"


@dataclass(frozen=True, kw_only=True)
class ProviderMirror:
    """A folder in the layout of ``terraform providers mirror``, with a provider that fits.

    ``executable`` is the provider itself; None where the mirror holds it packed. ``platforms`` are
    all that the folder holds this version for.
    """

    folder: Path
    version: str
    executable: Path | None
    platforms: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """A binary that reads the modules, and where its provider comes from (None: the registry)."""

    binary: Path
    flavour: Flavour
    version: str
    platform: str
    mirror: ProviderMirror | None

    def installed_in(self, folder: Path) -> ProviderMirror | None:
        """Return the provider that ``init`` put into ``folder``; None before that.

        It is a mirror to install from again: unpacked or downloaded once, it is linked then. None
        too where there are several: the lock file names the right one, and we do not read it.
        """
        providers = folder.absolute() / ".terraform" / "providers"
        is_one = len(list(_providers(providers / self.flavour.provider_address))) == 1
        return _best_in(providers, self.flavour, self.platform) if is_one else None

    @property
    def lock_platforms(self) -> tuple[str, ...]:
        """Return the platforms that a lock file made here can hold the hashes of."""
        if self.mirror is None:
            return tuple(sorted({*USUAL_PLATFORMS, self.platform}))
        return self.mirror.platforms

    def child_environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a child: nothing that changes what it does, no credentials.

        The CLI's configuration file and the proxy are kept only where the registry is needed.
        """
        names = _INHERITED if self.mirror else (*_INHERITED, *_INHERITED_WITH_REGISTRY)
        child = {name: environment[name] for name in names if name in environment}
        configuration = environment.get("TF_CLI_CONFIG_FILE")
        if self.mirror is None and configuration and Path(configuration).is_file():
            child["TF_CLI_CONFIG_FILE"] = configuration
        return child | {
            "AWS_EC2_METADATA_DISABLED": "true",
            "CHECKPOINT_DISABLE": "1",
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
        }


def find_toolchain(
    *, environment: Mapping[str, str], binary: str = DEFAULT_BINARY, mirror: Path | None = None
) -> Toolchain:
    """Find the binary and a mirror of its provider.

    ``binary`` and ``mirror`` are the settings; ``environment`` is searched for ``PATH`` and for
    the usual places. Raises ``TerraformUnavailable`` when there is no binary, when it is too old,
    or when the mirror that the setting names holds no provider that fits.
    """
    found = _find_binary(binary, environment)
    flavour, version, platform = _ask_version(found, environment)
    if version < BINARY_AT_LEAST:
        raise TerraformUnavailable(
            f"{flavour} {_text(version)} is too old for the modules, which need "
            f"{_text(BINARY_AT_LEAST)} or later. Install a newer one or set {BINARY_SETTING}."
        )
    return Toolchain(
        binary=found,
        flavour=flavour,
        version=_text(version),
        platform=platform,
        mirror=_find_mirror(mirror, environment, flavour, platform),
    )


def _find_binary(binary: str, environment: Mapping[str, str]) -> Path:
    candidates = (binary, SUBSTITUTE) if binary == DEFAULT_BINARY else (binary,)
    for candidate in candidates:
        found = shutil.which(candidate, path=environment.get("PATH"))
        if found is not None:
            return Path(found).absolute()  # builds run it from a folder of their own
    wanted = f"Terraform or OpenTofu {_text(BINARY_AT_LEAST)} or later"
    if binary == DEFAULT_BINARY:
        raise TerraformUnavailable(
            f"Neither terraform nor tofu is on PATH. Install {wanted}, "
            f"or set {BINARY_SETTING} to its path."
        )
    raise TerraformUnavailable(
        f"{BINARY_SETTING} names a program that does not run. Set it to {wanted}, or unset it."
    )


def _ask_version(binary: Path, environment: Mapping[str, str]) -> tuple[Flavour, Version, str]:
    child = {name: environment[name] for name in _INHERITED if name in environment}
    try:
        answer = subprocess.run(
            [binary, "version"],
            env=child | {"CHECKPOINT_DISABLE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_VERSION_SECONDS,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as failed:
        raise TerraformUnavailable(
            f"The Terraform binary does not run. Set {BINARY_SETTING} to one that does."
        ) from failed
    first, platform = _FIRST_LINE.search(answer), _PLATFORM.search(answer)
    if first is None or platform is None:
        raise TerraformUnavailable(
            "The Terraform binary does not report its version as Terraform and OpenTofu do. "
            f"Set {BINARY_SETTING} to one of them."
        )
    name, *numbers = first.groups()
    return Flavour(name), _version(numbers), platform.group(1)


def _find_mirror(
    setting: Path | None, environment: Mapping[str, str], flavour: Flavour, platform: str
) -> ProviderMirror | None:
    if setting is not None:
        mirror = _best_in(setting, flavour, platform)
        if mirror is None:
            raise TerraformUnavailable(
                f"{MIRROR_SETTING} names a folder without hashicorp/aws from "
                f"{_text(PROVIDER_AT_LEAST)} and below {_text(PROVIDER_BELOW)} for {platform}. "
                "Make one with `terraform providers mirror`, or unset it to use the registry."
            )
        return mirror
    for folder in _usual_places(environment):
        mirror = _best_in(folder, flavour, platform)
        if mirror is not None:
            return mirror
    return None


def _usual_places(environment: Mapping[str, str]) -> Iterator[Path]:
    for variable in _USUAL_VARIABLES:
        if environment.get(variable):
            yield Path(environment[variable])
    home = environment.get("HOME")
    for folder in _USUAL_FOLDERS:
        if not folder.startswith("~/"):
            yield Path(folder)
        elif home:
            yield Path(home) / folder.removeprefix("~/")
    for depth in ("*", "*/*"):
        yield from sorted(_UNPACKED_PROGRAMS.glob(depth))


def _best_in(folder: Path, flavour: Flavour, platform: str) -> ProviderMirror | None:
    """Return the newest provider of a mirror that the modules accept."""
    providers = folder / flavour.provider_address
    fitting = [
        found
        for found in _providers(providers)
        if PROVIDER_AT_LEAST <= found.version < PROVIDER_BELOW
    ]
    own = [found for found in fitting if found.platform == platform]
    if not own:
        return None
    best = max(own, key=lambda found: found.version)
    same = {found.platform for found in fitting if found.version == best.version}
    return ProviderMirror(
        folder=folder.resolve(),
        version=_text(best.version),
        executable=best.executable,
        platforms=tuple(sorted(same)),
    )


@dataclass(frozen=True, kw_only=True)
class _Provider:
    version: Version
    platform: str
    executable: Path | None


def _providers(folder: Path) -> Iterator[_Provider]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # not there, not a folder, not ours to read: no provider in it
        return
    for entry in entries:
        packed, unpacked = _PACKED.match(entry.name), _UNPACKED.match(entry.name)
        if packed is not None:
            version, platform = _version(packed.groups()[:3]), packed.group(4)
            yield _Provider(version=version, platform=platform, executable=None)
        elif unpacked is not None:
            version = _version(unpacked.groups())
            for executable in sorted(entry.glob("*/terraform-provider-aws*")):
                platform = executable.parent.name
                yield _Provider(version=version, platform=platform, executable=executable)


def _version(numbers: tuple[str, ...] | list[str]) -> Version:
    major, minor, patch = (int(number) for number in numbers)
    return major, minor, patch


def _text(version: Version) -> str:
    return ".".join(str(number) for number in version)
