"""Verify the logs against the database: one, several or all.

Everything is read in one snapshot, so that a log may grow meanwhile. What the checks can and
cannot show is in ``docs/audit-log.md``. Give the public key and an older checkpoint from elsewhere:
without them the database vouches for itself, and the report says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    Engine,
    Row,
    Text,
    any_,
    func,
    literal,
    select,
    true,
)

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.checks import (
    Findings,
    KeyInForce,
    LogCheck,
    StoredEntry,
    check_checkpoint,
)
from control_plane.adapters.audit.given import rows_given
from control_plane.adapters.audit.merkle import Frontier
from control_plane.adapters.audit.note import (
    Checkpoint,
    NoteInvalid,
    VerifierKey,
    parse_checkpoint,
    parse_note,
    tree_origin,
)
from control_plane.adapters.audit.report import Report, TreeReport, Verdict
from control_plane.adapters.audit.rootcheck import add_contradictions, rooted_head, rooted_heads
from control_plane.adapters.audit.rootleaf import RootLeaves
from control_plane.adapters.db.audit_tables import (
    audit_checkpoint,
    audit_entry,
    audit_key,
    audit_tree,
)
from control_plane.adapters.db.tables import tenant
from control_plane.domain.audit import event_id
from control_plane.domain.deployment import PLATFORM, ROOT

_PAGE: Final = 2000
_ENTRY: Final = (audit_entry.c.idx, audit_entry.c.event_id, audit_entry.c.entry, audit_entry.c.leaf)
_HOST: Final = re.compile(r"[a-z0-9.-]{1,253}")


class PinInvalid(ValueError):
    """A checkpoint that was brought along cannot be read, or belongs to a log of another host."""


def verify(
    engine: Engine,
    *,
    host: str,
    trees: Sequence[str] | None = None,
    public_keys: Sequence[bytes] | None = None,
    pins: Sequence[str] = (),
    expected: Sequence[str] = (),
) -> Report:
    """Verify ``trees``, or all that exist, and return what was found; nothing is changed.

    ``expected`` are trees that must exist when all are verified: the platform's and the tenants'.
    ``public_keys`` are Ed25519 keys of 32 bytes that the verifying party trusts; without them the
    keys are taken from the database under test. ``pins`` are checkpoint notes that somebody kept;
    their logs are verified too, so that a vanished one is noticed. Raises ``PinInvalid``.
    """
    pinned = _pins_by_tree(host, pins)
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as connection, connection.begin():
        reading.limit_to(connection, reading.ALL_TREES)
        wanted = (
            list(trees)
            if trees is not None
            else sorted({*reading.all_trees(connection), *expected})
        )
        wanted += [tree for tree in pinned if tree not in wanted]
        task = _Task(connection=connection, host=host, public_keys=public_keys, pinned=pinned)
        reports = task.all(wanted) if trees is None else [task.alone(tree) for tree in wanted]
    return Report(host=host, keys_given=public_keys is not None, trees=reports)


@dataclass(frozen=True, kw_only=True)
class _Task:
    """The verification of some trees in one snapshot."""

    connection: Connection
    host: str
    public_keys: Sequence[bytes] | None
    pinned: Mapping[str, Sequence[str]]

    def all(self, wanted: Sequence[str]) -> list[TreeReport]:
        """Verify all trees, and those that the root log knows besides, against its leaves."""
        if ROOT not in wanted:
            return [self.tree(tree, None) for tree in wanted]
        leaves = RootLeaves()
        root = self.tree(ROOT, None, leaves)
        is_sound = all(item.verdict is Verdict.UNSIGNED for item in root.findings)
        if not is_sound:  # its leaves accuse nobody
            return [root if tree == ROOT else self.tree(tree, None) for tree in wanted]
        heads = rooted_heads(leaves.by_tree, self.host, root.covered)
        names = [*wanted, *sorted(heads.keys() - set(wanted))]
        return [root if tree == ROOT else self.tree(tree, heads.get(tree, [])) for tree in names]

    def alone(self, tree: str) -> TreeReport:
        """Verify one tree against its newest head in the root log, if there is a root log."""
        if tree == ROOT:
            return self.tree(ROOT, None, RootLeaves())
        findings = Findings()
        stored = stored_keys(self.connection, [ROOT]).get(ROOT, ())
        keys = keys_in_force(stored, tree_origin(self.host, ROOT), self.public_keys)
        heads = rooted_head(self.connection, tree, self.host, keys, findings)
        return self.tree(tree, heads, findings=findings)

    def tree(
        self,
        tree: str,
        rooted: Sequence[Checkpoint] | None,
        leaves: RootLeaves | None = None,
        findings: Findings | None = None,
    ) -> TreeReport:
        """Verify a tree; ``rooted`` are its heads in the root log, None where that is unknown."""
        return _verify_tree(
            self.connection, tree, self.host, self.public_keys, self.pinned.get(tree, ()),
            rooted=rooted, leaves=leaves, findings=findings or Findings(),
        )  # fmt: skip


def trees_that_must_exist(engine: Engine) -> list[str]:
    """Return the platform's tree, the root log, and those of tenants older than an event waits."""
    young = reading.PENDING_LIMIT + reading.UNSIGNED_LIMIT
    query = select(tenant.c.id).where(tenant.c.created_at < func.clock_timestamp() - young)
    with engine.connect() as connection:
        return [PLATFORM, ROOT, *connection.execute(query).scalars()]


def other_host(engine: Engine, host: str, trees: Sequence[str] | None = None) -> str | None:
    """Return the host that every checkpoint names, where that is one and another than ``host``.

    It is what the notes say, before any signature is checked: a reason to ask for the right host,
    not a finding.
    """
    origin = func.split_part(audit_checkpoint.c.note, "\n", 1)
    query = select(audit_checkpoint.c.tenant_id, origin).distinct()
    if trees is not None:
        query = query.where(audit_checkpoint.c.tenant_id.in_(trees))
    with engine.connect() as connection, connection.begin():
        reading.limit_to(connection, reading.ALL_TREES)
        found = connection.execute(query).all()
    hosts = {str(named).removesuffix(tree_origin("", tree)) for tree, named in found}
    named = hosts.pop() if len(hosts) == 1 else host
    return named if named != host and _HOST.fullmatch(named) else None


def _verify_tree(
    connection: Connection,
    tree: str,
    host: str,
    public_keys: Sequence[bytes] | None,
    pins: Sequence[str],
    *,
    rooted: Sequence[Checkpoint] | None,
    leaves: RootLeaves | None,
    findings: Findings,
) -> TreeReport:
    origin = tree_origin(host, tree)
    stored = stored_keys(connection, [tree]).get(tree, ())
    keys = keys_in_force(stored, origin, public_keys)
    heads = _heads(connection, tree, origin, keys, findings)
    pin_heads = _pin_heads(pins, origin, keys, public_keys, findings)
    check = LogCheck(
        tree, heads.values(), pin_heads, findings,
        now=datetime.now(UTC), rooted=rooted, leaves=leaves,
    )  # fmt: skip
    end = connection.execute(
        select(audit_tree.c.size, audit_tree.c.frontier).where(audit_tree.c.tenant_id == tree)
    ).one_or_none()
    total = 0 if end is None else end.size
    for entry in _stored_entries(connection, tree):
        check.add(entry)
    root = check.finish()
    if leaves is not None:
        add_contradictions(leaves, findings)
    if check.entries == 0 and not heads:
        findings.add(Verdict.GAP, "the log does not exist")
    elif total != check.next_idx:
        findings.add(Verdict.GAP, f"the log ends at {check.next_idx}, but its row says {total}")
    elif (
        root is not None
        and end is not None
        and not _is_frontier(end.size, bytes(end.frontier), root)
    ):
        findings.add(Verdict.TAMPERED, "the entries do not match the root in the log's row")
    covered = max(heads, default=0)
    return TreeReport(
        tree=tree,
        origin=origin,
        entries=check.entries,
        covered=min(covered, check.entries),
        checkpoints=len(heads),
        pinned=[head.size for head in pin_heads],
        root=None if root is None else root.hex(),
        newest_checkpoint=_note(connection, tree, covered) if heads else None,
        first_time=check.first_time,
        last_time=check.last_time,
        findings=findings.result(),
        in_root=max((head.size for head in rooted or ()), default=None),
    )


def _pins_by_tree(host: str, pins: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    prefix = tree_origin(host, "")
    for pin in pins:
        try:
            origin = parse_checkpoint(parse_note(pin).text).origin
        except NoteInvalid as exc:
            raise PinInvalid(f"a given checkpoint cannot be read: {exc}") from exc
        if not origin.startswith(prefix):
            raise PinInvalid(
                f"a given checkpoint belongs to {origin}, which is not a log of {host}"
            )
        found.setdefault(origin.removeprefix(prefix), []).append(pin)
    return found


def stored_keys(connection: Connection, trees: Sequence[str]) -> dict[str, list[Row[Any]]]:
    """Return what the table says of the keys of some trees."""
    query = select(audit_key).where(audit_key.c.tenant_id == any_(literal(trees, ARRAY(Text))))
    found: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(query):
        found.setdefault(row.tenant_id, []).append(row)
    return found


def keys_in_force(
    stored: Iterable[Row[Any]], origin: str, public_keys: Sequence[bytes] | None
) -> list[KeyInForce]:
    """Return the keys in force: what the table says of them, and of trusted keys alone."""
    found = []
    for row in stored:
        try:
            key = VerifierKey.parse(row.vkey)
        except NoteInvalid:
            continue  # what it signed is found to be signed by no known key
        if key.name == origin and (public_keys is None or key.public_key in public_keys):
            found.append(KeyInForce(key=key, from_size=row.from_size, to_size=row.to_size))
    return found


def _heads(
    connection: Connection,
    tree: str,
    origin: str,
    keys: Sequence[KeyInForce],
    findings: Findings,
) -> dict[int, Checkpoint]:
    """Return the valid checkpoints by size; the others become findings."""
    query = select(audit_checkpoint.c.size, audit_checkpoint.c.note).where(
        audit_checkpoint.c.tenant_id == tree
    )
    heads = {}
    for row in connection.execute(query.order_by(audit_checkpoint.c.size)):
        try:
            heads[row.size] = check_checkpoint(row.note, origin, keys, row.size)
        except NoteInvalid as exc:
            findings.add(Verdict.BADSIG, f"checkpoint of size {row.size}: {exc}", size=row.size)
    return heads


def _pin_heads(
    pins: Sequence[str],
    origin: str,
    keys: Sequence[KeyInForce],
    public_keys: Sequence[bytes] | None,
    findings: Findings,
) -> list[Checkpoint]:
    """Return the heads of given checkpoints, under any trusted key: the log may have lost it."""
    trusted = [
        KeyInForce(key=VerifierKey(name=origin, public_key=item)) for item in public_keys or ()
    ]
    heads = []
    for pin in pins:
        try:
            heads.append(check_checkpoint(pin, origin, trusted or keys))
        except NoteInvalid as exc:
            findings.add(Verdict.BADSIG, f"the checkpoint that was given: {exc}")
    return heads


def _stored_entries(connection: Connection, tree: str) -> Iterator[StoredEntry]:
    """Read the entries of a tree."""
    query = select(*_ENTRY).where(audit_entry.c.tenant_id == tree).order_by(audit_entry.c.idx)
    for row in connection.execute(query.execution_options(yield_per=_PAGE)):
        yield _stored_entry(row)


def entries_between(
    connection: Connection, spans: Sequence[tuple[str, int, int]]
) -> dict[str, list[StoredEntry]]:
    """Return entries by tree: of each span's tree from an index up to, not including, another."""
    given = rows_given(spans, tree=Text, start=BigInteger, end=BigInteger)
    of_span = (
        select(*_ENTRY)
        .where(
            audit_entry.c.tenant_id == given.c.tree,
            audit_entry.c.idx >= given.c.start,
            audit_entry.c.idx < given.c.end,
        )
        .lateral("of_span")
    )
    query = select(given.c.tree, of_span).join_from(given, of_span, true())
    found: dict[str, list[StoredEntry]] = {}
    for row in connection.execute(query.order_by(given.c.tree, of_span.c.idx)):
        found.setdefault(row.tree, []).append(_stored_entry(row))
    return found


def _stored_entry(row: Any) -> StoredEntry:
    return StoredEntry(
        idx=row.idx,
        event_id=event_id(row.event_id),
        entry=bytes(row.entry),
        leaf=bytes(row.leaf),
    )


def _is_frontier(size: int, content: bytes, root: bytes) -> bool:
    """Tell whether the row of the tree holds the frontier of that root."""
    try:
        frontier = Frontier.from_bytes(size, content)
    except ValueError:
        return False
    return frontier.root == root


def _note(connection: Connection, tree: str, size: int) -> str:
    query = select(audit_checkpoint.c.note).where(
        audit_checkpoint.c.tenant_id == tree, audit_checkpoint.c.size == size
    )
    return str(connection.execute(query).scalar_one())
