"""Secrets without a value: the owner of the value puts it in, and it passes through no plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws.secretsmanager import Secret

from stacks.components.naming import Names
from stacks.components.tags import DataClass, tags
from stacks.protection import Protection

SHELLS: Mapping[str, str] = {
    "app": "Settings of the application that are secret.",
    "idp": "Client secret of the tenant's identity provider.",
    "llm": "Credential of the tenant's language model platform.",
}

_RECOVERY_DAYS = 30


@dataclass(frozen=True, kw_only=True)
class SecretShellsConfig:
    """``key_arn``: the key that will encrypt the values."""

    names: Names
    key_arn: pulumi.Input[str]
    protection: Protection


class SecretShells(pulumi.ComponentResource):
    """One shell per entry of ``SHELLS``; ``names`` and ``arns`` by what it is for."""

    names: Mapping[str, str]
    arns: Mapping[str, pulumi.Output[str]]

    def __init__(
        self, name: str, config: SecretShellsConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tenantplane:components:SecretShells", name, None, opts)
        self.names = {what: config.names.secret(what) for what in SHELLS}
        self.arns = {
            what: Secret(
                what,
                name=self.names[what],
                description=description,
                kms_key_id=config.key_arn,
                recovery_window_in_days=_RECOVERY_DAYS,
                tags=tags(self.names[what], DataClass.SECRET),
                opts=pulumi.ResourceOptions(
                    parent=self, protect=config.protection.keeps(f"secret.{what}")
                ),
            ).arn
            for what, description in SHELLS.items()
        }
        self.register_outputs({"arns": dict(self.arns)})
