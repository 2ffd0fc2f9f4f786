"""The Pulumi program of every stack: reads the spec from the stack's config and builds its mode.

Run inline by the runner and, through ``main`` of the project file at the root, by the plain
``pulumi`` command. Config keys of the project ``tenantplane``: ``program`` (a name of
``contract.Program``), ``spec`` (one JSON document), ``roleArn`` and ``externalId`` (optional).
Where the cloud is and with which credentials comes from the environment.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if __name__ == "__main__":  # the plain CLI starts this file with its folder first on the path
    _folder = Path(__file__).resolve().parent
    sys.path[:] = [str(_folder.parent), *(p for p in sys.path if Path(p or ".") != _folder)]

from stacks.names import load_when_asked_for

if TYPE_CHECKING:
    import pulumi
    import pulumi_aws

    from stacks.spec import Owner

MODES: Mapping[str, str] = {
    "mode_a.hub": "stacks.mode_a.hub",
    "mode_a.slice": "stacks.mode_a.slice",
    "mode_b": "stacks.mode_b",
}
PROVIDER = "cloud"  # logical name of the one provider of a stack


class UnknownProgram(ValueError):
    """The stack's config names no program of this project."""


def load(program: str) -> ModuleType:
    """Import the module that builds ``program``, and nothing of another mode.

    Raises ``UnknownProgram``.
    """
    if program not in MODES:
        raise UnknownProgram(f"unknown program {program!r}: use one of {', '.join(MODES)}")
    load_when_asked_for()
    importlib.import_module("pulumi_aws")
    importlib.import_module("stacks.spec")
    return importlib.import_module(MODES[program])


def main() -> tuple[str, ...]:
    """Register the resources of the stack that is being run, export its outputs, name them."""
    import pulumi  # noqa: PLC0415 - the name of a program is checked without it

    from stacks.spec import load as load_spec  # noqa: PLC0415

    config = pulumi.Config("tenantplane")
    program = config.require("program")
    mode = load(program)
    spec = load_spec(program, json.loads(config.require("spec")))
    provider = _provider(
        region=spec.region,
        account_id=spec.account_id,
        owner=spec.owner,
        role_arn=config.get("roleArn"),
        external_id=config.get("externalId"),
    )
    outputs: Mapping[str, pulumi.Input[object]] = mode.build(spec, provider)
    for name, value in outputs.items():
        pulumi.export(name, value)
    return tuple(outputs)


def _provider(
    *, region: str, account_id: str, owner: Owner, role_arn: str | None, external_id: str | None
) -> pulumi_aws.Provider:
    import pulumi_aws  # noqa: PLC0415 - see main

    role = pulumi_aws.ProviderAssumeRoleArgs(
        role_arn=role_arn, external_id=external_id, session_name="tenantplane"
    )
    return pulumi_aws.Provider(
        PROVIDER,
        region=region,
        allowed_account_ids=[account_id],
        assume_roles=[role] if role_arn else None,
        default_tags=pulumi_aws.ProviderDefaultTagsArgs(tags=tags(owner)),
    )


def tags(owner: Owner) -> dict[str, str]:
    """Return the tags of everything that a stack makes.

    The class of the data (``tenantplane:data-class``) differs from resource to resource: modes set
    it where data is.
    """
    return {
        "tenantplane:tenant": owner.tenant,
        "tenantplane:mode": owner.mode,
        "tenantplane:environment": owner.environment,
        "tenantplane:deployment": owner.deployment,
        "tenantplane:managed-by": "tenantplane",
    }


if __name__ == "__main__":
    main()
