"""What a verification found: verdicts, exit code, and both ways to write it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final


class Verdict(StrEnum):
    """A kind of finding; the names are those that ``docs/audit-log.md`` explains."""

    BADSIG = "BADSIG"  # a checkpoint that no known key signed, or for another log
    TAMPERED = "TAMPERED"  # entries are not those that were signed
    REWRITTEN = "REWRITTEN"  # the log does not extend a checkpoint that somebody held
    FORKED = "FORKED"  # two signed checkpoints contradict each other
    UNSIGNED = "UNSIGNED"  # entries that no valid checkpoint covers, for too long
    UNROOTED = "UNROOTED"  # signed heads that the root log does not have, for too long
    MISDATED = "MISDATED"  # the times of a log go backwards, or are in the future
    MALFORMED = "MALFORMED"  # an entry is not of the closed form
    GAP = "GAP"  # an index is missing


# none that a command ends with for another reason (``cli/errors.py``)
EXIT_CODES: Final[Mapping[Verdict, int]] = {
    Verdict.BADSIG: 10,
    Verdict.TAMPERED: 10,
    Verdict.REWRITTEN: 10,
    Verdict.FORKED: 10,
    Verdict.UNSIGNED: 10,
    Verdict.UNROOTED: 10,
    Verdict.MISDATED: 11,
    Verdict.MALFORMED: 11,
    Verdict.GAP: 12,
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong. ``idx`` names an entry, ``size`` a checkpoint, where there is one.

    ``more`` counts further findings of the same verdict that are not listed.
    """

    verdict: Verdict
    detail: str
    idx: int | None = None
    size: int | None = None
    more: int = 0


@dataclass(frozen=True, kw_only=True)
class TreeReport:
    """What one log holds and what is wrong with it.

    ``covered`` is the size of its newest valid checkpoint; the entries after it are not yet signed.
    ``pinned`` are the sizes of the checkpoints that the verifying party brought along. ``in_root``
    is the size of its newest head in the root log, None when it was not compared or has none.
    """

    tree: str
    origin: str
    entries: int
    covered: int
    checkpoints: int
    pinned: Sequence[int]
    root: str | None
    newest_checkpoint: str | None
    first_time: str | None
    last_time: str | None
    findings: Sequence[Finding]
    in_root: int | None = None

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


@dataclass(frozen=True, kw_only=True)
class Report:
    """The outcome over all verified trees. ``keys_given`` is false when the database named them."""

    host: str
    keys_given: bool
    trees: Sequence[TreeReport]

    @property
    def exit_code(self) -> int:
        """0 when all is well, else the code of the gravest finding."""
        return min(
            (EXIT_CODES[item.verdict] for tree in self.trees for item in tree.findings), default=0
        )

    @property
    def verdict(self) -> str:
        """``OK``, or the gravest verdict."""
        found = [item.verdict for tree in self.trees for item in tree.findings]
        return str(min(found, key=list(EXIT_CODES).index)) if found else "OK"

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON."""
        return {
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "host": self.host,
            "keys": "given" if self.keys_given else "database",
            "trees": [_tree_json(tree) for tree in self.trees],
        }

    def to_text(self) -> str:
        """Return the report for a person to read."""
        lines = [line for tree in self.trees for line in _tree_lines(tree)]
        lines += ["", f"Verdict: {self.verdict}", *self._limits()]
        return "\n".join(lines) + "\n"

    def _limits(self) -> list[str]:
        """Name the limits of this verification, so that nobody reads more into it."""
        lines = []
        if not self.keys_given:
            lines.append(
                "The keys were taken from the database under test: anyone who can write to it "
                "could have re-signed it. Give the signer's public key to rule that out."
            )
        alone = [tree.tree for tree in self.trees if not tree.pinned]
        if not alone or self.exit_code:
            return lines
        if len(alone) == len(self.trees):
            lines.append(
                "No checkpoint of yours confirms this: anyone with the signing key could have "
                "rewritten everything. Keep the newest checkpoint and give it next time."
            )
        else:
            lines.append(
                f"None of the checkpoints that you gave is of {_listed(alone)}: anyone with the "
                "signing key could have rewritten that. Keep its newest checkpoint for next time."
            )
        return lines


def _listed(names: Sequence[str]) -> str:
    """Return the first names and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _tree_json(tree: TreeReport) -> dict[str, Any]:
    findings = [{**asdict(item), "exit_code": EXIT_CODES[item.verdict]} for item in tree.findings]
    return {"ok": tree.is_ok, **asdict(tree), "findings": findings}


def _tree_lines(tree: TreeReport) -> list[str]:
    state = "OK" if tree.is_ok else "NOT OK"
    lines = [
        f"{tree.origin}: {state}",
        f"  {tree.entries} entries, {tree.covered} under {tree.checkpoints} signed checkpoints",
    ]
    if tree.first_time is not None:
        lines.append(f"  from {tree.first_time} to {tree.last_time}")
    if tree.root is not None:
        lines.append(f"  root {tree.root}")
    if tree.in_root is not None:
        lines.append(f"  in the root log up to size {tree.in_root}")
    broken = {item.size for item in tree.findings if item.verdict is Verdict.REWRITTEN}
    lines += [
        f"  extends the given checkpoint of size {size}"
        for size in tree.pinned
        if size not in broken
    ]
    for item in tree.findings:
        further = f" (and {item.more} more)" if item.more else ""
        lines.append(f"  {item.verdict}: {item.detail}{further}")
    return lines
