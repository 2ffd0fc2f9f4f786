"""The port ``BundleBuilder`` in memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from control_plane.adapters.terraform.variables import check_variables
from control_plane.domain.canonical import canonical_json, digest, digest_bytes
from control_plane.domain.errors import BundleInvalid
from control_plane.ports import Json
from control_plane.ports.bundles import BuiltBundle, BundleOrder
from control_plane.ports.engine import EventListener

_CHECKS: Final = ("format", "validate", "policies")
_SCHEMAS: Final = Path(__file__).resolve().parent.parent / "stacks" / "schemas"


class ScriptedBuilder:
    """Builds an archive that is its variables in canonical form: same order, same bytes.

    ``failing_checks`` names checks that fail a build, ``rehearsal`` is what a build claims to have
    tried.
    """

    def __init__(self, *, rehearsal: str = "quick") -> None:
        self.failing_checks: set[str] = set()
        self.rehearsal = rehearsal
        self.orders: list[BundleOrder] = []

    def build(self, order: BundleOrder, *, on_events: EventListener) -> BuiltBundle:
        """Build, pack, sign and rehearse; ``on_events`` gets each ``check`` when it is done.

        Raises ``BundleInvalid`` naming the failed checks.
        """
        self.orders.append(order)
        self.check_variables(order.variables)
        checks: list[dict[str, Any]] = [
            {"name": name, "ok": name not in self.failing_checks, "detail": "", "seconds": 0}
            for name in _CHECKS
        ]
        for check in checks:
            on_events([("check", check)])
        if self.failing_checks:
            names = ", ".join(sorted(self.failing_checks))
            raise BundleInvalid(f"the bundle failed {names}", checks=checks)
        handed = {name: digest_bytes(each) for name, each in order.handover.items()}
        along = {"handover": handed} if handed else {}
        content = digest({**order.variables, **along})
        archive = canonical_json(
            {
                "number": order.number, "variables": order.variables, "content_digest": content,
                **along,
            }
        )  # fmt: skip
        signature = hashlib.blake2b(archive).hexdigest().encode()
        name = f"hub-{order.tenant_slug}-{order.number}.tar.gz"
        return BuiltBundle(
            archive_name=name,
            archive=archive,
            archive_digest=digest_bytes(archive),
            content_digest=content,
            rehearsal=self.rehearsal,
            checks=checks,
            files={
                f"{name}.minisig": signature,
                f"{name}.attestation.json": canonical_json(checks),
                "tenantplane-bundle.pub": b"untrusted comment: no key\n",
            },
        )

    def sign(self, name: str, content: bytes) -> bytes:
        """Return a signature over something that goes along with a bundle."""
        return f"{name} {hashlib.blake2b(content).hexdigest()}".encode()

    def check_variables(self, variables: Json, *, is_draft: bool = False) -> None:
        """Validate variables as the real builder does."""
        check_variables(_SCHEMAS / "mode_c_variables.schema.json", variables, is_draft=is_draft)

    def stop_all(self) -> None:
        """Nothing runs beside the caller here."""
