"""Takes the engine's events of one CLI process: keeps what decides, forwards progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stacks.engine.failures import CallFailed, name_of, outage_of, scrubbed, type_of

Emit = Callable[[str, dict[str, Any]], None]

_TEXT_LIMIT = 4000
_STARTED = "resourcePreEvent"
_DONE = "resOutputsEvent"
_FAILED = "resOpFailedEvent"
_RESOURCE_KINDS = {_STARTED: "started", _DONE: "done", _FAILED: "failed"}
_QUIET = frozenset({"same", "refresh", "read"})
_PREVIEWS = frozenset({"plan", "verify"})
_ENVELOPE = ("sequence", "timestamp", "preludeEvent", "cancelEvent")


@dataclass
class Recorder:
    """The events of one CLI process. Fed by one thread, read after the process has ended.

    ``stop`` is called once, when the engine says that nothing it does can be recorded.
    """

    phase: str
    emit: Emit
    stop: Callable[[], None]
    started: list[Mapping[str, Any]] = field(default_factory=list)  # step metadata, in order
    done: list[Mapping[str, Any]] = field(default_factory=list)
    failed: list[Mapping[str, Any]] = field(default_factory=list)
    diagnostics: list[Mapping[str, Any]] = field(default_factory=list)
    summary: Mapping[str, Any] | None = None
    outage: CallFailed | None = None

    def take(self, event: Mapping[str, Any]) -> None:
        """Record an event as the engine sent it, and forward what it means as progress."""
        for kind, status in _RESOURCE_KINDS.items():
            if kind in event:
                self._resource(status, event[kind]["metadata"])
                return
        if "diagnosticEvent" in event:
            self._diagnostic(event["diagnosticEvent"])
            return
        if "summaryEvent" in event:
            self.summary = event["summaryEvent"]
        # Everything else, also kinds that the SDK's own parser drops; but not the prelude, which
        # repeats the spec, nor the event that only says that the stream is over.
        for kind, body in event.items():
            if kind not in _ENVELOPE:
                content = body if isinstance(body, Mapping) else {"value": body}
                self.emit("detail", {"phase": self.phase, "event": kind, **_scrubbed(content)})

    @property
    def changes(self) -> dict[str, int]:
        """How many resources each kind of operation touched, by the engine's own count."""
        counted = (self.summary or {}).get("resourceChanges") or {}
        return {str(k): int(v) for k, v in counted.items()}

    @property
    def has_errors(self) -> bool:
        """Whether the engine said why it failed."""
        return any(str(d.get("severity", "")).startswith("error") for d in self.diagnostics)

    def _resource(self, status: str, metadata: Mapping[str, Any]) -> None:
        {"started": self.started, "done": self.done, "failed": self.failed}[status].append(metadata)
        urn = str(metadata.get("urn", ""))
        if not self._is_news(status, str(metadata.get("op", ""))):
            return
        self.emit(
            "resource",
            {
                "phase": self.phase,
                "status": status,
                "op": metadata.get("op"),
                "urn": urn,
                "type": metadata.get("type") or type_of(urn),
                "name": name_of(urn),
            },
        )

    def _is_news(self, status: str, op: str) -> bool:
        """Leave out what says nothing: what stays as it is, and the start of a planned step."""
        if status == "failed":
            return True
        return op not in _QUIET and (status == "done" or self.phase not in _PREVIEWS)

    def _diagnostic(self, diagnostic: Mapping[str, Any]) -> None:
        if diagnostic.get("ephemeral") or diagnostic.get("severity") == "debug":
            return
        self.diagnostics.append(diagnostic)
        if self.outage is None and str(diagnostic.get("severity", "")).startswith("error"):
            self.outage = outage_of(str(diagnostic.get("message", "")))
            if self.outage is not None:
                self.stop()
        self.emit(
            "diagnostic",
            {
                "phase": self.phase,
                "severity": diagnostic.get("severity"),
                "urn": diagnostic.get("urn") or None,
                "text": scrubbed(str(diagnostic.get("message", "")))[:_TEXT_LIMIT].strip(),
            },
        )


def _scrubbed(value: Any) -> Any:
    """Return a JSON value with all its texts scrubbed."""
    if isinstance(value, Mapping):
        return {key: _scrubbed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_scrubbed(each) for each in value]
    return scrubbed(value) if isinstance(value, str) else value
