"""What of a plan people should look at before it is applied, each thing with what raises it.

What AWS makes of a property is read by the policies; here it becomes risks, with what the plan, its
evaluation and the prices say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, Final

from control_plane.domain.documents import Documented, Readers
from control_plane.domain.engine import Operation
from control_plane.domain.evaluation import Evaluation

WAIVED: Final = "waived"  # the enforcement of a violation that somebody waived
_HOURS: Final = 730  # of a month
_REMOVES: Final = frozenset({"delete", "replace"})


class RiskKind(StrEnum):
    """The kinds of risks that approval rules can name."""

    IRREVERSIBLE = "irreversible"  # destroys what cannot be made again
    PROTECTION = "protection"  # takes away what guards data, or how long it is kept
    WIDENING = "widening"  # lets more through, or lets somebody do more
    ACCOUNT_WIDE = "account_wide"  # rights on everything that an account has
    COST = "cost"  # more a month than the limit, or nobody knows how much
    WAIVER = "waiver"  # passes the policies by a waiver
    REPLACEMENT = "replacement"  # exists anew, and not for a moment


@dataclass(frozen=True, kw_only=True)
class Risk(Documented):
    """One risk: ``urn`` and ``path`` name the property that raises it, ``detail`` says what it is.

    ``path`` is empty where it is the whole resource.
    """

    _readers: ClassVar[Readers] = {"kind": RiskKind}

    kind: RiskKind
    urn: str
    path: str = ""
    detail: str


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is paid for: ``count`` instances of a class, each with ``storage_gb`` of storage."""

    instance_class: str  # empty where it is not known
    count: int
    storage_gb: int


@dataclass(frozen=True, kw_only=True)
class SizeChange:
    """A resource whose size changes; None is nothing."""

    urn: str
    before: Size | None
    after: Size | None


@dataclass(frozen=True, kw_only=True)
class PlanSigns:
    """What the policies read in a plan: risks that its properties raise, and what has a price."""

    risks: tuple[Risk, ...] = ()
    sizes: tuple[SizeChange, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Prices of ``as_of``: of an instance class by the hour, of storage by the month.

    ``monthly_limit`` is how much more a month a plan may cost before that is a risk.
    """

    as_of: date
    currency: str
    monthly_limit: int
    hourly: Mapping[str, Decimal]
    storage_gb_month: Decimal

    def monthly(self, size: Size | None) -> Decimal | None:
        """Return what a size costs a month, None where its class has no price."""
        if size is None:
            return Decimal(0)
        hourly = self.hourly.get(size.instance_class)
        if hourly is None:
            return None
        return size.count * (hourly * _HOURS + size.storage_gb * self.storage_gb_month)


def risks_of(
    operations: Sequence[Operation],
    evaluation: Evaluation,
    signs: PlanSigns,
    prices: Prices,
    *,
    is_first: bool = False,
) -> tuple[Risk, ...]:
    """Return every risk of a plan, by kind in their order, then by resource.

    ``is_first``: nothing of the deployment was ever verified. What is there then is the half of
    a first build, and its other half lets nothing more through than that was to.
    """
    found = [
        *_irreversible(operations),
        *(each for each in signs.risks if not (is_first and each.kind is RiskKind.WIDENING)),
        *_costs(signs.sizes, prices),
        *_waivers(evaluation),
        *_replacements(operations),
    ]
    order = {kind: place for place, kind in enumerate(RiskKind)}
    return tuple(
        sorted(dict.fromkeys(found), key=lambda r: (order[r.kind], r.urn, r.path, r.detail))
    )


def kinds_of(risks: Iterable[Risk]) -> tuple[RiskKind, ...]:
    """Return the kinds of some risks, each once, in their order."""
    found = {risk.kind for risk in risks}
    return tuple(kind for kind in RiskKind if kind in found)


def _irreversible(operations: Sequence[Operation]) -> Iterator[Risk]:
    for each in operations:
        if not each.irreversible:
            continue
        if each.op in _REMOVES:
            words = "what it holds is deleted" if each.holds_data else "it is deleted"
            yield Risk(kind=RiskKind.IRREVERSIBLE, urn=each.urn, detail=words)
        else:
            paths = ", ".join(change.path for change in each.changes) or "its settings"
            words = f"what it holds can be lost with the change of {paths}"
            yield Risk(kind=RiskKind.IRREVERSIBLE, urn=each.urn, detail=words)


def _replacements(operations: Sequence[Operation]) -> Iterator[Risk]:
    for each in operations:
        if each.op == "replace":
            why = f" for {', '.join(each.replaces)}" if each.replaces else ""
            yield Risk(
                kind=RiskKind.REPLACEMENT, urn=each.urn, detail=f"it is replaced by a new one{why}"
            )


def _waivers(evaluation: Evaluation) -> Iterator[Risk]:
    for each in evaluation.violations:
        if each.enforcement == WAIVED:
            yield Risk(
                kind=RiskKind.WAIVER, urn=each.address, path=each.path,
                detail=f"the policy rule {each.rule} is waived",
            )  # fmt: skip


def _costs(sizes: Sequence[SizeChange], prices: Prices) -> Iterator[Risk]:
    """Name what has no price, and each rise where all of them together pass the limit."""
    rises: dict[str, Decimal] = {}
    for each in sizes:
        before, after = prices.monthly(each.before), prices.monthly(each.after)
        if after is None or before is None:
            unknown = each.after if after is None else each.before
            name = unknown.instance_class if unknown and unknown.instance_class else "its class"
            yield Risk(
                kind=RiskKind.COST, urn=each.urn, path="instanceClass",
                detail=f"the price of {name} is not known",
            )  # fmt: skip
        else:
            rises[each.urn] = after - before
    total = sum(rises.values())
    if total <= prices.monthly_limit:
        return
    limit = f"{prices.monthly_limit} {prices.currency}"
    for urn, rise in rises.items():
        if rise > 0:
            yield Risk(
                kind=RiskKind.COST, urn=urn,
                detail=f"about {rise:.0f} {prices.currency} a month more, at prices of"
                f" {prices.as_of}; the limit for a plan is {limit}",
            )  # fmt: skip
