"""The page of a dossier: who did what and when, exceptions first, to read and to print.

It has no script and nothing from outside. Every text of the log is escaped. It is bounded: runs and
decisions are listed up to a number, all other entries are counted by action.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

MOST_RUNS: Final = 1000
MOST_ACTS: Final = 2000
_MOST_TEXT: Final = 300
_STYLE: Final = """
body{font:15px/1.45 system-ui,sans-serif;color:#1a1a1a;max-width:66rem;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem;
border-bottom:1px solid #bbb}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;
padding:.25rem .6rem .25rem 0;border-bottom:1px solid #e3e3e3;overflow-wrap:anywhere}
th{font-weight:600;white-space:nowrap}code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}
.bad{border-left:4px solid #a40000;padding-left:.8rem}.small{color:#555;font-size:13px}
td.idx{white-space:nowrap;width:4rem}td.time{white-space:nowrap;width:11rem}
td.who{min-width:8.5em}
@media print{body{margin:0;max-width:none;font-size:10.5pt}tr,section{break-inside:avoid}
thead{display:table-header-group}}
"""
_HOW: Final = (
    "Run <code>python -I audit-verify.py FILE.zip</code> on a machine of yours; it needs Python "
    "3.11 and no network. Give it a checkpoint that you kept (<code>--pin</code>) and the keys "
    "that you trust (<code>--policy</code>). This page is for reading: the entries are the proof."
)


@dataclass(kw_only=True)
class _Run:
    requested_by: str = ""
    kind: str = ""
    plan: str = ""
    acts: list[tuple[int, str, str, str]] = field(default_factory=list)


@dataclass(kw_only=True)
class Page:
    """Collects what the page says about a log while its entries pass."""

    tree: str
    host: str
    values: Sequence[Mapping[str, Any]] = ()
    entries: int = 0
    first: str = ""
    last: str = ""
    actions: Counter[str] = field(default_factory=Counter)
    people: Counter[str] = field(default_factory=Counter)
    runs: dict[str, _Run] = field(default_factory=dict)
    exceptions: list[tuple[int, str, str, str]] = field(default_factory=list)
    acts: list[tuple[int, str, str, str]] = field(default_factory=list)
    left_out: int = 0

    def see(self, idx: int, at: str, body: Any) -> None:
        """Take an entry in; what is not an event is an exception."""
        self.entries += 1
        self.first, self.last = self.first or at, at
        if not isinstance(body, Mapping):
            self._keep(self.exceptions, (idx, at, "", "This entry is not an event."))
            return
        action, stage = _text(body.get("action")), _text(body.get("stage"))
        actor, data = _object(body.get("actor")), _object(body.get("data"))
        who = _text(actor.get("id"))
        self.actions[action] += 1
        what = _sentence(action, stage, data)
        if stage in {"denied", "failed", "unknown"}:
            self._keep(self.exceptions, (idx, at, who, what))
        if actor.get("type") == "user":
            self.people[who] += 1
            self._keep(self.acts, (idx, at, who, what))
        if isinstance(body.get("run"), str):
            self._see_run(idx, at, who, what, action, body["run"], data)

    def _see_run(
        self,
        idx: int,
        at: str,
        who: str,
        what: str,
        action: str,
        name: str,
        data: Mapping[str, Any],
    ) -> None:
        if name not in self.runs and len(self.runs) >= MOST_RUNS:
            self.left_out += 1
            return
        run = self.runs.setdefault(name, _Run())
        if action == "run.requested":
            run.requested_by, run.kind = who, _text(data.get("kind"))
        run.plan = _text(data.get("plan_digest")) or run.plan
        self._keep(run.acts, (idx, at, who, what))

    def _keep(self, rows: list[tuple[int, str, str, str]], row: tuple[int, str, str, str]) -> None:
        if len(rows) < MOST_ACTS:
            rows.append(row)
        else:
            self.left_out += 1

    def parts(self, size: int, root: str, bounds: tuple[str | None, str | None]) -> Iterator[bytes]:
        """Yield the page."""
        for part in self._parts(size, root, bounds):
            yield part.encode("utf-8", "backslashreplace")

    def _parts(self, size: int, root: str, bounds: tuple[str | None, str | None]) -> Iterator[str]:
        title = f"Audit log of {_safe(self.tree)}"
        yield (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "style-src 'unsafe-inline'\">"
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{_STYLE}</style></head><body>\n<h1>{title}</h1>\n"
            f'<p class="small">{_safe(self.host)}; {self.entries} entries'
            f"{f', {_when(self.first)} to {_when(self.last)}' if self.entries else ''}.</p>\n"
        )
        yield from self._exceptions()
        yield from self._runs()
        yield from _table("What people did", self.acts, "Nobody did anything.")
        yield from self._disclosed()
        yield from self._counts()
        asked = " to ".join(_when(each) if each else "any time" for each in bounds)
        yield (
            f"<h2>How to verify</h2><p>{_HOW}</p><table>"
            f"<tr><th>Signed head</th><td>size {size}, root <code>{_safe(root)}</code></td></tr>"
            f"<tr><th>Asked for</th><td>{asked}; the lines of this page are of that time</td></tr>"
            f"<tr><th>Not on this page</th><td>{self.left_out} further lines; entries.csv has all "
            "of the time asked for</td></tr></table>\n</body></html>\n"
        )

    def _exceptions(self) -> Iterator[str]:
        yield '<section class="bad">'
        yield from _table(
            f"Exceptions: {len(self.exceptions)}", self.exceptions,
            "Nothing was refused, nothing failed, and nothing is unknown.",
        )  # fmt: skip
        yield "</section>\n"

    def _runs(self) -> Iterator[str]:
        yield f"<h2>Runs, with the decisions on their plans: {len(self.runs)}</h2>\n"
        for name, run in self.runs.items():
            by = f", requested by {_safe(run.requested_by)}" if run.requested_by else ""
            kind = f" ({_safe(run.kind)})" if run.kind else ""
            yield f"<section><h3><code>{_safe(name)}</code>{kind}{by}</h3>\n"
            if run.plan:
                yield f'<p class="small">Plan <code>{_safe(run.plan)}</code></p>\n'
            yield from _rows(run.acts)
            yield "</section>\n"

    def _disclosed(self) -> Iterator[str]:
        """Yield the personal values that were granted to this export."""
        if not self.values:
            return
        yield (
            f"<h2>Personal values granted to this export: {len(self.values)}</h2>\n<table><thead>"
            "<tr><th>Entry</th><th>Where in it</th><th>Value</th></tr></thead>\n"
        )
        for each in self.values[:MOST_ACTS]:
            value = f"erased {_when(each['erased_at'])}" if each["erased_at"] else each["value"]
            yield (
                f'<tr><td class="idx">{each["idx"]}</td><td>{_safe(each["path"])}</td>'
                f"<td>{_safe(value)}</td></tr>\n"
            )
        yield "</table>\n"

    def _counts(self) -> Iterator[str]:
        yield "<h2>Everything, counted</h2><table><tr><th>What</th><th>Entries</th></tr>"
        for name, count in sorted(self.actions.items()):
            yield f"<tr><td>{_safe(name)}</td><td>{count}</td></tr>"
        yield "</table>\n"


def _table(title: str, rows: list[tuple[int, str, str, str]], empty: str) -> Iterator[str]:
    yield f"<h2>{title}</h2>\n"
    if rows:
        yield from _rows(rows)
    else:
        yield f"<p>{empty}</p>\n"


def _rows(rows: list[tuple[int, str, str, str]]) -> Iterator[str]:
    yield (
        "<table><thead><tr><th>Entry</th><th>Time (UTC)</th><th>Who</th><th>What</th></tr>"
        "</thead>\n"
    )
    for idx, at, who, what in rows:
        yield (
            f'<tr><td class="idx">{idx}</td><td class="time">{_when(at)}</td>'
            f'<td class="who">{_safe(who)}</td>'
            f"<td>{_safe(what)}</td></tr>\n"
        )
    yield "</table>\n"


def _sentence(action: str, stage: str, data: Mapping[str, Any]) -> str:
    """Return what happened, with the few facts of it that a reader looks for."""
    named = ("verdict", "status", "kind", "code", "wanted", "rule", "needed", "approvals", "step")
    facts = [f"{name} {data[name]}" for name in named if isinstance(data.get(name), str | int)]
    told = action if stage == "completed" else f"{action}: {stage}"
    return f"{told}; {', '.join(facts)}" if facts else told


def _when(at: str) -> str:
    return _safe(at[:19].replace("T", " "))


def _safe(text: str) -> str:
    """Escape a text, shortened; what changes the direction of text is shown as its code."""
    short = text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "…"
    if not short.isprintable():
        short = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in short)
    return escape(short)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
