"""Physical names and ARNs, composed from what is known at plan time.

No name is left to the provider, so that two previews of one spec are equal, and no ARN is taken
from a resource, so that a policy document can be read before anything exists. The names are those
of ``mode_c_modules/locals.tf``: the same Hub has the same names in every mode.
"""

from __future__ import annotations

from dataclasses import dataclass

from stacks.spec import DedicatedSpec, HubSpec, SliceSpec


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names of one deployment: ``short`` is their prefix, unique per deployment."""

    short: str
    account_id: str
    region: str

    def of(self, what: str) -> str:
        """Return the name of a resource whose name is unique per account and region."""
        return f"{self.short}-{what}"

    def bucket(self, what: str) -> str:
        """Return a bucket name; those are shared by all accounts, hence the account in it."""
        return f"{self.short}-{what}-{self.account_id}"

    def key_alias(self, purpose: str) -> str:
        """Return the alias of the key for ``purpose``."""
        return f"alias/{self.short}-{purpose}"

    def secret(self, what: str) -> str:
        """Return the name of a secret."""
        return f"{self.short}/{what}"

    @property
    def path(self) -> str:
        """Return the prefix, without a slash at its end, of log groups and parameters."""
        return f"/tenantplane/{self.short}"

    def arn(self, service: str, resource: str) -> str:
        """Return an ARN of this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"

    def iam_arn(self, resource: str) -> str:
        """Return an ARN of IAM, which has no regions."""
        return f"arn:aws:iam::{self.account_id}:{resource}"

    def log_group_arn(self, name: str) -> str:
        """Return the ARN, without its ``:*``, of the log groups that ``name`` names."""
        return self.arn("logs", f"log-group:{name}")


def bucket_arn(name: str) -> str:
    """Return the ARN of a bucket, in which S3 names neither account nor region."""
    return f"arn:aws:s3:::{name}"


def names_of(spec: HubSpec | SliceSpec | DedicatedSpec) -> Names:
    """Return the names of the deployment that ``spec`` describes."""
    return Names(short=spec.owner.short, account_id=spec.account_id, region=spec.region)
