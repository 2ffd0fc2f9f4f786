"""The mode rules as data: a small closed vocabulary of conditions and effects, nothing evaluated.

A rule may raise the least mode required, ask for a review, or state a conflict. A condition about
a fact that nobody stated does not hold: silence is never a constraint and never an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from control_plane.domain.residency import Regions


class Mode(StrEnum):
    """How a tenant's infrastructure is delivered. Ordered by isolation, as their letters are."""

    A = "A"  # a slice of a shared Hub
    B = "B"  # a dedicated Hub in an account of the vendor
    C = "C"  # Terraform that the customer runs in an own account


FactValue = str | int | bool | Decimal | tuple[str, ...] | None

# Beside what is stated (``facts.STATED_FACTS``), rules may look at what follows from it.
PLACE_FACTS: Final = frozenset({"residency.stated", "residency.offered"})
# Known only when the least mode required is: a rule that raises it may not look at these.
CANDIDATE_FACTS: Final = frozenset({"candidate_mode", "cloud_supported", "partition_supported"})


class Comparison(StrEnum):
    """What a condition may ask about one fact."""

    IS = "is"
    IN = "in"
    NOT_IN = "not_in"
    AT_LEAST = "at_least"
    MORE_THAN = "more_than"
    NOT_EMPTY = "not_empty"
    MODE_ABOVE = "mode_above"


@dataclass(frozen=True, kw_only=True)
class FactCondition:
    """One comparison of one fact. ``operand`` is a tuple for ``in`` and ``not_in``."""

    fact: str
    comparison: Comparison
    operand: str | int | bool | Decimal | tuple[str, ...]

    def holds(self, facts: Mapping[str, FactValue]) -> bool:
        """Tell whether the fact is stated and compares so."""
        value = facts.get(self.fact)
        if value is None or value == ():
            return False
        match self.comparison:
            case Comparison.IS:
                return value == self.operand
            case Comparison.IN:
                return _word(value) in _words(self.operand)
            case Comparison.NOT_IN:
                return _word(value) not in _words(self.operand)
            case Comparison.AT_LEAST:
                return _number(value) >= _number(self.operand)
            case Comparison.MORE_THAN:
                return _number(value) > _number(self.operand)
            case Comparison.NOT_EMPTY:
                return bool(value)
            case Comparison.MODE_ABOVE:
                return Mode(str(value)) > Mode(str(self.operand))

    def named_facts(self) -> Iterator[str]:
        """Yield the fact it looks at."""
        yield self.fact


@dataclass(frozen=True, kw_only=True)
class Combined:
    """Conditions: all of them, or any, must hold. All of none always holds."""

    parts: tuple[Condition, ...]
    every: bool

    def holds(self, facts: Mapping[str, FactValue]) -> bool:
        """Tell whether all, or any, of the parts hold."""
        results = (part.holds(facts) for part in self.parts)
        return all(results) if self.every else any(results)

    def named_facts(self) -> Iterator[str]:
        """Yield the facts that the parts look at."""
        for part in self.parts:
            yield from part.named_facts()


Condition = FactCondition | Combined
ALWAYS: Final = Combined(parts=(), every=True)


class Effect(StrEnum):
    """What a clause does when its condition holds."""

    MIN_MODE = "min_mode"  # raises the least mode required
    NEEDS_REVIEW = "needs_review"  # an architect looks before anything is provisioned
    CONFLICT = "conflict"  # nothing is provisioned until facts or contract change


@dataclass(frozen=True, kw_only=True)
class Clause:
    """When a condition holds, an effect, and the sentence that explains it.

    ``review_contract``: a contract that bought less than ``min_mode`` is a case for a review, not
    a conflict.
    """

    when: Condition
    effect: Effect
    because: str
    min_mode: Mode = Mode.A
    review_contract: bool = False


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A named rule: clauses that are evaluated independently of each other."""

    id: str
    title: str
    source: str
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, kw_only=True)
class ModeRules:
    """The mode rules and the regions documents, parsed. ``digest`` is that of the mode rules."""

    digest: str
    regions: Regions
    rules: tuple[Rule, ...]
    clouds: Mapping[Mode, frozenset[str]]
    partitions: Mapping[Mode, frozenset[str]]


def _number(value: object) -> Decimal:
    return Decimal(str(value))


def _word(value: object) -> str:
    """Return a word of free text so that spelling variants meet: ``Public Sector`` is one."""
    return "_".join(str(value).strip().casefold().replace("-", " ").replace("_", " ").split())


def _words(operand: object) -> frozenset[str]:
    return frozenset(_word(item) for item in operand) if isinstance(operand, tuple) else frozenset()
