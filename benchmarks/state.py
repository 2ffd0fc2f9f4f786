"""Where states lie: two hundred resources made, and then nothing changed, in each state backend.

A bucket and a table are two milliseconds away (``relay.py``), as they are in a cloud; a folder is
not. Engine, program and cloud are the same for all, and they take turns: read the ratios. Beside
them runs the bare script on a folder, which has no checks and looks at nothing afterwards.

The bucket has an emulated cloud to itself: in one process, resources would wait for states. Neither
cloud keeps a journal, whose writes would be measured too.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import boto3
import httpx
import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks.figures import Figure, median_and_range
from benchmarks.many_groups import RESOURCES
from benchmarks.relay import relay
from benchmarks.site import REGION, Site
from control_plane.adapters.db import roles
from control_plane.adapters.postgres.server import SUPERUSER
from control_plane.adapters.pulumi.engine import Cloud, PulumiEngine
from control_plane.adapters.pulumi.runner_parent import RunnerParent
from control_plane.adapters.pulumi.runner_process import runner_environment
from control_plane.bootstrap import SOURCE
from control_plane.ports.engine import EngineCall, EngineEvent, GateAnswer

ROUNDS: Final = 3
ONE_WAY_SECONDS: Final = 0.001
TARGETS: Final = {"create": 1.3, "no-op": 1.15}
_REPEATED: Final = 2  # no-ops of a stack
_STEPS: Final = {"create": "create", "no-op": "same"}  # as the engine counts them
_CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
# what others have in a region makes a search there longer
_REGIONS: Final = {
    "file": REGION, "s3": "eu-west-2", "postgres": "eu-west-3", "bare": "eu-central-1"
}  # fmt: skip
_ACCOUNT: Final = "123456789012"
_PROGRAM: Final = "mode_b"
_STATES: Final = "states"  # the name of the bucket and of the database
_REGISTERED: Final = RESOURCES + 2  # the stack and its provider
_NAMES: Final = {"file": "a folder", "s3": "a bucket", "postgres": "a table", "bare": "bare script"}


class Took(NamedTuple):
    """What a call or a script took: ``cpu`` is that of all its processes, ``phases`` a call's."""

    wall: float
    cpu: float
    phases: Mapping[str, float]


def measure(site: Site, *, rounds: int = ROUNDS) -> list[Figure]:
    """Measure so many rounds, in which every backend has its turn with each of what is done."""
    found: dict[tuple[str, str], list[Took]] = defaultdict(list)
    with _ground(site.running.settings.home.absolute() / "state-bench", site) as ground:
        for number in range(rounds):
            ground.empty_cloud()
            turns = list(ground.works.items())
            turns = turns[number % len(turns) :] + turns[: number % len(turns)]
            for what in ("create", *["no-op"] * _REPEATED):
                for name, work in turns:
                    took = work(f"n{number}", what)
                    found[name, what].append(took)
                    print(f"  {what:7}{name:9}{took.wall:6.2f} s; {_further([took])}")
    return [*_seconds(found), *_ratios(found)]


def _seconds(found: Mapping[tuple[str, str], Sequence[Took]]) -> list[Figure]:
    return [
        Figure(
            name=f"{RESOURCES} resources, {what}, {_NAMES[name]}",
            value=statistics.median(each.wall for each in took), unit="s",
            detail=f"{median_and_range([each.wall for each in took])}; {_further(took)}",
            state_backend="file" if name == "bare" else name,
        )
        for what in TARGETS
        for name in _NAMES
        for took in [found[name, what]]
    ]  # fmt: skip


def _further(took: Sequence[Took]) -> str:
    """Say how much of the processor it took, and how long each phase; the script knows none."""
    cpu = statistics.median(each.cpu for each in took)
    phases = (
        f"{name} {statistics.median(each.phases[name] for each in took):.2f}"
        for name in took[0].phases
    )
    return ", ".join([f"CPU {cpu:.2f}", *phases])


def _ratios(found: Mapping[tuple[str, str], Sequence[Took]]) -> list[Figure]:
    figures = []
    for what, target in TARGETS.items():
        for name in ("s3", "postgres"):
            pairs = list(zip(found[name, what], found["file", what], strict=True))
            ratios = [there.wall / here.wall for there, here in pairs]
            cpu = statistics.median(there.cpu / here.cpu for there, here in pairs)
            figures.append(
                Figure(
                    name=f"{what}, {_NAMES[name]} over {_NAMES['file']}",
                    value=statistics.median(ratios), unit="", target=target,
                    detail=f"{median_and_range(ratios)}; CPU {cpu:.2f}", state_backend=name,
                )
            )  # fmt: skip
    return figures


# --- what works on a stack ---------------------------------------------------------------------
class _Ours:
    """The product's engine on one state backend."""

    def __init__(self, name: str, region: str, engine: PulumiEngine) -> None:
        self._name = name
        self._region = region
        self._engine = engine
        self._numbers = itertools.count(1)
        # what makes the runners' parent, and lays out a backend that nobody has used
        self._engine.plan(self._call("first"), on_events=lambda _: None)

    def __call__(self, stack: str, what: str) -> Took:
        """Create everything, or change nothing."""
        phases: dict[str, float] = {}

        def listen(events: Sequence[EngineEvent]) -> None:
            ended = (body for kind, body in events if kind == "phase" and "seconds" in body)
            phases.update({body["phase"]: body["seconds"] for body in ended})

        cpu, started = _runners_cpu(), time.perf_counter()
        result = self._engine.apply(
            self._call(stack),
            gate=lambda _: GateAnswer.PROCEED,
            on_applied=lambda _: None,
            on_events=listen,
            compares=False,
        )
        took = Took(time.perf_counter() - started, _runners_cpu() - cpu, phases)
        failed = [c for c in result.look.checks if not c.ok] if result.look else [result.error]
        if failed or result.summary.get(_STEPS[what]) != _REGISTERED:
            raise SystemExit(f"{self._name}: {result.outcome}, {result.summary}, {failed}")
        return took

    def _call(self, stack: str) -> EngineCall:
        return EngineCall(
            call_id=f"bench.{self._name}.{next(self._numbers)}",
            run_id=f"run_{stack}",
            deployment_id=f"dep_{self._name}",
            stack=f"{stack}.production.b",
            program=_PROGRAM,
            spec=_spec(stack, self._region),
            region=self._region,
            account_id=_ACCOUNT,
        )


def _runners_cpu() -> float:
    """Return the CPU seconds of all runners so far, with everything that they have started.

    They are children of their parent, which collects one that has ended when it starts another.
    """
    (parent,) = (p for p in psutil.Process().children() if "--serve" in p.cmdline())
    while True:
        with suppress(psutil.NoSuchProcess):  # collected just now, and counts with its parent
            return sum(sum(p.cpu_times()[:4]) for p in (parent, *parent.children()))


class _Bare:
    """The bare script, with its state in a folder."""

    def __init__(self, tree: Path, folder: Path, region: str, cli: Path, endpoint: str) -> None:
        self._tree = tree
        self._folder = folder
        self._region = region
        self._cli = cli
        self._environment = {**os.environ, **_CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}
        (folder / "state").mkdir(parents=True)

    def __call__(self, stack: str, what: str) -> Took:
        """Create everything, or change nothing."""
        order = {
            "stack": f"{stack}.production.b",
            "program": _PROGRAM,
            "spec": _spec(stack, self._region),
            # without notes beside each file, as the product has it
            "backend_url": f"file://{self._folder / 'state'}?metadata=skip",
            "folder": str(self._folder / stack),
            "cli": str(self._cli),
            "passphrase": "bench-passphrase",
        }
        cpu, started = _childrens_cpu(), time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.bare"], cwd=self._tree, env=self._environment,
            input=json.dumps(order), capture_output=True, text=True, check=False,
        )  # fmt: skip
        took = Took(time.perf_counter() - started, _childrens_cpu() - cpu, {})
        if done.returncode or json.loads(done.stdout).get(_STEPS[what]) != _REGISTERED:
            raise SystemExit(f"the bare script: {done.stdout} {done.stderr[-2000:]}")
        return took


def _childrens_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _spec(short: str, region: str) -> dict[str, Any]:
    """Return a spec of Mode B, whose place the program of many groups takes."""
    return {
        "schema_version": 1,
        "owner": {
            "tenant": "bench", "mode": "B", "environment": "production",
            "deployment": f"dep_{short}", "short": f"bench-{short}",
        },
        "region": region,
        "account_id": _ACCOUNT,
        "network": {"cidr": "10.80.0.0/16", "zones": [f"{region}a", f"{region}b"]},
    }  # fmt: skip


# --- what they work with -----------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class _Ground:
    """Who works, each with a stack and what to do, and how the cloud forgets what they made."""

    works: Mapping[str, Callable[[str, str], Took]]
    empty_cloud: Callable[[], None]


@contextmanager
def _ground(folder: Path, site: Site) -> Iterator[_Ground]:
    """Make the clouds and the state backends, and the product's engine on each of these."""
    (folder / "state").mkdir(parents=True)
    tree = _tree(folder / "tree")
    with ExitStack() as closing:
        cloud, bucket = (closing.enter_context(_cloud(tree)) for _ in range(2))
        targets = [urlsplit(bucket).netloc, _socket(site)]
        bucket_port, table_port = closing.enter_context(relay(ONE_WAY_SECONDS, targets))
        urls = {
            "file": f"file://{folder / 'state'}",
            "s3": _bucket_url(f"http://127.0.0.1:{bucket_port}"),
            "postgres": _table_url(site, table_port),
        }
        print(f"  a round trip to the table takes {1000 * _round_trip(urls['postgres']):.2f} ms")
        runners = RunnerParent(source=tree, environment=runner_environment(sandbox=True))
        closing.callback(runners.close)
        cli = site.parts._cli
        works: dict[str, Callable[[str, str], Took]] = {}
        for name, url in urls.items():
            engine = PulumiEngine(
                cli=cli,
                backend_url=url,
                calls_folder=folder / "calls",
                schemas=SOURCE / "stacks" / "schemas",
                runners=runners,
                secrets=site.parts.secrets,
                cloud=Cloud(provider="sandbox", endpoint=cloud),
            )
            works[name] = _Ours(name, _REGIONS[name], engine)
        works["bare"] = _Bare(tree, folder / "bare", _REGIONS["bare"], cli(), cloud)
        yield _Ground(works=works, empty_cloud=partial(_empty, cloud))


def _tree(tree: Path) -> Path:
    """Copy what the runner is made of, with the program of many groups in the place of Mode B's."""
    for package in ("stacks", "policies", "benchmarks"):
        leave_out = shutil.ignore_patterns("*.pyc.*", "mode_c_modules")  # a writer's unfinished
        shutil.copytree(SOURCE / package, tree / package, ignore=leave_out)
    shutil.copy(SOURCE / "benchmarks" / "many_groups.py", tree / "stacks" / "mode_b/__init__.py")
    return tree


@contextmanager
def _cloud(source: Path) -> Iterator[str]:
    """Run an emulated cloud that forgets; return where it is."""
    command = [sys.executable, "-m", "stacks.sandbox.cloud", "--port", "0", "--parent-stdin"]
    with subprocess.Popen(
        command, cwd=source, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        if process.stdout is None:
            raise TypeError("it is a pipe")
        yield json.loads(process.stdout.readline())["endpoint"]


def _empty(cloud: str) -> None:
    """Have an emulated cloud forget everything: what is in it makes its searches longer."""
    httpx.post(f"{cloud}/moto-api/reset", trust_env=False).raise_for_status()


def _bucket_url(endpoint: str) -> str:
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name=REGION,
        aws_access_key_id=_CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    client.create_bucket(Bucket=_STATES, CreateBucketConfiguration={"LocationConstraint": REGION})
    return f"s3://{_STATES}?region={REGION}&endpoint={endpoint}&s3ForcePathStyle=true"


def _socket(site: Site) -> str:
    """Return where the embedded PostgreSQL listens."""
    where = conninfo_to_dict(site.database_url)
    return f"{where['host']}/.s.PGSQL.{where['port']}"


def _table_url(site: Site, port: int) -> str:
    """Make a database of its own for states; return it as it is seen through the relay."""
    with psycopg.connect(
        site.database_url, user=SUPERUSER, dbname=SUPERUSER, autocommit=True
    ) as connection:
        connection.execute(f"CREATE DATABASE {_STATES} OWNER {roles.OWNER}")
    return f"postgres://{roles.OWNER}@127.0.0.1:{port}/{_STATES}?sslmode=disable"


def _round_trip(url: str) -> float:
    """Return the median of the seconds of a statement that does nothing."""
    seconds = []
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(50):
            started = time.perf_counter()
            connection.execute("SELECT")
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
