"""What people read is plain English: the worst phrases, each with the better one, stay out.

Read are messages, help and docstrings of the product, its documents, its rules and its Terraform.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("api", "benchmarks", "control_plane", "policies", "stacks", "tools")
DOCUMENTS: Final = (
    "*.md", "Makefile", "docs/**/*.md", "findings/*.md", "rules/*.yaml",
    "stacks/**/*.md", "stacks/**/*.tf", "stacks/**/*.example",
)  # fmt: skip


class Phrase(NamedTuple):
    """A phrase that nobody writes here, what to write instead, and a sentence that has it."""

    pattern: str
    better: str
    sample: str


PHRASES: Final = (
    # --- German syntax ------------------------------------------------------------------------
    Phrase(r"(?<!there )\b(is|are|was|were) no (?!longer|more|earlier|later)", "is not a …",
           "acme is no tenant id"),
    Phrase(r"\b(an|the|of) own\b", "its own, their own", "encrypted with an own key"),
    Phrase(r"\btold\b", "reported, known, asked", "It cannot be told what became of it."),
    Phrase(r"\b(does not|refused to|nobody can) tell\b", "does not say, is unknown",
           "The pulumi command does not tell its version."),
    Phrase(r"\btells of\b", "describes, is dated", "The entry tells of a time in the future."),
    Phrase(r"\bwhoever\b", "anyone who, the one that", "whoever can write it"),
    Phrase(r"(^|[.;:] )who (asks?|means|breaks|administers|edits|applies|starts|wants)\b",
           "the requester, anyone who", "Who asks may not decide."),
    Phrase(r"\b(to|for) who\b", "to the person who", "It is shown to who decides."),
    Phrase(r"(?<!some )(?<!one )(?<!each )(?<!all )\bof which\b", "two sentences, whose",
           "claims of which a token has one"),
    Phrase(r"\b(has|have) not(?=[.,;:)]|$)", "does not have", "a parameter that the route has not"),
    Phrase(r"\bgo(es)? together\b", "match, contradict each other", "Facts do not go together."),
    Phrase(r"\b(go|goes|going|went) on\b", "continue, resume", "The run goes on by itself."),
    Phrase(r"\blets? wait\b", "blocks, makes wait", "What lets wait is named."),
    Phrase(r"\bsee to it\b", "make sure", "See to it that the claim is set."),
    Phrase(r"\bthat there is\b(?! (an?|no|nothing)\b)", "existing", "the tenant that there is"),
    Phrase(r"\bthe begin\b", "the start", "at the begin of a phase"),
    Phrase(r"\b(is|are|was|were) of another\b", "belongs to another", "It is of another bundle."),
    Phrase(r"\bof (its|their) form\b", "malformed", "The time is not of its form."),
    Phrase(r"\b(not to be|cannot be|can be) had\b", "unavailable", "Terraform is not to be had."),
    Phrase(r"\botherwise than\b", "differently from", "answered otherwise than before"),
    Phrase(r"; none: ", "unset: …", "the state backend; none: a folder"),
    Phrase(r"; else\b", "otherwise, (default: …)", "Idempotency key; else a new one."),
    # --- words that the field has better ones for -----------------------------------------------
    Phrase(r"\bmend(s|ed|ing)?\b", "fix", "After mending the cause, retry the run."),
    Phrase(r"\bfor ever\b", "forever, indefinitely", "It waits for ever."),
    Phrase(r"\b(end|stop|left|shut|exit)\w* (\w+ ){0,2}in order\b(?! to\b)", "gracefully",
           "All processes end in order on SIGTERM."),
    Phrase(r"\b(end|ends|ended) by itself\b", "exited unexpectedly", "A part ended by itself."),
    Phrase(r"\bbr(eaks?|oken?) off\b", "was interrupted, failed", "The build broke off."),
    Phrase(r"\b(anew|afresh)\b", "again, a new …", "A retry plans anew."),
    Phrase(r"\b(is|are|was) away\b", "is unavailable", "The database is away."),
    Phrase(r"\bsome (seconds|minutes|hours|days)\b", "a few", "It takes some minutes."),
    Phrase(r"\bno such thing\b", "not found", "There is no such thing."),
    Phrase(r"\bpresent (status|state)\b", "current", "not possible in the present status"),
    Phrase(r"\b(is|are|was|were|not) looked at\b", "is checked", "It is looked at again."),
    Phrase(r"\bpass(es|ed|ing)? over\b", "skip, ignore", "The program on PATH is passed over."),
    Phrase(r"\bsaid nothing\b", "no output", "It said nothing."),
    Phrase(r"\btokens? lives?\b", "the lifetime of a token", "The token lives too long."),
    Phrase(r"\blife of an? ", "lifetime", "life of a download link"),
    Phrase(r"\b(time|deadline|life|lifetime|call|that) is over\b", "has ended, has expired",
           "Its deadline is over."),
    Phrase(r"\b(small letters|capitals)\b", "lower-case letters, upper case", "two small letters"),
    Phrase(r"\bused up\b", "exhausted", "The pool is used up."),
    Phrase(r"\bis meant\b", "is intended", "if that is meant"),
    Phrase(r"\bfurther tenant\b", "additional tenant", "a further tenant of the company"),
    Phrase(r"\bagain and again\b", "repeatedly", "It died again and again."),
    Phrase(r"\bthereby\b", "so, by that", "who does not thereby decrypt"),
    Phrase(r"\b(given|gave|gives?) out\b", "issued, published", "a token that was not given out"),
    Phrase(r"\bwithout a word\b", "silently", "keeps the last without a word"),
    Phrase(r"(?<![`\w])barred\b(?!`)", "excluded", "The requester is barred."),
)  # fmt: skip
_FOUND: Final = tuple((re.compile(p.pattern, re.IGNORECASE | re.MULTILINE), p) for p in PHRASES)


def faults(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line in ``text`` of each bad phrase, with the phrase and the better one."""
    for pattern, phrase in _FOUND:
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start())
            yield line, f"{match[0]!r}: say {phrase.better}"


def _one_line(text: str) -> str:
    """Join the lines of each paragraph, so that a phrase is found across the end of a line."""
    return re.sub(r"(?<!\n)\n(?!\n)[ \t#]*", " ", text)


def python_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string of a module that has more than one word."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def _documents() -> list[Path]:
    return sorted(path for pattern in DOCUMENTS for path in ROOT.glob(pattern))


@pytest.mark.parametrize("package", PACKAGES)
def test_messages_and_docstrings_are_plain_english(package: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}: {fault}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, text in python_texts(path)
        for _, fault in faults(_one_line(text))
    }
    assert not found, "\n".join(sorted(found))


@pytest.mark.parametrize("document", _documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_are_plain_english(document: Path) -> None:
    text = _one_line(document.read_text(encoding="utf-8"))
    found = {f"{fault} in …{text.splitlines()[line][:60]}" for line, fault in faults(text)}
    assert not found, "\n".join(sorted(found))


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase.sample)
def test_each_phrase_is_found_and_its_better_one_is_fine(phrase: Phrase, tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    broken = phrase.sample.replace(" ", "\n    ")
    module.write_text(f'print(f"{{1}}. {phrase.sample}")\n"""{broken}"""\n', encoding="utf-8")
    found = {
        line
        for line, text in python_texts(module)
        for _, fault in faults(_one_line(text))
        if fault.endswith(phrase.better)
    }
    assert found == {1, 2}  # also across the end of a line, and in an f-string
    assert not list(faults(phrase.better))


def test_the_documents_are_read() -> None:
    names = {str(path.relative_to(ROOT)) for path in _documents()}
    assert {
        "README.md",
        "docs/api.md",
        "docs/decisions/0013-the-newest-engine-call-owns-the-stack.md",
    } <= names
    assert {"rules/mode_rules.yaml", "stacks/mode_c_modules/variables.tf"} <= names
