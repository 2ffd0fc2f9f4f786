"""Adopted values: what is in the cloud and was not applied, and is wanted from now on.

Only what a spec says can be adopted. The table is closed: a property that is not in it is made by
the program from something else, or is the same in every deployment.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain.documents import Documented
from control_plane.domain.finding import Finding, FindingKind

# type and path of a resource's property -> path in the spec of a dedicated Hub that alone sets it
ADOPTABLE: Final[Mapping[tuple[str, str], str]] = {
    ("aws:rds/instance:Instance", "instanceClass"): "database.instance_class",
    ("aws:rds/instance:Instance", "allocatedStorage"): "database.storage_gb",
    ("aws:rds/instance:Instance", "multiAz"): "database.multi_az",
    ("aws:rds/instance:Instance", "backupRetentionPeriod"): "database.backup_days",
}


@dataclass(frozen=True, kw_only=True)
class Adopted(Documented):
    """A value that was adopted at a path of a spec, over what the owner's facts led to then.

    Facts that lead to another value than ``over`` are a newer word, and win.
    """

    path: str
    value: Any
    over: Any


def spec_path(finding: Finding) -> str | None:
    """Return where a spec says what a finding is about, None where none does."""
    if finding.kind is not FindingKind.CHANGED:
        return None
    return ADOPTABLE.get((finding.type, finding.path))


def with_adopted(document: Mapping[str, Any], adopted: tuple[Adopted, ...]) -> dict[str, Any]:
    """Return a spec document with the adopted values that still hold."""
    found = copy.deepcopy(dict(document))
    for each in adopted:
        *parents, name = each.path.split(".")
        place: Any = found
        for parent in parents:
            place = place.get(parent) or {}
        if name in place and place[name] == each.over:
            place[name] = each.value
    return found


def value_at(document: Mapping[str, Any], path: str) -> Any:
    """Return what a document has at a path, None where it has nothing."""
    found: Any = document
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
