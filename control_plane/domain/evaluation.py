"""What the policies say of a plan or of what exists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, Self

from control_plane.domain.canonical import canonical_json, digest
from control_plane.domain.documents import Documented, Readers, tuple_of

MANDATORY: Final = "mandatory"
_TEXT_BYTES: Final = 400  # of an address in a summary
_NAMED_BYTES: Final = 40 * 1024  # of all named violations: an audit event holds 60 KiB


@dataclass(frozen=True, kw_only=True)
class Violation(Documented):
    """One thing that a rule found wrong, or could not decide: ``enforcement`` says what it does."""

    rule: str
    address: str
    path: str = ""
    verdict: str = ""  # violated, or unknown where a value is not known yet
    enforcement: str  # mandatory, advisory
    reason: str
    remedy: str

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read it from its JSON object."""
        return cls(**{f.name: str(document.get(f.name) or "") for f in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class Evaluation(Documented):
    """The answer of all rules; ``ok`` means that none of them forbids it.

    ``digest`` is that of rules and parameters.
    """

    _readers: ClassVar[Readers] = {"violations": tuple_of(Violation), "rules": tuple}

    ok: bool
    violations: tuple[Violation, ...] = ()
    rules: tuple[str, ...] = ()
    digest: str

    @property
    def mandatory(self) -> tuple[Violation, ...]:
        """The violations that end a run."""
        return tuple(each for each in self.violations if each.enforcement == MANDATORY)

    @property
    def digest_of_violations(self) -> str:
        """``sha256:<hex>`` over all violations, however many a summary names."""
        return digest([violation.to_document() for violation in self.violations])

    def summary(self, limit: int = 50) -> dict[str, Any]:
        """Return what one audit event can hold of it, at most 60 KiB of canonical JSON.

        ``violations`` names the first ``limit`` of them, mandatory ones first, or fewer where
        they are too long together; ``count`` and ``rules`` (rule to number) count all.
        """
        ordered = sorted(self.violations, key=lambda each: each.enforcement != MANDATORY)
        named: list[dict[str, str]] = []
        size = 0
        for each in ordered[:limit]:
            entry = {
                "rule": each.rule,
                "address": _cut(each.address),
                "enforcement": each.enforcement,
            }
            size += len(canonical_json(entry)) + 1
            if size > _NAMED_BYTES:
                break
            named.append(entry)
        return {
            "violations": named,
            "count": len(self.violations),
            "rules": dict(sorted(Counter(each.rule for each in self.violations).items())),
            "violations_digest": self.digest_of_violations,
        }


def _cut(text: str) -> str:
    """Return a text of at most ``_TEXT_BYTES`` bytes; the end of an address says what it is."""
    encoded = text.encode()
    if len(encoded) <= _TEXT_BYTES:
        return text
    return "…" + encoded[-(_TEXT_BYTES - len("…".encode())) :].decode(errors="ignore")
