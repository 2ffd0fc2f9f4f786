"""Failures of a call, and what the engine's output says about them."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stacks.contract import Code

_TEXT_LIMIT = 1500

_LOCK_LINE = re.compile(
    r"/(?P<id>[0-9a-f-]{36})\.json(?:\?\S*)?: created by (?P<user>[^@\s]*)@(?P<host>\S+) "
    r"\(pid (?P<pid>\d+)\) at (?P<time>\S+)"
)
_PLAN_TEXTS = ("violates plan", "is not allowed by the plan")
_PLAN_UNFINISHED = "but none were seen"  # also when something else had stopped the engine
_BACKEND_TEXTS = (
    "unable to open bucket",
    "failed to load checkpoint",
    "read checkpoint",
    "problem logging in",
    "unable to check if bucket",
    "could not list bucket",
    "error listing stacks",
    "writing snapshot",
    "saving update info",
    "illegal prefix",
    "could not get cloud url",
    "failed to save snapshot",
)
# botocore; the Go SDK of the official provider; the older Go SDK
_AWS_CODES = (
    re.compile(r"An error occurred \((?P<code>[A-Za-z0-9.]+)\) when calling"),
    re.compile(r"api error (?P<code>[A-Za-z0-9.]+)"),
    re.compile(r"\b(?P<code>[A-Z][A-Za-z0-9]+(?:Exception|Error|Exceeded|Denied|AlreadyExists))\b"),
)
_URN = re.compile(r"urn:pulumi:[^\s\"]+")
_PROTECTED = re.compile(
    r'(?:nable to (?:replace|delete)|[Rr]esource) (?:resource )?"?(urn:pulumi:[^\s"]+)"?\s+'
    r"(?:as it is currently marked for protection|cannot be deleted\s+because it is protected)"
)
_PATH = re.compile(r"(?<![\w.:/-])/(?:[\w.@+-]+/)+[\w.@+-]*")


@dataclass
class CallFailed(Exception):
    """A call cannot go on; becomes the ``Failure`` line."""

    code: Code
    text: str
    changed: bool = False
    data: dict[str, Any] = field(default_factory=dict)
    state_digest: str | None = None
    summary: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


@dataclass(frozen=True)
class ProgramError:
    """What a program raised, and where: a file under ``stacks`` and a line."""

    text: str
    kind: str
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Said:
    """Everything a CLI process said, by events, exit code and text."""

    exit_code: int
    output: str = ""
    diagnostics: Sequence[Mapping[str, Any]] = ()
    failed: Sequence[Mapping[str, Any]] = ()  # metadata of the steps that failed
    program_error: ProgramError | None = None


def classify(said: Said, *, doing: str) -> CallFailed:
    """Return the failure that the engine's events, exit code and output amount to.

    ``doing`` completes the sentence "The engine could not …".
    """
    errors = [_clean(str(d.get("message", ""))) for d in said.diagnostics if _is_error(d)]
    everything = "\n".join((*errors, said.output))
    if said.exit_code < 0:
        return _killed(said, errors, doing)
    return (
        _by_text(errors, everything)
        or _by_resource(said)
        or _unfinished(errors, everything)
        or CallFailed(
            Code.ENGINE,
            f"The engine could not {doing}: "
            + (_short("; ".join(errors) or _clean(said.output)) or "it gave no reason"),
            data={"exit_code": said.exit_code},
        )
    )


def _killed(said: Said, errors: Sequence[str], doing: str) -> CallFailed:
    """An engine that a signal ended; what the program raised then is only that it was gone."""
    number = -said.exit_code
    name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
    more = _short("; ".join(errors))
    return CallFailed(
        Code.ENGINE,
        f"The engine could not {doing}: it was ended by the signal {name}"
        + (f", after: {more}" if more else ""),
        data={"exit_code": said.exit_code, "signal": name},
    )


def _by_text(errors: Sequence[str], everything: str) -> CallFailed | None:
    if "the stack is currently locked by" in everything:
        return _locked(everything)
    if "incorrect passphrase" in everything:
        return CallFailed(Code.PASSPHRASE, "The passphrase is not that of the stack.")
    if any(text in everything for text in _PLAN_TEXTS):
        return _outside_plan(_first(errors, _PLAN_TEXTS, everything))
    protected = protected_urns(everything)
    if protected:
        return protected_failure(protected)
    if any(text in everything for text in _BACKEND_TEXTS):
        return CallFailed(
            Code.BACKEND,
            "The state backend cannot be used: " + _first(errors, _BACKEND_TEXTS, everything),
        )
    return None


def _unfinished(errors: Sequence[str], everything: str) -> CallFailed | None:
    """A planned operation did not happen though nothing else failed: the plan is another's."""
    if _PLAN_UNFINISHED not in everything:
        return None
    return _outside_plan(_first(errors, (_PLAN_UNFINISHED,), everything))


def _outside_plan(text: str) -> CallFailed:
    return CallFailed(
        Code.PLAN_VIOLATED,
        f"What would be done is not what was planned; the engine refused it: {text}",
        data={"resources": sorted(set(_URN.findall(text)))},
    )


def _by_resource(said: Said) -> CallFailed | None:
    if said.failed:
        return _provider(said)
    if said.program_error is not None:
        return _program(said.program_error)
    of_resources = [
        d for d in said.diagnostics if _is_error(d) and ":" in type_of(str(d.get("urn") or ""))
    ]
    others = [d for d in of_resources if type_of(str(d["urn"])) != "pulumi:pulumi:Stack"]
    if others:
        return _provider_text(str(others[0]["urn"]), str(others[0]["message"]))
    return None


def locked_failure(holders: Sequence[Mapping[str, Any]]) -> CallFailed:
    """Return the failure of a call whose stack is held; holders are {id, user, host, pid, time}."""
    held = ", ".join(f"{h['user']}@{h['host']} (pid {h['pid']})" for h in holders) or "somebody"
    return CallFailed(
        Code.LOCKED, f"The stack is locked by {held}.", data={"holders": [dict(h) for h in holders]}
    )


def protected_failure(urns: Iterable[str]) -> CallFailed:
    """Return the refusal to delete protected resources."""
    named = sorted(set(urns))
    names = ", ".join(name_of(urn) for urn in named)
    return CallFailed(
        Code.PROTECTED,
        f"Protected resources are not deleted: {names}. Unprotect them by a plan of their own.",
        data={"resources": named},
    )


def protected_urns(text: str) -> list[str]:
    """Return the URNs that the engine refused to delete or replace because they are protected."""
    return [urn.rstrip('"') for urn in _PROTECTED.findall(text)]


def scrubbed(text: str) -> str:
    """Return the text without folders: they belong to this machine alone."""
    return _PATH.sub(lambda match: "…/" + match.group(0).rsplit("/", 1)[-1], text)


def name_of(urn: str) -> str:
    """Return the logical name at the end of a URN."""
    return urn.rsplit("::", 1)[-1]


def type_of(urn: str) -> str:
    """Return the type token of a URN, without the parents' types."""
    parts = urn.split("::", 3)
    return parts[2].rsplit("$", 1)[-1] if len(parts) == 4 else ""


def _locked(text: str) -> CallFailed:
    return locked_failure(
        [{**match.groupdict(), "pid": int(match["pid"])} for match in _LOCK_LINE.finditer(text)]
    )


def _program(error: ProgramError) -> CallFailed:
    where = f" at {error.file}:{error.line}" if error.file else ""
    return CallFailed(
        Code.PROGRAM,
        f"The program raised {error.kind}{where}: {_short(error.text)}",
        data={"file": error.file, "line": error.line, "kind": error.kind},
    )


def _provider(said: Said) -> CallFailed:
    first = said.failed[0]
    urn = str(first.get("urn", ""))
    messages = [
        str(d.get("message", "")) for d in said.diagnostics if _is_error(d) and d.get("urn") == urn
    ]
    failure = _provider_text(urn, messages[0] if messages else "no reason was given")
    failure.data["operation"] = str(first.get("op", ""))
    failure.data["failed"] = sorted({str(m.get("urn", "")) for m in said.failed})
    return failure


def _provider_text(urn: str, message: str) -> CallFailed:
    text = _clean(message)
    code = next((m["code"] for p in _AWS_CODES if (m := p.search(text)) is not None), None)
    return CallFailed(
        Code.PROVIDER,
        f"The cloud refused {name_of(urn)} ({type_of(urn)}): {_short(text)}",
        data={"resource": urn, "name": name_of(urn), "type": type_of(urn), "aws_code": code},
    )


def _is_error(diagnostic: Mapping[str, Any]) -> bool:
    return str(diagnostic.get("severity", "")).startswith("error")


def _clean(text: str) -> str:
    """Drop the marks of colours that the engine leaves in messages, and blank lines."""
    without = re.sub(r"<\{%[^%]*%\}>", "", text)
    lines = (line.strip() for line in without.splitlines())
    return scrubbed("\n".join(line for line in lines if line))


def _short(text: str) -> str:
    return text if len(text) <= _TEXT_LIMIT else text[:_TEXT_LIMIT] + " …"


def _first(errors: Sequence[str], texts: Sequence[str], everything: str) -> str:
    candidates = (*errors, *everything.splitlines())
    return _short(next((c for c in candidates if any(t in c for t in texts)), "no reason given"))
