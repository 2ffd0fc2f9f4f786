"""What the port of the audit log promises its readers: by the quiet one, and by that of SQL."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.audit.merkle import leaf_hash
from control_plane.adapters.audit.trail import SqlTrail
from control_plane.domain.errors import NotFound
from control_plane.ports.stores import AuditReader, Pressure
from tests.integration.audit_world import ACME, HOST, OTHER, Database, World
from tests.memory_tree import MemoryTree, verify_inclusion
from tests.quiet_trail import QuietTrail
from tests.storage import Storage

pytestmark = pytest.mark.timeout(120)

NOBODY = "ten_00000000000000000000000000"


@dataclass
class Bench:
    """A reader of a log, and who writes it: ``sign`` signs all that was recorded."""

    reader: AuditReader
    world: World
    sequence: Callable[[], object]
    sign: Callable[[], object]

    def record(self, count: int, tree: str = ACME, **changes: Any) -> list[str]:
        return self.world.record(count, tree, **changes)

    def events(
        self, tree: str = ACME, *, after: int = 0, limit: int = 100, action: str | None = None
    ) -> Sequence[tuple[int, str]]:
        found = self.reader.events(tree, after=after, limit=limit, action=action)
        return [(event["idx"], event["body"]["id"]) for event in found]


@pytest.fixture
def world(storage: Storage, tmp_path: Path) -> Iterator[World]:
    """A signer over the database of worlds."""
    made = World(Database(owner_url=storage.database.owner), tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["quiet", "sql"])
def bench(request: pytest.FixtureRequest, storage: Storage, world: World, tmp_path: Path) -> Bench:
    """Each reader in turn."""
    if request.param == "quiet":
        quiet = QuietTrail(storage.events)
        return Bench(
            quiet, world, sequence=lambda: None, sign=lambda: setattr(quiet, "note", "a note")
        )
    key = tmp_path / "audit.key.pub"
    key.write_bytes(world.key.public_pem())
    trail = SqlTrail(lambda: world.auditor, host=HOST, public_key=key)
    return Bench(trail, world, sequence=world.sequencer.sequence, sign=world.settle)


def test_the_events_of_a_tree_come_in_order(bench: Bench) -> None:
    ids = bench.record(5)
    bench.record(2, OTHER)
    bench.sign()
    assert bench.events() == list(enumerate(ids))
    assert bench.events(after=2) == list(enumerate(ids))[2:]
    assert bench.events(after=1, limit=2) == list(enumerate(ids))[1:3]
    assert bench.events(after=5) == []
    assert len(bench.events(OTHER)) == 2


def test_an_action_picks_events_that_keep_their_place(bench: Bench) -> None:
    first = bench.record(2)
    read = bench.record(2, action="log.read", data={}, approval=None)
    last = bench.record(1)
    bench.sign()
    assert bench.events(action="log.read") == [(2, read[0]), (3, read[1])]
    assert bench.events(action="log.read", after=3) == [(3, read[1])]
    given = [(0, first[0]), (1, first[1]), (4, last[0])]
    assert bench.events(action="decision.given") == given
    assert bench.events(action="decision.given", after=1, limit=1) == given[1:2]
    assert bench.events(action="decision") == []  # not by its beginning


def test_an_event_has_its_place_its_header_and_its_body(bench: Bench) -> None:
    bench.record(2)
    bench.sequence()
    for is_signed in (False, True):
        events = bench.reader.events(ACME, after=0, limit=10, action=None)
        for idx, event in enumerate(events):
            assert set(event) == {"idx", "leaf", "header", "body", "is_covered"}
            assert event["header"]["idx"] == event["idx"] == idx
            assert event["body"]["tenant"] == ACME
            assert event["body"]["action"] == "decision.given"
            assert event["is_covered"] is is_signed
            assert len(bytes.fromhex(event["leaf"])) == 32
        assert len(events) == 2
        bench.sign()


def test_a_tree_that_nobody_knows_has_nothing(bench: Bench) -> None:
    bench.record(1)
    bench.sign()
    assert bench.events(NOBODY) == []
    assert bench.reader.checkpoint(NOBODY) is None
    with pytest.raises(NotFound):
        bench.reader.proof(NOBODY, 0)
    for path in ("checkpoint", "tile/0/000.p/1", "tile/entries/000.p/1"):
        with pytest.raises(NotFound):
            bench.reader.tile(NOBODY, path)


def test_before_anything_is_signed_there_is_no_checkpoint_no_proof_and_no_tile(
    bench: Bench,
) -> None:
    bench.record(3)
    bench.sequence()
    assert len(bench.events()) == 3
    assert bench.reader.checkpoint(ACME) is None
    with pytest.raises(NotFound):
        bench.reader.proof(ACME, 0)
    for path in ("checkpoint", "tile/0/000.p/3", "tile/entries/000.p/3"):
        with pytest.raises(NotFound):
            bench.reader.tile(ACME, path)


def test_the_checkpoint_is_a_tile_too(bench: Bench) -> None:
    bench.record(3)
    bench.sign()
    note = bench.reader.checkpoint(ACME)
    assert note
    assert bench.reader.tile(ACME, "checkpoint") == note.encode()


def test_entries_hashes_and_proofs_fit_together(bench: Bench) -> None:
    bench.record(5)
    bench.sign()
    entries = list(unbundled(bench.reader.tile(ACME, "tile/entries/000.p/5")))
    leaves = [leaf_hash(entry) for entry in entries]
    assert bench.reader.tile(ACME, "tile/0/000.p/5") == b"".join(leaves)
    assert bench.reader.tile(ACME, "tile/0/000.p/2") == b"".join(leaves[:2])
    events = bench.reader.events(ACME, after=0, limit=10, action=None)
    assert [event["leaf"] for event in events] == [leaf.hex() for leaf in leaves]
    root = MemoryTree(leaves).root()
    for idx, leaf in enumerate(leaves):
        proof = bench.reader.proof(ACME, idx)
        assert set(proof) == {"idx", "size", "leaf", "hashes", "checkpoint"}
        assert (proof["idx"], proof["size"], proof["leaf"]) == (idx, 5, leaf.hex())
        assert proof["checkpoint"] == bench.reader.checkpoint(ACME)
        hashes = [base64.b64decode(each) for each in proof["hashes"]]
        assert verify_inclusion(idx, 5, leaf, root, hashes)


def unbundled(content: bytes) -> Iterator[bytes]:
    """Yield the entries of a bundle: each has its length before it, 16 bits, big-endian."""
    while content:
        size = int.from_bytes(content[:2], "big")
        yield content[2 : 2 + size]
        content = content[2 + size :]


@pytest.mark.parametrize("idx", [-1, 3, 10**9])
def test_there_is_no_proof_of_what_is_not_there(bench: Bench, idx: int) -> None:
    bench.record(3)
    bench.sign()
    with pytest.raises(NotFound):
        bench.reader.proof(ACME, idx)


@pytest.mark.parametrize(
    "path",
    ["", "tile/0/000", "tile/0/000.p/4", "tile/0/001.p/1", "tile/1/000.p/1", "tile/entries/000",
     "tile/0/000.p/0", "tile/9/000.p/1", "tile/0/../../etc/passwd", "TILE/0/000.p/1",
     "tile/0/1.p/1"],
)  # fmt: skip
def test_there_is_no_tile_that_the_checkpoint_does_not_cover_or_nobody_can_name(
    bench: Bench, path: str
) -> None:
    bench.record(3)
    bench.sign()
    with pytest.raises(NotFound):
        bench.reader.tile(ACME, path)


def test_a_log_that_is_whole_is_neither_faulty_nor_behind_nor_held(bench: Bench) -> None:
    bench.record(3)
    bench.sign()
    assert bench.reader.first_fault() == ""
    assert bench.reader.pressure() == Pressure()
