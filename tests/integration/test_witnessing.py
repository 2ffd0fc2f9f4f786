"""Witnesses of the root log: what is asked, what is stored, and what a crash leaves."""

from __future__ import annotations

import base64
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import Connection, NullPool, delete, event, select, text, update
from sqlalchemy.exc import DBAPIError

from control_plane.adapters.audit.addcheckpoint import MOST_OF_ANSWER
from control_plane.adapters.audit.cosigned import newest_cosigned, newest_quorum
from control_plane.adapters.audit.note import VerifierKey, open_checkpoint
from control_plane.adapters.audit.witnessing import Round
from control_plane.adapters.db.audit_tables import (
    audit_checkpoint,
    audit_entry,
)
from control_plane.adapters.db.roles import APP, AUDITOR, SEQUENCER
from control_plane.domain.deployment import ROOT
from tests.integration.audit_world import Database
from tests.integration.witness_scene import ORIGIN, WitnessScene
from tests.scripted_witness import SIZE_KIND, Answer, ScriptedWitness

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def test_both_witnesses_cosign_the_newest_head_and_it_is_served_with_their_lines(
    scene: WitnessScene,
) -> None:
    scene.grow()
    assert scene.round() == Round(size=2, cosigned=frozenset({"w1", "w2"}), faults={})
    scene.grow(4)
    before = datetime.now(UTC)
    assert scene.round().cosigned == {"w1", "w2"}
    found = scene.head(newest_quorum)
    assert found.size == 10
    assert abs(found.quorum_at - before) < timedelta(seconds=30)
    key = VerifierKey(name=ORIGIN, public_key=scene.world.key.public_key)
    served = found.served()
    assert open_checkpoint(served, [key]).size == 10
    lines = served.partition("\n\n")[2].split("\n")
    assert sorted(line.split(" ")[1] for line in lines if line) == [ORIGIN, "w1", "w2"]
    assert all(item.seen[ORIGIN].size == 10 for item in scene.witnesses)
    # first the whole log is unknown to them; later a proof from what they know
    assert [body.split("\n")[0] for body in scene.witnesses[0].asked] == ["old 0", "old 2"]
    # the heads in between were shown to nobody
    assert scene.world.verify().exit_code == 0


def test_an_unchanged_head_is_cosigned_again_after_an_hour_and_no_sooner(
    scene: WitnessScene,
) -> None:
    scene.grow()
    scene.round()
    first = scene.head(newest_quorum).quorum_at
    assert scene.round().cosigned == frozenset()
    scene.later = timedelta(hours=1, seconds=1)
    for item in scene.witnesses:
        item.clock = lambda: time.time() + 3601
    assert scene.round().cosigned == {"w1", "w2"}
    again = scene.head(newest_quorum)
    assert again.quorum_at - first > timedelta(minutes=59)
    assert len(again.cosigs) == 2  # the newest of each


def test_who_asks_anew_learns_from_the_witness_what_it_has_seen(scene: WitnessScene) -> None:
    scene.grow(3)
    scene.round()
    scene.grow(2)
    scene.asks = scene.asking()
    assert scene.round() == Round(size=10, cosigned=frozenset({"w1", "w2"}), faults={})
    assert [body.split("\n")[0] for body in scene.witnesses[1].asked] == ["old 0", "old 0", "old 6"]


def test_one_witness_that_is_gone_stops_no_other_and_catches_up(scene: WitnessScene) -> None:
    gone, there = scene.witnesses
    scene.grow()
    gone.fault = lambda _, __: (503, {"retry-after": "7"}, b"")
    found = scene.round()
    assert (found.cosigned, dict(found.faults)) == ({"w2"}, {"w1": "unavailable"})
    assert scene.faults() == {"w1": "unavailable", "w2": None}
    assert scene.head(newest_quorum) is None
    assert len(scene.head(newest_cosigned).cosigs) == 1
    scene.grow()
    scene.now += 6.9  # it asked for 7 seconds
    assert len(gone.asked) == 1
    assert scene.asks.round().cosigned == {"w2"}
    assert len(gone.asked) == 1
    gone.fault = None
    scene.now += 0.2
    assert scene.asks.round() == Round(size=4, cosigned=frozenset({"w1"}), faults={})
    assert scene.head(newest_quorum).size == 4
    assert scene.faults() == {"w1": None, "w2": None}
    assert len(there.asked) == 2


def test_a_witness_that_fails_is_asked_later_each_time(scene: WitnessScene) -> None:
    scene.witnesses[0].fault = lambda _, __: (500, {}, b"")
    scene.grow()
    asked_at = []
    while scene.now < 400:
        before = len(scene.witnesses[0].asked)
        scene.asks.round()
        if len(scene.witnesses[0].asked) > before:
            asked_at.append(scene.now)
        scene.now += 1
    assert asked_at == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363]


def hang(_: str, __: Callable[[], Answer]) -> Answer:
    time.sleep(1.5)
    return 200, {}, b""


def flood(_: str, real: Callable[[], Answer]) -> Answer:
    status, headers, content = real()
    return status, headers, content * (MOST_OF_ANSWER // len(content) + 2)


def shortened(_: str, real: Callable[[], Answer]) -> Answer:
    return 200, {}, real()[2][:-5]


def of_another_head(body: str, real: Callable[[], Answer]) -> Answer:
    line = real()[2].decode()
    name, blob = line.split(" ")[1:]
    changed = bytearray(base64.b64decode(blob))
    changed[20] ^= 1
    return 200, {}, f"— {name} {base64.b64encode(changed).decode()}\n".encode()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda _, __: (404, {}, b"unknown log\n"), "log_not_known"),
        (lambda _, __: (403, {}, b"no\n"), "key_not_trusted"),
        (lambda _, __: (422, {}, b"no\n"), "inconsistent"),
        (lambda _, __: (400, {}, b"no\n"), "bad_request"),
        (lambda _, __: (429, {"retry-after": "3"}, b""), "too_many_requests"),
        (lambda _, __: (502, {}, b""), "refused"),
        (lambda _, __: (302, {"location": "http://127.0.0.1/"}, b""), "redirect_refused"),
        (lambda _, __: (409, {}, b"a size\n"), "refused"),
        (lambda _, __: (409, SIZE_KIND, b"99\n"), "has_seen_more"),
        (lambda _, __: (409, SIZE_KIND, b"2\n"), "has_seen_another"),
        (lambda _, __: (200, {}, b""), "broken_answer"),
        (lambda _, __: (200, {}, b"\xff\n"), "broken_answer"),
        (lambda _, __: (200, {}, b"hello\n"), "wrong_signature"),
        (lambda _, real: (200, {}, b"\n" + real()[2]), "wrong_signature"),
        (lambda _, real: (202, {}, real()[2]), "broken_answer"),
        (shortened, "broken_answer"),
        (of_another_head, "wrong_signature"),
        (flood, "broken_answer"),
        (hang, "timeout"),
    ],
)  # fmt: skip
def test_what_a_witness_does_wrong_is_named_and_leaves_no_cosignature(
    scene: WitnessScene, fault: Callable[[str, Callable[[], Answer]], Answer], said: str
) -> None:
    scene.grow()
    scene.witnesses[0].fault = fault
    scene.asks = scene.asking(seconds=0.7 if fault is hang else 5)
    found = scene.round()
    assert (found.cosigned, dict(found.faults)) == ({"w2"}, {"w1": said})
    assert [item["name"] for item in scene.head().cosigs] == ["w2"]
    assert scene.faults() == {"w1": said, "w2": None}


def test_lines_of_unknown_keys_and_other_kinds_are_left_out(scene: WitnessScene) -> None:
    stranger = ScriptedWitness("stranger")
    stranger.server.server_close()
    large = base64.b64encode(bytes(4 + 8 + 2420)).decode()  # as long as one of ML-DSA-44

    def more(body: str, real: Callable[[], Answer]) -> Answer:
        text_of = body.partition("\n\n")[2].partition("\n\n")[0] + "\n"
        others = f"— w1 {large}\n{stranger.cosign(text_of)}"
        return 200, {}, others.encode() + real()[2]

    scene.grow()
    scene.witnesses[0].fault = more
    assert scene.round().cosigned == {"w1", "w2"}
    assert sorted(item["name"] for item in scene.head().cosigs) == ["w1", "w2"]


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_cosignature_that_is_dated_wrongly_does_not_count(
    scene: WitnessScene, minutes: int
) -> None:
    scene.grow()
    scene.witnesses[1].clock = lambda: time.time() + 60 * minutes
    assert dict(scene.round().faults) == {"w2": "wrong_time"}


def test_a_root_log_that_was_put_back_is_noticed_by_who_has_seen_more(scene: WitnessScene) -> None:
    scene.grow(5)
    scene.round()
    scene.put_back(4)
    found = scene.round()
    assert (found.size, dict(found.faults)) == (
        4, {"w1": "has_seen_more", "w2": "has_seen_more"}
    )  # fmt: skip


def test_without_hashes_nobody_is_asked_and_it_is_said(scene: WitnessScene) -> None:
    scene.grow(2)
    scene.round()
    scene.grow(1)
    scene.world.database.attack(
        lambda c: c.execute(
            delete(audit_entry).where(audit_entry.c.tenant_id == ROOT, audit_entry.c.idx == 1)
        )
    )
    assert set(scene.round().faults.values()) == {"hashes_missing"}


def test_a_log_without_a_head_asks_nobody(scene: WitnessScene) -> None:
    assert scene.round() == Round()


# --- crashes ------------------------------------------------------------------------------------
def ask_and_die(scene: WitnessScene, statement: int, kind: str) -> bool:
    """Make a round in a child that is killed at its n-th statement or commit; tell whether it was.

    Statements of both threads' answers are of one thread: the round's.
    """
    pid = os.fork()
    if pid:
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    scene.engine = scene.world.database.engine(SEQUENCER, poolclass=NullPool)
    left = statement

    def reached(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(scene.engine, kind, reached)
    scene.now += 3600
    scene.asking().round()
    os._exit(0)


@pytest.mark.parametrize("kind", ["before_cursor_execute", "commit"])
def test_a_crash_at_any_statement_of_a_round_loses_no_head(scene: WitnessScene, kind: str) -> None:
    points, was_killed = 0, True
    while was_killed:
        scene.grow()
        points += 1
        scene.engine.dispose()
        was_killed = ask_and_die(scene, points, kind)
        served = scene.head(newest_cosigned)
        key = VerifierKey(name=ORIGIN, public_key=scene.world.key.public_key)
        assert open_checkpoint(served.served(), [key]).size == served.size
        scene.asks = scene.asking()
        found = scene.round()
        assert not found.faults  # a witness that had cosigned and was not heard does it again
        whole = scene.head(newest_quorum)
        assert (whole.size, len(whole.cosigs)) == (scene.head().size, 2)
    assert points > {"before_cursor_execute": 8, "commit": 3}[kind]
    assert scene.world.verify().exit_code == 0


# --- what the database refuses ------------------------------------------------------------------
def test_the_newest_head_of_a_quorum_is_never_thinned(scene: WitnessScene) -> None:
    hour = (datetime.now(UTC) - timedelta(days=3)).replace(minute=0, second=0)
    scene.grow(1)
    scene.round()
    scene.grow(3)
    shown = scene.head(newest_quorum).size

    def backdate(connection: Connection) -> None:
        of_root = audit_checkpoint.c.tenant_id == ROOT
        for row in connection.execute(select(audit_checkpoint.c.size).where(of_root)).all():
            at = hour + timedelta(minutes=row.size)
            connection.execute(
                update(audit_checkpoint)
                .where(of_root, audit_checkpoint.c.size == row.size)
                .values(signed_at=at)
            )

    scene.world.database.attack(backdate)
    scene.world.publisher.thin()
    query = select(audit_checkpoint.c.size).where(audit_checkpoint.c.tenant_id == ROOT)
    sizes = scene.world.database.attack(lambda c: sorted(c.execute(query).scalars()))
    assert sizes == [shown, 8]


REFUSED = [
    (SEQUENCER, "UPDATE audit_checkpoint SET quorum_at = NULL WHERE tenant_id = 'root'"),
    (SEQUENCER, "UPDATE audit_checkpoint SET quorum_at = signed_at - interval '1 day'"),
    (SEQUENCER, "UPDATE audit_checkpoint SET cosigs = '[]' WHERE tenant_id = 'root'"),
    (SEQUENCER, "UPDATE audit_checkpoint SET cosigs = '[{}]' WHERE tenant_id <> 'root'"),
    (SEQUENCER, "UPDATE audit_checkpoint SET quorum_at = now(), cosigs = '[{}]'"),
    (SEQUENCER, "UPDATE audit_checkpoint SET note = 'x'"),
    (SEQUENCER, "DELETE FROM audit_witness"),
    (SEQUENCER, "INSERT INTO audit_witness (name, size) VALUES ('x', 3)"),
    (SEQUENCER, "INSERT INTO audit_witness (name, fault) VALUES ('x', 'y')"),
    (APP, "SELECT * FROM audit_witness"),
    (APP, "UPDATE audit_checkpoint SET cosigs = '[]'"),
    (AUDITOR, "INSERT INTO audit_witness (name) VALUES ('x')"),
    (AUDITOR, "UPDATE audit_witness SET fault = NULL, fault_since = NULL"),
    (AUDITOR, "UPDATE audit_checkpoint SET cosigs = '[]'"),
]  # fmt: skip


def test_the_database_refuses_what_nobody_may_do_with_cosignatures(
    scene: WitnessScene, audit_database: Database
) -> None:
    scene.grow()
    scene.round()
    for role, statement in REFUSED:
        engine = audit_database.engine(role, poolclass=NullPool)
        with pytest.raises(DBAPIError) as refused, engine.begin() as connection:
            connection.execute(text(statement))
        assert isinstance(refused.value.orig, psycopg.Error), statement
    assert scene.head(newest_quorum).size == 2
