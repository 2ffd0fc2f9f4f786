"""The dossier of a log: one archive that an auditor verifies without the product.

Its form is written in ``docs/audit-log.md``, "The dossier". The same log and arguments give the
same bytes: names are sorted, times are fixed, and no clock is asked. The log is read once, in one
snapshot, and its entries are kept in a file meanwhile: memory holds 64 bytes for each of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from struct import Struct
from tempfile import TemporaryFile
from typing import IO, Any, Final

from sqlalchemy import Connection, select

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.disclosures import granted_disclosures
from control_plane.adapters.audit.dossier_page import Page
from control_plane.adapters.audit.dossier_texts import CSV_HEAD, README, csv_line
from control_plane.adapters.audit.merkle import HASH_BYTES, inclusion_proof, leaf_hash, node_hash
from control_plane.adapters.audit.note import tree_origin
from control_plane.adapters.audit.rootlog import evidence
from control_plane.adapters.audit.sequencer import parse_leniently
from control_plane.adapters.audit.tiles import TILE_WIDTH, TreeHashes
from control_plane.adapters.audit.trustpolicy import TrustPolicy
from control_plane.adapters.db.audit_tables import audit_checkpoint, audit_entry, audit_key
from control_plane.domain.audit import rfc3339
from control_plane.domain.audit_catalogue import ACTIONS, BODY_VERSION, RETIRED_SCHEMAS
from control_plane.domain.canonical import canonical_json
from control_plane.domain.deployment import PLATFORM, ROOT

FORM: Final = 1
_PAGE: Final = 2000
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_KEPT: Final = Struct("?H")  # whether a line is asked for, and the length of its entry
_FIXED_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the first that an archive can hold
# of the platform's log what the controls of a tenant need
_OF_PLATFORM: Final = (
    "approver_key.enrolled", "approver_key.confirmed", "approver_key.revoked", "rules.loaded",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What a dossier holds besides the log.

    ``disclosures`` are granted values, each {idx, event_id, path, value, salt, erased_at,
    erasure_event}. ``policy`` are further lines of the trust policy: witnesses, groups, quorum.
    ``root`` proves the log's head in the log of logs.
    """

    disclosures: Sequence[Mapping[str, Any]] = ()
    policy: Sequence[str] = ("quorum none",)
    root: Mapping[str, Any] | None = None


def gathered(
    connection: Connection,
    tree: str,
    grant: str | None = None,
    *,
    policy: TrustPolicy | None = None,
) -> Extras:
    """Return what a dossier of a log holds besides it; the transaction sees the root log too.

    ``policy`` names the witnesses that the vendor trusts; without one no quorum is asked for.
    Raises ``GrantNotValid``, and ``HashesMissing`` for a root log that lacks hashes.
    """
    values = granted_disclosures(connection, tree, grant) if grant is not None else ()
    lines = ("quorum none",) if policy is None else policy.lines()
    return Extras(disclosures=values, policy=lines, root=evidence(connection, tree))


@dataclass(frozen=True, kw_only=True)
class Written:
    """A dossier that is written. ``manifest_digest`` is what its export's event names."""

    size: int
    entries: int
    manifest_digest: str


@dataclass(kw_only=True)
class _Archive:
    """An archive with fixed times, and the digests of what is in it."""

    zip: zipfile.ZipFile
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, name: str, parts: Iterable[bytes]) -> None:
        info = zipfile.ZipInfo(name, _FIXED_TIME)
        info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
        digest, size = hashlib.sha256(), 0
        with self.zip.open(info, "w", force_zip64=True) as file:
            for part in parts:
                file.write(part)
                digest.update(part)
                size += len(part)
        self.files[name] = {"bytes": size, "sha256": digest.hexdigest()}

    def finish(self, manifest: Mapping[str, Any]) -> str:
        """Write the manifest last and sort the directory; returns the manifest's digest."""
        content = {**manifest, "files": dict(sorted(self.files.items()))}
        digest = hashlib.sha256(_canonical(content)).hexdigest()
        self.add("MANIFEST.json", [_canonical({**content, "sha256": digest})])
        self.zip.filelist.sort(key=lambda info: info.filename)
        return f"sha256:{digest}"


class _Leaves:
    """The hashes of a tree, level by level: a node without a neighbour goes up as it is."""

    def __init__(self) -> None:
        self.levels = [bytearray()]

    def append(self, leaf: bytes) -> None:
        self.levels[0] += leaf

    def __len__(self) -> int:
        return len(self.levels[0]) // HASH_BYTES

    def close(self) -> None:
        while len(self.levels[-1]) > HASH_BYTES:
            below, above = self.levels[-1], bytearray()
            for at in range(0, len(below), 2 * HASH_BYTES):
                pair = bytes(below[at : at + 2 * HASH_BYTES])
                both = len(pair) > HASH_BYTES
                above += node_hash(pair[:HASH_BYTES], pair[HASH_BYTES:]) if both else pair
            self.levels.append(above)

    @property
    def root(self) -> bytes:
        return bytes(self.levels[-1]) if len(self) else hashlib.sha256(b"").digest()

    def at(self, level: int, idx: int) -> bytes:
        return bytes(self.levels[level][idx * HASH_BYTES : (idx + 1) * HASH_BYTES])

    def proof(self, idx: int) -> list[bytes]:
        """Return PATH(idx, D[n]) of RFC 6962 section 2.1.1."""
        found = (self.at(level, idx >> level ^ 1) for level in range(len(self.levels) - 1))
        return [item for item in found if item]


def write_dossier(
    connection: Connection,
    out: IO[bytes],
    tree: str,
    *,
    host: str,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    extras: Extras | None = None,
) -> Written:
    """Write the dossier of a log; the whole log is in it.

    ``since`` and ``until`` are what was asked for: the lines to read are limited to them. Entries
    that wait for their signature are left out, unless they have waited for too long by ``now``.
    ``connection`` is in a snapshot, and sees this log and the platform's.
    """
    extras = extras or Extras()
    heads = list(_checkpoints(connection, tree))
    size = heads[-1][0] if heads else 0
    keys = list(_keys(connection, (tree, PLATFORM, ROOT)))
    zipped = zipfile.ZipFile(out, "w", compresslevel=1)
    with zipped, TemporaryFile() as kept, TemporaryFile() as lines:
        archive = _Archive(zip=zipped)
        page = Page(tree=tree, host=host, values=extras.disclosures)
        leaves = _Leaves()
        unsigned: list[bytes] = []
        rows = _entries(connection, tree)
        bounds = _text(since), _text(until)
        found = _write_bundles(archive, rows, size, leaves, kept, lines, page, unsigned, bounds)
        if unsigned and parse_leniently(unsigned[0].partition(b"\n")[0]).get(
            "seq_time", ""
        ) < rfc3339(now - reading.UNSIGNED_LIMIT):
            archive.add("log/unsigned", [_with_length(item) for item in unsigned])
        leaves.close()
        _write_tiles(archive, leaves)
        archive.add("log/checkpoint", [heads[-1][1].encode() if heads else b""])
        for of_size, note in heads:
            archive.add(f"log/checkpoints/{of_size}", [note.encode()])
        archive.add("entries.ndjson", _provable(kept, leaves))
        lines.seek(0)
        archive.add("entries.csv", [CSV_HEAD, *iter(lambda: lines.read(1 << 20), b"")])
        archive.add("page.html", page.parts(size, leaves.root.hex(), bounds))
        if tree != PLATFORM:
            _write_platform(archive, connection)
        _write_texts(archive, keys, extras, page)
        origin = tree_origin(host, tree)
        manifest = {
            "form": FORM, "host": host, "tree": tree, "origin": origin, "size": size,
            "range": {"asked": {"from": bounds[0], "to": bounds[1]}, "found": found},
        }  # fmt: skip
        digest = archive.finish(manifest)
    return Written(size=size, entries=len(leaves), manifest_digest=digest)


Bounds = tuple[str | None, str | None]


def _write_bundles(
    archive: _Archive,
    rows: Iterator[tuple[bytes, bytes]],
    size: int,
    leaves: _Leaves,
    kept: IO[bytes],
    lines: IO[bytes],
    page: Page,
    unsigned: list[bytes],
    bounds: Bounds,
) -> dict[str, str]:
    """Write the bundles of entries, and beside them what each entry is to people."""
    first = last = ""
    bundle: list[bytes] = []

    def flush() -> None:
        number = (len(leaves) - 1) // TILE_WIDTH
        archive.add(tile_name("entries", number, len(bundle)), map(_with_length, bundle))
        bundle.clear()

    for idx, (entry, leaf) in enumerate(rows):
        if idx >= size:
            unsigned.append(entry)
            continue
        bundle.append(entry)
        leaves.append(leaf)  # as it was logged: the verifier compares
        if len(bundle) == TILE_WIDTH:
            flush()
        line, _, content = entry.partition(b"\n")
        header, body = parse_leniently(line), parse_leniently(content)
        at = str(header.get("seq_time", "")) if isinstance(header, dict) else ""
        first, last = first or at, max(last, at)
        is_asked = _is_between(at, bounds)
        kept.write(_KEPT.pack(is_asked, len(entry)) + entry)
        if not is_asked:
            continue
        if isinstance(body, dict):
            lines.write(csv_line(idx, leaf.hex(), at, body))
        page.see(idx, at, body)
    if bundle:
        flush()
    return {"from": first, "to": last}


def _write_tiles(archive: _Archive, leaves: _Leaves) -> None:
    level, size = 0, len(leaves)
    while size:
        for start in range(0, size, TILE_WIDTH):
            end = min(start + TILE_WIDTH, size)
            content = leaves.levels[8 * level][start * HASH_BYTES : end * HASH_BYTES]
            archive.add(tile_name(level, start // TILE_WIDTH, end - start), [bytes(content)])
        level, size = level + 1, size // TILE_WIDTH


def tile_name(level: int | str, number: int, width: int) -> str:
    """Return where a tile is in a dossier (c2sp.org/tlog-tiles)."""
    path, rest = f"{number % 1000:03d}", number // 1000
    while rest:
        path, rest = f"x{rest % 1000:03d}/{path}", rest // 1000
    partial = f".p/{width}" if width < TILE_WIDTH else ""
    return f"log/tile/{level}/{path}{partial}"


def _provable(kept: IO[bytes], leaves: _Leaves) -> Iterator[bytes]:
    """Yield the lines of NDJSON, each with what proves it under the newest checkpoint."""
    kept.seek(0)
    root = base64.b64encode(leaves.root).decode()
    for idx in range(len(leaves)):
        is_asked, length = _KEPT.unpack(kept.read(_KEPT.size))
        entry = kept.read(length)
        if is_asked:
            yield provable_line(idx, entry, leaves.proof(idx), len(leaves), root)


def provable_line(
    idx: int, entry: bytes, proof: Sequence[bytes], size: int, root_base64: str
) -> bytes:
    """Return a line of NDJSON that can be proved alone, beside the checkpoint of that size."""
    try:
        exact = {"entry": entry.decode()}
    except UnicodeDecodeError:  # it was tampered with, and is shown as it is
        exact = {"entry_base64": base64.b64encode(entry).decode()}
    line = {
        "idx": idx, **exact, "leaf": leaf_hash(entry).hex(),
        "proof": list(map(_base64, proof)),
        "size": size, "root": root_base64,
    }  # fmt: skip
    return _encode(line).encode() + b"\n"


@lru_cache(maxsize=1 << 12)
def _base64(content: bytes) -> str:
    """Return base64; proofs of neighbours share most of their hashes."""
    return base64.b64encode(content).decode()


def _write_platform(archive: _Archive, connection: Connection) -> None:
    """Write the platform's entries that the controls need, each proved; none without a head."""
    head = reading.newest_checkpoint(connection, PLATFORM)
    if head is None:
        return
    query = (
        select(audit_entry.c.idx, audit_entry.c.entry)
        .where(audit_entry.c.tenant_id == PLATFORM, audit_entry.c.action.in_(_OF_PLATFORM))
        .where(audit_entry.c.idx < head.size)
        .order_by(audit_entry.c.idx)
    )
    hashes = TreeHashes(connection).of(PLATFORM)
    root = head.note.split("\n")[2]
    archive.add(
        "platform.ndjson",
        [
            provable_line(
                row.idx, bytes(row.entry), inclusion_proof(row.idx, head.size, hashes),
                head.size, root,
            )
            for row in connection.execute(query)
        ],
    )  # fmt: skip
    archive.add("platform/checkpoint", [head.note.encode()])


def _write_texts(
    archive: _Archive, keys: Sequence[Mapping[str, Any]], extras: Extras, page: Page
) -> None:
    schemas = {
        "documents": [schema_document(name) for name in sorted(ACTIONS)],
        "retired": sorted(RETIRED_SCHEMAS),
    }
    policy = [*(f"log {row['vkey']}" for row in keys), *extras.policy]
    verifier = files("control_plane.adapters.audit").joinpath("offline", "audit-verify.py")
    archive.add("schemas.json", [_canonical(schemas)])
    archive.add("keys.json", [_canonical({"keys": list(keys)})])
    archive.add("disclosures.json", [_canonical({"values": list(extras.disclosures)})])
    archive.add("trust.policy", ["".join(f"{line}\n" for line in policy).encode()])
    archive.add("audit-verify.py", [verifier.read_bytes()])
    archive.add("README.txt", [README.format(tree=page.tree, host=page.host).encode()])
    if extras.root is not None:
        archive.add("root.json", [_canonical(extras.root)])


def schema_document(name: str) -> dict[str, Any]:
    """Return the document whose digest an event of an action carries."""
    schema = ACTIONS[name]
    return {
        "body": BODY_VERSION, "name": name, "version": schema.version,
        "stages": sorted(schema.stages), "data": dict(schema.data),
        "personal": sorted(schema.personal),
    }  # fmt: skip


def _checkpoints(connection: Connection, tree: str) -> Iterator[tuple[int, str]]:
    """Yield the checkpoints that are kept, with the signature lines of witnesses."""
    query = (
        select(audit_checkpoint.c.size, audit_checkpoint.c.note, audit_checkpoint.c.cosigs)
        .where(audit_checkpoint.c.tenant_id == tree)
        .order_by(audit_checkpoint.c.size)
    )
    for row in connection.execute(query):
        yield row.size, row.note + "".join(f"{item['line']}\n" for item in row.cosigs)


def _keys(connection: Connection, trees: Sequence[str]) -> Iterator[dict[str, Any]]:
    query = select(audit_key).where(audit_key.c.tenant_id.in_(trees))
    for row in connection.execute(query.order_by("tenant_id", "from_size", "key_id")):
        yield {
            "tree": row.tenant_id, "vkey": row.vkey, "from_size": row.from_size,
            "to_size": row.to_size, "reason": row.reason,
        }  # fmt: skip


def _entries(connection: Connection, tree: str) -> Iterator[tuple[bytes, bytes]]:
    query = select(audit_entry.c.entry, audit_entry.c.leaf).where(audit_entry.c.tenant_id == tree)
    ordered = query.order_by(audit_entry.c.idx).execution_options(yield_per=_PAGE)
    for row in connection.execute(ordered):
        yield bytes(row.entry), bytes(row.leaf)


def _with_length(entry: bytes) -> bytes:
    return len(entry).to_bytes(2, "big") + entry


def _is_between(at: str, bounds: Bounds) -> bool:
    return (bounds[0] is None or bounds[0] <= at) and (bounds[1] is None or at <= bounds[1])


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def _canonical(value: Any) -> bytes:
    return canonical_json(value)
