"""Names of what cannot be undone: asked for at a terminal, given as options by a program."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Callable

import pytest

from control_plane.cli.errors import FAILED, REFUSED, USAGE
from control_plane.domain.actor import Role
from control_plane.domain.run import RunStatus
from tests.unit.cli.terminal import Answer, Terminal
from tests.unit.cli.test_cli_approvals import follow, shown
from tests.unit.cli.test_cli_removals import named, ready
from tests.workflows.deciding import OTTO, Site

ADMIN, OPS = Role.PLATFORM_ADMIN, Role.OPS_APPROVER
TABLE = "aws:dynamodb/table:Table"
REASON = ("--reason", "read it")
Types = Callable[..., None]


class Typist(io.StringIO):
    """What somebody types at a terminal, line by line."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Types:
    """Let somebody sit at the terminal and type lines."""

    def sit(*lines: str) -> None:
        monkeypatch.setattr("sys.stdin", Typist("".join(f"{line}\n" for line in lines)))

    return sit


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sits at the terminal, however the tests are started."""
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.fixture
def site(tenantctl: Terminal) -> Site:
    """A plan that deletes two tables, one with an odd name, and waits for two people."""
    site = Site(tenantctl.world)
    site.more = {(TABLE, "one"): {"name": "one"}, (TABLE, "it's two"): {"name": "two"}}
    site.change()
    site.world.approve(site.run_id)
    site.more = {}
    site.change()
    follow(tenantctl, site)
    return site


def typed_again(tenantctl: Terminal, answer: Answer, who: Role, code: int = 0) -> Answer:
    """Type the command that a refusal printed."""
    (line,) = [x.strip() for x in answer.err.splitlines() if x.strip().startswith("tenantctl ")]
    return tenantctl(*shlex.split(line)[1:], who=who, code=code)


def test_who_sits_there_reads_the_plan_and_names_each_thing(
    tenantctl: Terminal, site: Site, types: Types
) -> None:
    types("y", "it's too", "it's two", "one")  # one slip costs nothing
    out = tenantctl("approval", "approve", site.approval.id, *REASON, who=OPS).out
    assert "RISK  irreversible" in out
    assert f"CANNOT BE UNDONE  delete  {TABLE}  one" in out
    assert "nothing is applied until another person approves" in out
    (given,) = shown(tenantctl, site)["decisions"]
    assert len(given["acknowledged"]) == 2


@pytest.mark.parametrize(
    ("lines", "code", "words"),
    [
        (("y", "it's two", "wan", "won", "wan"), USAGE, "'wan' is not 'one'; nothing was decided"),
        (("y", "it's two"), FAILED, "Abort"),
        (("n",), FAILED, "Abort"),
    ],
)
def test_another_name_or_none_decides_nothing(
    tenantctl: Terminal, site: Site, types: Types, lines: tuple[str, ...], code: int, words: str
) -> None:
    types(*lines)
    given = tenantctl("approval", "approve", site.approval.id, *REASON, who=OPS, code=code)
    assert words in given.err
    assert shown(tenantctl, site)["decisions"] == []


@pytest.mark.usefixtures("nobody")
def test_a_program_without_a_digest_is_given_the_command(tenantctl: Terminal, site: Site) -> None:
    approve = ("approval", "approve", site.approval.id, "--reason", "it's fine")
    refused = tenantctl(*approve, who=OPS, code=USAGE)
    assert "give the digest of the plan that you read, and the name of each thing" in refused.err
    found = json.loads(tenantctl(*approve, "--json", who=OPS, code=USAGE).err)
    assert found["command"] in refused.err
    assert shown(tenantctl, site)["decisions"] == []
    typed_again(tenantctl, refused, OPS)
    (given,) = shown(tenantctl, site)["decisions"]
    assert (given["reason"], len(given["acknowledged"])) == ("it's fine", 2)
    site.decide(OTTO)
    site.world.work()
    assert site.run.status is RunStatus.APPLIED


@pytest.mark.usefixtures("nobody")
def test_a_program_that_left_out_a_name_is_given_the_command(
    tenantctl: Terminal, site: Site
) -> None:
    digest = ("--digest", site.approval.plan_digest)
    given = ("approval", "approve", site.approval.id, *digest, *REASON)
    refused = tenantctl(*given, "--tick", "one", "--tick", "three", who=OPS, code=REFUSED)
    assert "not acknowledged: it's two" in refused.err
    problem = json.loads(tenantctl(*given, "--json", who=OPS, code=REFUSED).err)
    assert problem["code"] == "not_acknowledged"
    assert problem["command"].endswith("--reason 'read it'")
    typed_again(tenantctl, refused, OPS)
    assert shown(tenantctl, site)["approvals"] == 1


@pytest.mark.usefixtures("nobody")
def test_a_rejection_needs_no_names(tenantctl: Terminal, site: Site) -> None:
    refused = tenantctl("approval", "reject", site.approval.id, *REASON, who=OPS, code=USAGE)
    assert "--acknowledge" not in refused.err
    typed_again(tenantctl, refused, OPS)
    assert site.run.status is RunStatus.REJECTED


def test_the_page_and_the_list_count_people(tenantctl: Terminal, site: Site) -> None:
    site.decide(OTTO)
    row = tenantctl("approval", "list", "--status", "waiting", who=OPS).out.splitlines()[1]
    assert row.split("  ")[2] == "1 of 2"
    page = tenantctl("approval", "show", site.approval.id, "--brief", who=OPS).out
    assert "people who approve  1 of 2" in page
    run = tenantctl("run", "show", site.run_id, who=OPS).out
    assert "waits for decisions on its plan: 1 of 2 people approved" in run
    (line,) = [x for x in page.splitlines() if x.startswith("tenantctl approval approve")]
    assert shlex.split(line)[-6:-2] == ["--acknowledge", "it's two", "--acknowledge", "one"]


# --- removals ----------------------------------------------------------------------------------
def test_who_removes_is_asked_for_what_is_protected(tenantctl: Terminal, types: Types) -> None:
    slug = ready(tenantctl)
    names = named(tenantctl, slug)[1::2]
    assert names
    types(*names)
    out = tenantctl("tenant", "remove", slug, *REASON, who=ADMIN).out
    assert f"PROTECTED  {names[0]}" in out
    assert "step 1 of 10" in out


def test_another_name_requests_no_removal(tenantctl: Terminal, types: Types) -> None:
    slug = ready(tenantctl)
    types("no", "no", "no")
    refused = tenantctl("tenant", "remove", slug, *REASON, who=ADMIN, code=USAGE)
    assert "nothing was requested" in refused.err
    assert tenantctl("tenant", "show", slug, "--json").json["saga_id"] is None


def test_what_is_refused_anyway_asks_for_no_name(tenantctl: Terminal, types: Types) -> None:
    slug = ready(tenantctl)
    tenantctl("tenant", "hold", slug, "--kind", "pause", *REASON, who=OPS)
    types()
    refused = tenantctl("tenant", "remove", slug, *REASON, who=ADMIN, code=REFUSED)
    assert "PROTECTED" not in refused.out
    assert "removal_on_hold" in refused.err


@pytest.mark.usefixtures("nobody")
def test_a_program_that_names_nothing_is_given_the_command(tenantctl: Terminal) -> None:
    slug = ready(tenantctl)
    dry = tenantctl("tenant", "remove", slug, *REASON, "--dry-run", who=ADMIN).out
    refused = tenantctl(
        "tenant", "remove", slug, *REASON, "--unprotect", "what", who=ADMIN, code=REFUSED
    )  # fmt: skip
    (line,) = [x.strip() for x in refused.err.splitlines() if x.startswith("  tenantctl ")]
    assert f"to remove it: {line}" in dry
    typed_again(tenantctl, refused, ADMIN)
    assert tenantctl("tenant", "show", slug, "--json").json["saga_id"] is not None
