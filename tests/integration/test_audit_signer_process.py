"""The signer as a process of its own: its life, its end, and being killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.cosigned import newest_quorum
from control_plane.adapters.audit.keys import (
    create_key_file,
    load_key_file,
    load_public_keys,
    public_key_path,
)
from control_plane.adapters.audit.note import VerifierKey
from control_plane.adapters.audit.recorder import SqlAuditLog
from control_plane.adapters.audit.rotation import Order, order_rotation
from control_plane.adapters.db.roles import SEQUENCER
from tests.integration.audit_world import (
    ACME,
    OTHER,
    World,
    in_parallel,
    make_event,
)
from tests.scripted_witness import ScriptedWitness, witnessing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


CHILD = """
import json, os, sys
from dataclasses import asdict
from pathlib import Path
from control_plane.adapters.audit.signer_process import SignerConfig, run_signer
from control_plane.adapters.audit.trustpolicy import parse_policy
given = json.loads(sys.stdin.readline())
config = SignerConfig(
    database_url=given["url"], key_path=Path(given["key"]), journal_path=Path(given["journal"]),
    host="localhost", parent_pid=os.getppid(), busy_interval=0.02, idle_interval=0.1,
    root_interval=0.1, witness_interval=0.1, witnesses_on_loopback=True,
    policy=parse_policy(given["policy"].encode()) if given.get("policy") else None,
)
print("started", file=sys.stderr, flush=True)
sys.exit(run_signer(config))
"""


class SignerChild:
    """The signer as a process of its own, over the database of ``world``."""

    def __init__(self, world: World, folder: Path, *, create_key: bool = True) -> None:
        self.key_path = folder / "audit.key"
        if create_key and not self.key_path.exists():
            world.key = create_key_file(self.key_path)
        self.config = {
            "url": world.database.url(SEQUENCER),
            "key": str(self.key_path),
            "journal": str(folder / "child.journal"),
        }
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> SignerChild:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self.process.stdin.write(json.dumps(self.config) + "\n")
        self.process.stdin.flush()
        assert self.process.stderr.readline() == "started\n"
        return self

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        assert self.process is not None
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=60)
        return self.process.returncode, output


@pytest.fixture
def child(world: World, tmp_path: Path) -> Iterator[SignerChild]:
    child = SignerChild(world, tmp_path)
    yield child
    if child.process is not None:
        if child.process.poll() is None:
            child.process.kill()
        child.process.communicate()


def wait_until(is_true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.02)


def actions(world: World) -> list[str]:
    with world.auditor.begin() as connection:
        reading.limit_to(connection, ["platform"])
        events = reading.events_page(connection, "platform")
    return [str(item.body["action"]) for item in events if item.body is not None]


def test_the_process_connects_as_one_that_notices_a_server_that_vanished(
    world: World, child: SignerChild
) -> None:
    child.start()
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tenantplane signer'"
        " AND usename = 'tenantplane_sequencer' AND datname = current_database()"
    )
    engine = world.database.engine(SEQUENCER)

    def is_there() -> bool:
        with engine.connect() as connection:  # anew: a transaction keeps what it saw of sessions
            return bool(connection.execute(query).scalar_one())

    wait_until(is_there)
    engine.dispose()
    assert child.end()[0] == 0


def test_the_process_signs_what_is_written_and_tells_of_itself(
    world: World, child: SignerChild
) -> None:
    child.start()
    ids = world.record(10)
    wait_until(lambda: len(world.notes()) > 0 and world.pending() == 0)
    code, _ = child.end()
    assert code == 0
    assert actions(world) == ["key.created", "log.started", "log.stopped"]
    child.start()
    wait_until(lambda: len(actions(world)) == 4)
    assert child.end()[0] == 0
    assert actions(world)[3:] == ["log.started", "log.stopped"]
    assert [item[2] for item in world.logged(ACME)] == ids
    report = world.verify()
    assert report.exit_code == 0
    assert all(tree.covered == tree.entries for tree in report.trees)


def test_killing_the_process_again_and_again_loses_no_event(
    world: World, child: SignerChild
) -> None:
    acknowledged: list[str] = []
    is_over = threading.Event()
    waiting: list[int] = []  # events that the killed process left behind

    def write(writer: int) -> None:
        n = 0
        while not is_over.wait(0.01):
            n += 1
            made = make_event(writer * 100_000 + n, (ACME, OTHER)[n % 2])
            with world.app.begin() as connection:
                SqlAuditLog(connection).record(made)
            acknowledged.append(made.id)

    def kill(_: int) -> None:
        try:
            for n in range(4):
                child.start()
                time.sleep(0.2 + 0.13 * n)
                assert child.end(signal.SIGKILL)[0] == -signal.SIGKILL
                waiting.append(world.pending())
        finally:
            is_over.set()

    in_parallel(3, lambda number: kill(number) if number == 0 else write(number))
    assert any(waiting)
    starts = actions(world).count("log.started")
    child.start()
    wait_until(lambda: actions(world).count("log.started") > starts and world.pending() == 0)
    assert child.end()[0] == 0
    logged = [item[2] for item in world.logged() if item[0] != "platform"]
    assert sorted(logged) == sorted(acknowledged)
    report = world.verify()
    assert report.exit_code == 0, report.to_text()
    assert all(tree.covered == tree.entries for tree in report.trees)


def test_the_process_ends_with_its_parent(world: World, child: SignerChild) -> None:
    middle = subprocess.Popen(
        [sys.executable, "-c", MIDDLE, CHILD, json.dumps(child.config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert middle.stdout is not None
    signer = psutil.Process(int(middle.stdout.readline()))
    wait_until(lambda: "log.started" in actions(world))
    middle.kill()
    middle.communicate()
    signer.wait(60)
    wait_until(lambda: "log.stopped" in actions(world))


MIDDLE = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, text=True)
print(child.pid, flush=True)
child.stdin.write(sys.argv[2] + "\\n"); child.stdin.flush()
child.wait()
"""


def test_the_process_refuses_a_key_that_others_can_read(world: World, child: SignerChild) -> None:
    child.key_path.chmod(0o640)
    child.start()
    assert child.process is not None
    output, _ = child.process.communicate(timeout=60)
    assert child.process.returncode == 1
    assert "open to others (0640)" in output
    assert "PRIVATE KEY" not in output


def test_the_process_refuses_a_journal_in_use(
    world: World, child: SignerChild, tmp_path: Path
) -> None:
    child.start()
    second = SignerChild(world, tmp_path).start()
    assert second.process is not None
    output, _ = second.process.communicate(timeout=60)
    assert second.process.returncode == 1
    assert "another signer uses this journal" in output


def test_the_process_waits_for_a_database_that_is_away(world: World, child: SignerChild) -> None:
    url = child.config["url"]
    child.config["url"] = url.replace("port=5432", "port=5433")
    child.start()
    time.sleep(1)
    code, output = child.end()
    assert code == 0
    assert "database_operationalerror" in output
    assert "5433" not in output


def test_the_process_asks_witnesses_and_ends_while_one_hangs(rooted: World, tmp_path: Path) -> None:
    witness, hanging = ScriptedWitness("w1"), ScriptedWitness("w2")
    answered = threading.Event()
    hanging.fault = lambda _, real: (answered.wait(60), real())[1]
    child = SignerChild(rooted, tmp_path)
    key = VerifierKey(name="localhost/audit/root", public_key=rooted.key.public_key)
    witness.logs = hanging.logs = [key]
    child.config["policy"] = f"{witness.line}\n{hanging.line}\nquorum w1\n"
    with witnessing(witness, hanging):
        child.start()
        rooted.record(3)

        def is_cosigned() -> bool:
            with rooted.auditor.connect() as connection:
                reading.limit_to(connection, ["root"])
                return newest_quorum(connection) is not None

        wait_until(is_cosigned)
        code, _ = child.end()  # the answer that is still awaited is given up
        answered.set()
        assert code == 0
    assert witness.seen["localhost/audit/root"].size > 0
    assert rooted.verify().exit_code == 0


def test_the_process_takes_the_next_key_at_its_start_and_goes_on(
    rooted: World, tmp_path: Path
) -> None:
    child = SignerChild(rooted, tmp_path)
    child.start()
    rooted.record(3)
    wait_until(lambda: len(rooted.notes()) > 0)
    assert child.end()[0] == 0
    new = order_rotation(child.key_path, Order(user="ida", is_compromised=True))
    child.start()
    wait_until(lambda: "key.revoked" in actions(rooted))
    rooted.record(2)
    wait_until(lambda: rooted.pending() == 0)
    code, said = child.end()
    assert code == 0
    assert "signer.key_rotated" in said
    assert load_key_file(child.key_path).public_key == new.public_key
    assert actions(rooted) == [
        "key.created", "log.started", "log.stopped",  # the key before
        "key.rotated", "log.started", "key.revoked",
        "log.started", "log.stopped",  # the new one
    ]  # fmt: skip
    report = rooted.verify(keys=load_public_keys(public_key_path(child.key_path)))
    assert report.exit_code == 0, report.to_text()
