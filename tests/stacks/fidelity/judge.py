"""Would AWS's own provider accept what our programs register?

The judge is the program of Terraform's AWS provider: it validates and plans each resource, offline
and without an engine. It is provider 5 while the programs are written for pulumi_aws 7, which is
provider 6: an input that is new there would be refused here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import pytest

from control_plane.adapters.terraform.toolchain import MIRROR_SETTING, find_toolchain
from control_plane.domain.errors import TerraformUnavailable
from tests.stacks.fidelity.plugin_protocol import ProviderProcess, Refused
from tests.stacks.fidelity.terraform_form import configuration, terraform_type
from tests.stacks.sample_specs import REGION


class Registered(Protocol):
    """What the judge needs to know of a resource."""

    @property
    def type(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def inputs(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A resource that the provider does not accept, and its reason."""

    type: str
    name: str
    reason: str


def find_provider() -> Path:
    """Return the provider's program. Raises ``TerraformUnavailable`` where there is none."""
    setting = os.environ.get(MIRROR_SETTING)
    toolchain = find_toolchain(environment=os.environ, mirror=Path(setting) if setting else None)
    if toolchain.mirror is None or toolchain.mirror.executable is None:
        raise TerraformUnavailable(
            f"No folder holds Terraform's AWS provider unpacked: set {MIRROR_SETTING} to one."
        )
    return toolchain.mirror.executable


def running_judge(tags: Mapping[str, str]) -> Iterator[Judge]:
    """Yield a judge for the region of the sample specs; skips the test where there is none."""
    try:
        executable = find_provider()
    except TerraformUnavailable as missing:
        pytest.skip(f"the judge is Terraform's AWS provider: {missing.message}")
    with Judge(executable, region=REGION, tags=tags) as running:
        yield running


class Judge:
    """A running provider, configured for one account and region; a context manager."""

    def __init__(self, executable: Path, *, region: str, tags: Mapping[str, str]) -> None:
        self._provider = ProviderProcess(executable)
        self._settings = {
            "region": region,
            "accessKey": "offline",
            "secretKey": "offline",
            "skipCredentialsValidation": True,
            "skipMetadataApiCheck": "true",
            "skipRequestingAccountId": True,
            "defaultTags": {"tags": dict(tags)},
        }

    def __enter__(self) -> Self:
        self._provider.__enter__()
        block = self._provider.provider_block
        self._provider.configure(configuration("provider", block, self._settings))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._provider.__exit__(kind, error, trace)

    def judge(self, token: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Validate and plan one resource; return its Terraform type and what is planned.

        Raises ``Refused`` with the provider's own words.
        """
        type_ = terraform_type(token, self._provider.schemas)
        config = configuration(type_, self._provider.schemas[type_], inputs)
        self._provider.validate(type_, config)
        return type_, self._provider.plan(type_, config)

    def refusals(self, resources: Iterable[Registered]) -> list[Refusal]:
        """Return what the provider does not accept of these resources."""
        refused = []
        for one in resources:
            try:
                self.judge(one.type, one.inputs)
            except Refused as reason:
                refused.append(Refusal(type=one.type, name=one.name, reason=str(reason)))
        return refused
