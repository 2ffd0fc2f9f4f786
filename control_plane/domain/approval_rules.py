"""Which runs need people's approval before anything is applied, and on what terms."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from control_plane.domain.change_window import ChangeWindow
from control_plane.domain.deployment import DeploymentKind
from control_plane.domain.engine import Operation, OutputChange
from control_plane.domain.kinds import KINDS
from control_plane.domain.plan import CHANGING
from control_plane.domain.risk import Prices, RiskKind
from control_plane.domain.run import RunKind

DECIDING_ROLES: Final = ("ops_approver", "platform_admin")


@dataclass(frozen=True, kw_only=True)
class ApprovalRule:
    """Runs of these kinds on deployments of these kinds need ``needed`` people of ``roles``.

    It is about plans that have one of ``risks``, or about all where it names none. ``needed`` is 0
    where the rule lets runs apply without a decision. ``window`` names the change window in which
    an apply may begin. ``signed``: who decides signs that with a key of their own.
    """

    id: str
    deployments: frozenset[DeploymentKind]
    runs: frozenset[RunKind]
    risks: frozenset[RiskKind] = frozenset()
    needed: int
    roles: tuple[str, ...]
    window: str | None = None
    signed: bool = False
    expires_after: timedelta
    because: str

    def fits(self, deployment: DeploymentKind, run: RunKind, risks: Collection[RiskKind]) -> bool:
        """Tell whether the rule is about a run whose plan has these risks."""
        is_about = deployment in self.deployments and run in self.runs
        return is_about and (not self.risks or not self.risks.isdisjoint(risks))


@dataclass(frozen=True, kw_only=True)
class HarmlessChange:
    """One entry of a closed list: an operation on these types at these inputs and no others.

    ``paths`` are heads of property paths, such as ``tags``; ``except_keys`` are beginnings of keys
    below them that are not harmless.
    """

    operation: str
    types: frozenset[str]
    paths: frozenset[str]
    except_keys: tuple[str, ...] = ()

    def has(self, operation: Operation) -> bool:
        """Tell whether an operation is on the list."""
        if operation.op != self.operation or operation.type not in self.types:
            return False
        paths = set(operation.diffs) | {change.path for change in operation.changes}
        return bool(paths) and all(self._has_path(operation, path) for path in paths)

    def _has_path(self, operation: Operation, path: str) -> bool:
        head, rest = _head_of(path)
        if head not in self.paths:
            return False
        if rest:
            return not rest.startswith(self.except_keys)
        keys = _changed_keys(operation, path)
        return keys is not None and not any(key.startswith(self.except_keys) for key in keys)


@dataclass(frozen=True, kw_only=True)
class HarmlessRule:
    """Plans that do nothing but what is listed are applied without a decision."""

    id: str
    deployments: frozenset[DeploymentKind]
    runs: frozenset[RunKind]
    changes: tuple[HarmlessChange, ...]
    because: str

    def fits(
        self,
        deployment: DeploymentKind,
        run: RunKind,
        operations: Sequence[Operation],
        outputs: Sequence[OutputChange],
    ) -> bool:
        """Tell whether a plan does nothing but what the rule lists."""
        if deployment not in self.deployments or run not in self.runs or outputs:
            return False
        doing = [each for each in operations if each.op in CHANGING or each.options]
        return bool(doing) and all(
            not each.options and any(listed.has(each) for listed in self.changes)
            for each in doing
        )  # fmt: skip


# What no rule names needs a decision: a document that lost a line must not open a door.
UNNAMED: Final = ApprovalRule(
    id="unnamed",
    deployments=frozenset(DeploymentKind),
    runs=frozenset(RunKind),
    needed=1,
    roles=("ops_approver",),
    expires_after=timedelta(hours=72),
    because="No approval rule covers this run, so a person decides.",
)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What all the rules that fit a plan ask for together: of each thing the strictest.

    ``rules`` are those that fit, ``rule`` is the one that asks for the most people. ``harmless``
    names the rule by which a plan needs no decision although others fit.
    """

    rules: tuple[ApprovalRule, ...]
    needed: int
    roles: tuple[str, ...]
    windows: tuple[str, ...]
    expires_after: timedelta
    harmless: HarmlessRule | None = None

    @property
    def rule(self) -> ApprovalRule:
        """The rule that asks for the most people, the first of several."""
        return max(self.rules, key=lambda rule: rule.needed)

    @property
    def signed(self) -> bool:
        """Whether decisions must be signed by who decides."""
        return self.needed > 0 and any(rule.signed for rule in self.rules)


@dataclass(frozen=True, kw_only=True)
class ApprovalRules:
    """The approval rules document, parsed.

    ``resumes_within``: how long after its start an interrupted apply may resume under the same
    approval.
    """

    digest: str
    resumes_within: timedelta
    rules: tuple[ApprovalRule, ...]
    prices: Prices
    harmless: tuple[HarmlessRule, ...] = ()
    windows: Mapping[str, ChangeWindow] = field(default_factory=dict)

    def terms(
        self,
        deployment: DeploymentKind,
        run: RunKind,
        risks: Collection[RiskKind] = (),
        *,
        operations: Sequence[Operation] = (),
        outputs: Sequence[OutputChange] = (),
    ) -> Terms:
        """Return the terms of a plan: a decision where no rule fits it.

        It needs no fewer people than runs of that kind always need.
        """
        fitting = tuple(rule for rule in self.rules if rule.fits(deployment, run, risks))
        rules = fitting or (UNNAMED,)
        least = KINDS[run].decisions
        harmless = None
        if not risks and not least:
            harmless = self._harmless(deployment, run, operations, outputs)
        needed = max(least, *(rule.needed for rule in rules))
        asking = [rule for rule in rules if rule.needed] or rules
        return Terms(
            rules=rules,
            needed=0 if harmless else needed,
            roles=shared_roles([rule.roles for rule in asking]),
            windows=tuple(dict.fromkeys(rule.window for rule in asking if rule.window)),
            expires_after=min(rule.expires_after for rule in rules),
            harmless=harmless,
        )

    def always_asks(self, deployment: DeploymentKind, run: RunKind) -> bool:
        """Return whether a run needs a decision, unless its plan turns out to be harmless."""
        return self.terms(deployment, run).needed > 0

    def _harmless(
        self,
        deployment: DeploymentKind,
        run: RunKind,
        operations: Sequence[Operation],
        outputs: Sequence[OutputChange],
    ) -> HarmlessRule | None:
        fitting = (e for e in self.harmless if e.fits(deployment, run, operations, outputs))
        return next(fitting, None)


def shared_roles(lists: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the roles that are in every list, in the order of the first."""
    first, *others = lists
    return tuple(role for role in first if all(role in other for other in others))


def _head_of(path: str) -> tuple[str, str]:
    """Return the input that a property path is in, and the key below it."""
    places = [path.index(mark) for mark in ".[" if mark in path]
    if not places:
        return path, ""
    head = min(places)
    return path[:head], path[head:].strip('.[]"')


def _changed_keys(operation: Operation, path: str) -> list[str] | None:
    """Return the keys in which a whole map changes, None where it is not known."""
    change = next((each for each in operation.changes if each.path == path), None)
    if change is None or not change.before_known:
        return None
    before, after = (each or {} for each in (change.before, change.after))
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return None
    return [str(k) for k in {*before, *after} if before.get(k) != after.get(k)]
