"""Witnesses by other authors: they cosign the root log, one is killed, and it catches up."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from control_plane.adapters.audit.cosignature import WitnessKey
from control_plane.adapters.audit.cosigned import newest_cosigned, newest_quorum
from control_plane.adapters.audit.exposure import verified_at
from control_plane.adapters.audit.note import VerifierKey, key_id
from control_plane.adapters.audit.trail import SqlTrail
from control_plane.adapters.audit.trustpolicy import parse_policy
from control_plane.adapters.pulumi.build import BuildFailed
from tests.integration.audit_world import HOST, World
from tests.integration.witness_scene import ORIGIN, WitnessScene
from tools import witness_software

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
OMNI, LITE = "omni.example/witness", "lite.example/witness"


@pytest.fixture(scope="module")
def programs() -> dict[str, Path]:
    """The programs, built once; without Go or a way to its modules these tests are skipped."""
    missing = [name for name in ("ssh-agent", "ssh-add", "ssh-keygen") if not shutil.which(name)]
    if missing:
        pytest.skip(f"litewitness keeps its key in an ssh-agent, and {missing[0]} is missing")
    try:
        return witness_software.ensure(print)
    except BuildFailed as error:
        pytest.skip(f"the witnesses of other authors cannot be built here: {error}")


class Program:
    """One witness: its line in a policy, and a process that can be killed and started again."""

    def __init__(self, name: str, key: WitnessKey, command: Callable[[int], list[str]]) -> None:
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.line = f"witness {name} {key} http://127.0.0.1:{self.port}"
        self._command = command(self.port)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with closing(socket.socket()) as tried:
                if tried.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None
            time.sleep(0.05)
        raise AssertionError("the witness does not listen")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None


def litewitness(programs: dict[str, Path], folder: Path, log: VerifierKey, agent: Path) -> Program:
    """Return a litewitness that knows the log; its key is in the agent."""
    key = folder / "lite"
    run = subprocess.run
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    run(["ssh-add", "-q", str(key)], check=True, env={"SSH_AUTH_SOCK": str(agent)})
    listed = run(["ssh-keygen", "-lf", str(key)], check=True, capture_output=True, text=True)
    database = str(folder / "lite.db")
    control = [str(programs["witnessctl"])]
    of_log = ["-db", database, "-origin", ORIGIN]
    run([*control, "add-log", *of_log], check=True)
    run([*control, "add-key", *of_log, "-key", str(log)], check=True)
    public = load_ssh_public_key(key.with_suffix(".pub").read_bytes())
    raw = public.public_bytes_raw()  # type: ignore[union-attr] - of an Ed25519 key
    return Program("lite", WitnessKey(name=LITE, public_key=raw), lambda port: [
        str(programs["litewitness"]), "-db", database, "-name", LITE, "-ssh-agent", str(agent),
        "-key", listed.stdout.split()[1], "-listen", f"127.0.0.1:{port}",
    ])  # fmt: skip


def omniwitness(programs: dict[str, Path], folder: Path, log: VerifierKey) -> Program:
    """Return an omniwitness that knows the log."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    secret = base64.b64encode(b"\x01" + key.private_bytes_raw()).decode()
    (folder / "omni.key").write_text(f"PRIVATE+KEY+{OMNI}+{key_id(OMNI, public).hex()}+{secret}")
    (folder / "logs.yaml").write_text(
        f"Logs:\n  - Origin: {ORIGIN}\n    PublicKey: {log}\n    URL: http://127.0.0.1:9/\n"
    )
    return Program("omni", WitnessKey(name=OMNI, public_key=public), lambda port: [
        str(programs["omniwitness"]), "-private_key_path", str(folder / "omni.key"),
        "-additional_logs", str(folder / "logs.yaml"), "-db_file", str(folder / "omni.db"),
        "-listen", f"127.0.0.1:{port}", "-metrics_listen", "",
    ])  # fmt: skip


@pytest.fixture
def two(
    programs: dict[str, Path], rooted: World, tmp_path: Path
) -> Iterator[tuple[WitnessScene, Program, Program]]:
    """Both programs, started, and who asks them."""
    short = tempfile.TemporaryDirectory(prefix="tp-")  # the path of a socket has 107 bytes
    agent_socket = Path(short.name) / "agent"
    agent = subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(agent_socket)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    scene = WitnessScene(rooted)
    for item in scene.witnesses:
        item.server.server_close()
    started: list[Program] = []
    try:
        deadline = time.monotonic() + 10
        while not agent_socket.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        log = VerifierKey(name=ORIGIN, public_key=rooted.key.public_key)
        started = [litewitness(programs, tmp_path, log, agent_socket),
                   omniwitness(programs, tmp_path, log)]  # fmt: skip
        for each in started:
            each.start()
        yield scene, started[0], started[1]
    finally:
        for each in started:
            each.kill()
        agent.kill()
        agent.wait(30)
        scene.engine.dispose()
        short.cleanup()


def ask(scene: WitnessScene, quorum: str, *programs: Program) -> None:
    """Let somebody who knows nothing ask them, with a quorum."""
    lines = [*(each.line for each in programs), f"group enough {quorum} lite omni", "quorum enough"]
    scene.policy = parse_policy("".join(f"{line}\n" for line in lines).encode())
    scene.asks = scene.asking()


def test_two_programs_of_other_authors_cosign_and_one_of_them_is_killed(
    two: tuple[WitnessScene, Program, Program], tmp_path: Path
) -> None:
    scene, lite, omni = two
    trail = SqlTrail(
        lambda: scene.world.auditor, host=HOST, public_key=tmp_path / "none",
        policy=lambda: scene.policy,
    )  # fmt: skip
    ask(scene, "2", lite, omni)
    scene.grow(3)
    found = scene.round()
    assert (found.cosigned, dict(found.faults)) == ({"lite", "omni"}, {})
    scene.grow(130)  # a proof over more than one tile
    found = scene.round()
    assert (found.size, found.cosigned, dict(found.faults)) == (266, {"lite", "omni"}, {})
    names = [item["name"] for item in scene.head(newest_quorum).cosigs]
    assert names == [LITE, OMNI]
    # each again, as after an hour
    scene.later = timedelta(hours=1, seconds=1)
    assert scene.round().cosigned == {"lite", "omni"}
    scene.later = timedelta()

    lite.kill()
    scene.grow(2)
    found = scene.round()
    assert (found.cosigned, dict(found.faults)) == ({"omni"}, {"lite": "not_reached"})
    assert scene.head(newest_quorum).size == 266  # two of two: it waits
    first = trail.exposure()
    assert first is not None
    assert first.exposed > timedelta(0)
    time.sleep(0.2)
    second = trail.exposure()
    assert second is not None
    assert second.exposed > first.exposed
    assert scene.head(newest_cosigned).size == 266  # what is served is what the quorum has seen

    ask(scene, "1", lite, omni)  # one of two: it goes on
    scene.grow(1)
    assert scene.round().cosigned == {"omni"}
    alone = trail.exposure()
    assert alone is not None
    assert (alone.size, alone.exposed) == (272, timedelta(0))

    ask(scene, "2", lite, omni)
    lite.start()
    scene.grow(1)
    found = scene.round()
    assert (found.size, found.cosigned, dict(found.faults)) == (274, {"lite", "omni"}, {})
    caught_up = trail.exposure()
    assert caught_up is not None
    assert (caught_up.size, caught_up.exposed, caught_up.problem) == (274, timedelta(0), "")
    assert verified_at(scene.head(newest_quorum), scene.policy) is not None
    assert scene.world.verify().exit_code == 0


def test_they_refuse_a_log_that_they_do_not_know_and_one_that_was_put_back(
    two: tuple[WitnessScene, Program, Program],
) -> None:
    scene, lite, omni = two
    ask(scene, "2", lite, omni)
    scene.grow(3)
    scene.round()
    scene.put_back(2)
    scene.asks = scene.asking()
    assert dict(scene.round().faults) == {"lite": "has_seen_more", "omni": "has_seen_more"}
    scene.rename("elsewhere.example/audit/root")
    scene.asks = scene.asking()
    # C2SP says 404 for both; these versions answer 403, and 500 where they keep a database
    assert dict(scene.round().faults) == {"lite": "key_not_trusted", "omni": "refused"}
