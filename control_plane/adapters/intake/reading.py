"""The providers that the intake rules say how to ask."""

from __future__ import annotations

from collections.abc import Callable

from control_plane.adapters.intake.docusign_reading import DocusignReading
from control_plane.adapters.intake.listing_reading import ListingReading
from control_plane.domain.intake import IntakeRules, SourceKind
from control_plane.ports.rows import Clock
from control_plane.ports.systems import Signatures


def signatures_of(
    rules: IntakeRules, credential: Callable[[str], Callable[[], str]], clock: Clock
) -> tuple[Signatures, ...]:
    """Return a reader of each source with ``read_back``.

    ``credential`` returns what reads a secret by its name, when it is used.
    """
    found: list[Signatures] = []
    for source in rules.sources.values():
        back = source.read_back
        if back is None:
            continue
        secret = credential(back.credential)
        if source.kind is SourceKind.DOCUSIGN:
            accounts = source.accounts or ()
            found.append(DocusignReading(source.key, accounts, back, secret, clock))
        else:
            found.append(ListingReading(source, back, secret))
    return tuple(found)
