"""What a dossier says in plain words, and its table for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any, Final

README: Final = """\
This is the audit dossier of {tree}, from {host}.

It holds the whole audit log, its signed heads, and what is needed to check them without the vendor:

  page.html         who did what and when, to read and to print
  entries.csv       the same as a table; texts that a spreadsheet would run begin with an apostrophe
  entries.ndjson    one entry a line, each with the hashes that prove it under log/checkpoint
  log/              the log in the layout of c2sp.org/tlog-tiles
  keys.json         the keys that sign it; trust.policy says whom the vendor proposes to trust
  platform.ndjson   the vendor's own entries that the controls need: which rules were in force
  root.json         proof that the log of all logs, which witnesses sign, has a head of this one
  disclosures.json  personal values that were granted to this export; all others are hashes
  MANIFEST.json     the digest of each file
  audit-verify.py   the verifier: one file, Python 3.11 alone

To verify it, on a machine of yours and without a network:

  1. Take audit-verify.py from a source that you trust, for example a release, or read this one.
  2. python -I audit-verify.py FILE.zip --policy YOURS --pin YOUR-OLD-CHECKPOINT
  3. It prints ten checks and a verdict. It ends with 0 only if all of them pass.
  4. Keep log/checkpoint: with it the next verification shows that nothing before it was changed.

Without --policy the keys are those that the dossier names itself, and without --pin anybody with
the signing key could have rewritten the log. page.html, entries.csv and this text are for reading:
the entries are the proof.
"""

_COLUMNS: Final = (
    "idx", "logged_at", "time", "action", "stage", "actor", "on_behalf_of", "run", "approver",
    "plan_digest", "target", "data", "leaf",
)  # fmt: skip
_encode: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
_RUNS_IN_SPREADSHEETS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def _line(values: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([neutral(value) for value in values])
    return text.getvalue().encode("utf-8", "backslashreplace")


def neutral(value: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{value}" if value.lstrip(" ").startswith(_RUNS_IN_SPREADSHEETS) else value


def csv_line(idx: int, leaf: str, logged_at: str, body: Mapping[str, Any]) -> bytes:
    """Return an entry as a line of the table (RFC 4180)."""
    actor, approval = _object(body.get("actor")), _object(body.get("approval"))
    data = _object(body.get("data"))
    listed = body.get("target")
    targets = [
        f"{_object(each).get('type')} {_object(each).get('id')}"
        for each in (listed if isinstance(listed, list) else ())
    ]
    return _line(
        [
            str(idx), logged_at, *(_text(body.get(name)) for name in ("time", "action", "stage")),
            _text(actor.get("id")), _text(actor.get("on_behalf_of")), _text(body.get("run")),
            _text(approval.get("approver")),
            _text(approval.get("plan_digest") or data.get("plan_digest")),
            "; ".join(targets), _encode(data), leaf,
        ]
    )  # fmt: skip


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


CSV_HEAD: Final = _line(list(_COLUMNS))
