"""Failures of a call, and what the engine's output says about them."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from policies.resource_type import protected_name
from stacks.contract import Code
from stacks.engine.passwords import without_passwords

STACK_TYPE = "pulumi:pulumi:Stack"

_TEXT_LIMIT = 1500
_NOTHING_RECORDED = frozenset({Code.BACKEND_UNAVAILABLE, Code.ENGINE_DIED})

# What the keeper of the state answers, which the engine quotes.
_KEEPER = re.compile(r"keeper of the state: (?P<code>[a-z_]+): (?P<text>[^\n]*)")
# What the engine says when the keeper of its state is gone.
_KEEPER_GONE = re.compile(r'"http://127\.0\.0\.1:\d+/api/[^"]*": ')
# What the engine says of an operation outside its plan. It quotes values, so nothing after the
# first words is ever passed on; it reaches to the end, since a value may have many lines.
_OUTSIDE_PLAN = re.compile(
    r"(?:resource (?P<urn>urn:pulumi:\S+) violates plan"
    r"(?:: (?:properties changed: (?:\+\+|~~|--)(?P<property>\w+)\["
    r"|(?P<option>[A-Za-z ]+) changed))?"
    r"|(?P<op>[a-z-]+) is not allowed by the plan"
    r"|violates plan)"
    r".*",
    re.DOTALL,
)
# Also said when something else has stopped the engine.
_UNFINISHED = re.compile(
    r"expected resource operations for (?P<urn>urn:pulumi:\S+) but none were seen"
)
# What gRPC and the engine say when a plugin or the program is gone. A plugin that is killed while
# it starts has no connection yet: the engine reads its port from its stdout, then greets it
# (`sdk/go/common/resource/plugin/plugin.go`). One that cannot be started at all is another thing.
_PROVIDER_GONE = re.compile(
    r"error reading from server: "
    r"|transport is closing"
    r"|the client connection is closing"
    r'|connection error: desc = "transport: '
    r"|rpc error: code = Unavailable"
    r"|did not begin responding to RPC connections"
    r"|plugin \[[^\]]*\] (?:exited|did not come alive)"
    r"|(?:could not read|failure reading) plugin \["
)
_MONITOR_GONE = "Resource monitor has terminated"  # also a consequence of any other failure
_CRASH = re.compile(r"^(?:panic: |fatal error: )", re.MULTILINE)  # of the Go runtime
_CRASHED = 2  # its exit code then
# botocore; the Go SDK of the official provider; the older Go SDK
_AWS_CODES = (
    re.compile(r"An error occurred \((?P<code>[A-Za-z0-9.]+)\) when calling"),
    re.compile(r"api error (?P<code>[A-Za-z0-9.]+)"),
    re.compile(r"\b(?P<code>[A-Z][A-Za-z0-9]+(?:Exception|Error|Exceeded|Denied|AlreadyExists))\b"),
)
_PROTECTED = re.compile(
    r'(?:nable to (?:replace|delete)|[Rr]esource) (?:resource )?"?(urn:pulumi:[^\s"]+)"?\s+'
    r"(?:as it is currently marked for protection|cannot be deleted\s+because it is protected)"
)
_PATH = re.compile(r"(?<![\w.:/-])/(?:[\w.@+-]+/)+[\w.@+-]*")


@dataclass
class CallFailed(Exception):
    """A call cannot continue; becomes the ``Failure`` line."""

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
    return (
        _engine_died(said, doing)
        or _by_text(everything)
        or _outside_plan(said)
        or _provider_died([e for e in (*errors, said.output) if _PROVIDER_GONE.search(e)])
        or _by_resource(said)
        or _unfinished(said)
        or _provider_died([e for e in (*errors, said.output) if _MONITOR_GONE in e])
        or CallFailed(
            Code.ENGINE,
            f"The engine could not {doing}: "
            + (_short("; ".join(errors) or _clean(said.output)) or "it gave no reason"),
            data={"exit_code": said.exit_code},
        )
    )


def _engine_died(said: Said, doing: str) -> CallFailed | None:
    """An engine that a signal or a crash ended; what the program says then is a consequence."""
    if said.exit_code < 0:
        number = -said.exit_code
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        text = f"The engine was killed by the signal {name} before it could {doing}."
        return CallFailed(
            Code.ENGINE_DIED, text, data={"exit_code": said.exit_code, "signal": name}
        )
    crash = _CRASH.search(said.output)
    if crash is None or said.exit_code != _CRASHED:
        return None
    first = said.output[crash.start() :].splitlines()[0]
    return CallFailed(
        Code.ENGINE_DIED,
        f"The engine crashed before it could {doing}: {_short(scrubbed(first))}",
        data={"exit_code": said.exit_code},
    )


def _by_text(everything: str) -> CallFailed | None:
    protected = protected_urns(everything)
    return protected_failure(protected) if protected else _by_keeper(everything)


def said_by_keeper(failed: CallFailed) -> str:
    """Return the words in which the keeper tells the engine what failed."""
    return f"keeper of the state: {failed.code}: {failed.text}"


def outage_of(message: str) -> CallFailed | None:
    """Return the failure that the engine reports when nothing that it does can be recorded."""
    failure = _by_keeper(message)
    return failure if failure and failure.code in _NOTHING_RECORDED else None


def _by_keeper(text: str) -> CallFailed | None:
    found = _KEEPER.search(text)
    if found is not None:
        return CallFailed(Code(found["code"]), found["text"].strip())
    if _KEEPER_GONE.search(text):
        return CallFailed(Code.ENGINE_DIED, "The keeper of the state exited while it was needed.")
    return None


def _outside_plan(said: Said) -> CallFailed | None:
    """An operation that is not in the plan, or a planned one that became another."""
    sentences: dict[str, str] = {}
    for diagnostic in filter(_is_error, said.diagnostics):
        message = str(diagnostic.get("message", ""))
        if found := _OUTSIDE_PLAN.search(message):
            urn = str(found["urn"] or diagnostic.get("urn") or "")
            sentences.setdefault(urn, _difference(found, urn))
    if not sentences and (found := _OUTSIDE_PLAN.search(said.output)):
        urn = found["urn"] or ""
        sentences[urn] = _difference(found, urn)
    return plan_violated(sentences.values(), sentences) if sentences else None


def _unfinished(said: Said) -> CallFailed | None:
    """A planned operation did not happen though nothing else failed: the plan is another's."""
    told = (*(str(d.get("message", "")) for d in said.diagnostics), said.output)
    urns = sorted({found["urn"] for text in told for found in _UNFINISHED.finditer(text)})
    sentences = [f"{_described(urn)} was planned, but the program no longer has it" for urn in urns]
    return plan_violated(sentences, urns) if urns else None


def plan_violated(
    sentences: Iterable[str], urns: Iterable[str] = (), outputs: Iterable[str] = ()
) -> CallFailed:
    """Return the refusal to do something else than what was planned."""
    return CallFailed(
        Code.PLAN_VIOLATED,
        "The engine refused to deviate from the plan: " + _short("; ".join(sentences)) + ".",
        data={
            "resources": sorted(urn for urn in urns if urn),
            **({"outputs": sorted(outputs)} if outputs else {}),
        },
    )


def _difference(found: re.Match[str], urn: str) -> str:
    """Say what differs from the plan, without the values that the engine quotes."""
    what = _described(urn) if urn else "a resource"
    if found["op"]:
        return f"the plan does not {found['op']} {what}"
    if found["property"]:
        return f"the property {found['property']} of {what} differs"
    if found["option"]:
        return f"the option {found['option']} of {what} differs"
    return f"{what} differs"


def _described(urn: str) -> str:
    return f"{name_of(urn)} ({type_of(urn)})"


def _provider_died(told: Sequence[str]) -> CallFailed | None:
    """A plugin that ended while it was needed; nobody knows how far it came."""
    if not told:
        return None
    return CallFailed(
        Code.PROVIDER_DIED,
        "The provider exited while the engine needed it: " + _short(_clean(told[0])),
    )


def _by_resource(said: Said) -> CallFailed | None:
    if said.failed:
        return _provider(said)
    if said.program_error is not None:
        return _program(said.program_error)
    others = [
        d
        for d in filter(_is_error, said.diagnostics)
        if type_of(str(d.get("urn") or "")) not in ("", STACK_TYPE)
        and not _UNFINISHED.search(str(d.get("message", "")))
    ]
    if others:
        return _provider_text(str(others[0]["urn"]), str(others[0]["message"]))
    return None


def locked_failure(holders: Sequence[Mapping[str, Any]]) -> CallFailed:
    """Return the failure of a call whose stack is held; holders are {id, user, host, pid, time}."""
    held = ", ".join(f"{h['user']}@{h['host']} (pid {h['pid']})" for h in holders)
    return CallFailed(
        Code.LOCKED,
        f"The stack is locked by {held or 'another process'}.",
        data={"holders": [dict(h) for h in holders]},
    )


def protected_failure(urns: Iterable[str]) -> CallFailed:
    """Return the refusal to delete or replace protected resources."""
    found = sorted(set(urns))
    names = sorted(protected_name(type_of(urn), name_of(urn)) for urn in found)
    return CallFailed(
        Code.PROTECTED,
        f"The plan would delete or replace protected resources: {', '.join(names)}. "
        "Apply a change that removes their protection first.",
        data={"resources": found, "names": names},
    )


def protected_urns(text: str) -> list[str]:
    """Return the URNs that the engine refused to delete or replace because they are protected."""
    return [urn.rstrip('"') for urn in _PROTECTED.findall(text)]


def scrubbed(text: str) -> str:
    """Return the text without folders of this machine, passwords, and values a plan violates."""
    text = without_passwords(text)
    text = _OUTSIDE_PLAN.sub(lambda found: _difference(found, found["urn"] or ""), text)
    return _PATH.sub(lambda match: "…/" + match.group(0).rsplit("/", 1)[-1], text)


def name_of(urn: str) -> str:
    """Return the logical name at the end of a URN."""
    return urn.rsplit("::", 1)[-1]


def type_of(urn: str) -> str:
    """Return the type token of a URN, without the parents' types."""
    parts = urn.split("::", 3)
    return parts[2].rsplit("$", 1)[-1] if len(parts) == 4 else ""


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
