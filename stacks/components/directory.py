"""Parameters in which an application finds the parts of its Hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws.ssm import Parameter

from stacks.components.naming import Names
from stacks.components.tags import DataClass, tags


@dataclass(frozen=True, kw_only=True)
class DirectoryConfig:
    """``entries``: what is found -> where it is; plain facts, no secret."""

    names: Names
    entries: Mapping[str, pulumi.Input[str]]


class Directory(pulumi.ComponentResource):
    """The parameters in which the application finds the parts of its Hub."""

    def __init__(
        self, name: str, config: DirectoryConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        # the name that it had in Mode A alone: another one would replace every parameter there is
        super().__init__("tenantplane:mode_a:Directory", name, None, opts)
        for what, where in config.entries.items():
            path = f"{config.names.path}/{what}"
            Parameter(
                what,
                name=path,
                description=f"Where the slice has its {what.replace('-', ' ')}.",
                type="String",
                insecure_value=where,  # no secret, and shown in the plan
                tags=tags(path, DataClass.OPERATIONAL),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})
