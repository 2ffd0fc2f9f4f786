"""Building the bundles of Mode C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from control_plane.ports import Json
from control_plane.ports.engine import EventListener


@dataclass(frozen=True, kw_only=True)
class BundleOrder:
    """What a bundle is built from; everything inside the archive is determined by it."""

    tenant_slug: str
    number: int
    variables: Json  # terraform.tfvars.json without the content digest
    zone: str | None = None  # residency zone that the tenant asked for, for the policies
    strict: bool = False  # whether the tenant's data must stay there
    # of data that is handed over with it: manifest and runbook, by name
    handover: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BuiltBundle:
    """A built, signed and rehearsed bundle; ``files`` are those beside the archive."""

    archive_name: str
    archive: bytes
    archive_digest: str
    content_digest: str
    rehearsal: str  # none, quick, full
    checks: Sequence[Json]  # {name, ok, detail, seconds}
    files: Mapping[str, bytes]  # name -> bytes: signature, public key, attestation, evidence


class BundleBuilder(Protocol):
    """Terraform, packing and signing."""

    def build(self, order: BundleOrder, *, on_events: EventListener) -> BuiltBundle:
        """Build, pack, sign and rehearse; ``on_events`` gets each ``check`` when it is done.

        Raises ``BundleInvalid`` naming the failed checks.
        """

    def sign(self, name: str, content: bytes) -> bytes:
        """Return a signature over something that goes along with a bundle, by the same key.

        Raises ``Unavailable`` when the key cannot be used.
        """

    def check_variables(self, variables: Json, *, is_draft: bool = False) -> None:
        """Validate variables against their schema; in a draft ``account_id`` may be empty.

        Raises ``InvalidInput`` that names every wrong field.
        """

    def stop_all(self) -> None:
        """End what builds of this process have running: the process is about to end."""
