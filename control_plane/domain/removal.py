"""The removal of a tenant or a Hub: what people say in it, and the certificate at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from control_plane.domain.engine import Operation, PlannedResource, Store, protected_name

CUSTOMER_DATA: Final = "customer"  # the class of data that an export has to be acknowledged of
_DELETES: Final = "delete"


class RemovalTopic(StrEnum):
    """What somebody decided on in a removal."""

    EXPORT = "export"
    CUSTOMER = "customer"


class RemovalWord(StrEnum):
    """What a person said."""

    EXPORT_ACKNOWLEDGED = "export_acknowledged"
    EXPORT_WAIVED = "export_waived"
    CUSTOMER_DESTROYED = "customer_destroyed"
    CUSTOMER_UNVERIFIED = "customer_unverified"


TOPIC_OF: Final[Mapping[RemovalWord, RemovalTopic]] = {
    RemovalWord.EXPORT_ACKNOWLEDGED: RemovalTopic.EXPORT,
    RemovalWord.EXPORT_WAIVED: RemovalTopic.EXPORT,
    RemovalWord.CUSTOMER_DESTROYED: RemovalTopic.CUSTOMER,
    RemovalWord.CUSTOMER_UNVERIFIED: RemovalTopic.CUSTOMER,
}


@dataclass(frozen=True, kw_only=True)
class RemovalDecision:
    """What one person said in a removal; never changed, and one for each topic.

    ``digest`` is that of the export's manifest, or of the customer's receipt of its destroy;
    ``counts`` are the items of the export by store, ``evidence`` what the receipt was checked to
    say.
    """

    id: str
    saga_id: str
    topic: RemovalTopic
    word: RemovalWord
    digest: str | None
    counts: Mapping[str, int]
    actor_id: str
    person: str
    actor_kind: str
    reason: str
    decided_at: datetime
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The certificate of a removal: ``body`` is canonical JSON, bound by ``digest`` in the log."""

    id: str
    saga_id: str
    tenant_id: str | None
    hub_id: str | None
    body: Mapping[str, Any]
    digest: str
    issued_at: datetime


def protected_names(resources: Sequence[PlannedResource]) -> tuple[str, ...]:
    """Return what a request has to name of the resources that exist: those that are protected."""
    found = {protected_name(each.type, each.name) for each in resources if each.protect}
    return tuple(sorted(found))


def stores_to_export(stores: Sequence[Store]) -> tuple[Store, ...]:
    """Return the stores that hold a customer's data, or may: what cannot be counted may."""
    return tuple(
        store for store in stores if store.data_class == CUSTOMER_DATA and not store.is_empty
    )


def deleted_types(operations: Sequence[Operation]) -> dict[str, int]:
    """Return how many resources of each type a plan deletes, by type."""
    found = Counter(each.type for each in operations if each.op == _DELETES)
    return dict(sorted(found.items()))
