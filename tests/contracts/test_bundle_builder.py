"""What the port of the bundle builder promises: by the scripted one, and by that of Terraform."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from control_plane.domain.errors import BundleInvalid, InvalidInput
from control_plane.ports import Json
from control_plane.ports.bundles import BuiltBundle, BundleBuilder, BundleOrder
from control_plane.ports.engine import EngineEvent
from tests.scripted_builder import ScriptedBuilder
from tests.terraform.conftest import toolchain  # noqa: F401 - a fixture that is asked for by name
from tests.terraform.shipped import ABSENT, MODULES, builder, order

pytestmark = pytest.mark.timeout(120)


@dataclass
class Bench:
    """A builder and what its builds told. ``failing`` is the check that fails, if one does."""

    builder: BundleBuilder
    failing: str = ""
    events: list[EngineEvent] = field(default_factory=list)

    def listen(self, events: Sequence[EngineEvent]) -> None:
        self.events.extend(events)

    def build(self, wanted: BundleOrder) -> BuiltBundle:
        return self.builder.build(wanted, on_events=self.listen)


@pytest.fixture(params=["scripted", "terraform"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """Each builder in turn; the real one without the command, which makes it quick."""
    if request.param == "scripted":
        return Bench(ScriptedBuilder())
    return Bench(builder(tmp_path, binary=ABSENT))


@pytest.fixture(params=["scripted", pytest.param("terraform", marks=pytest.mark.slow)])
def failing(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """Each builder with a check that fails; the real one has modules that Terraform refuses."""
    if request.param == "scripted":
        scripted = ScriptedBuilder()
        scripted.failing_checks.add("validate")
        return Bench(scripted, failing="validate")
    found = request.getfixturevalue("toolchain")
    modules = tmp_path / "modules"
    shutil.copytree(MODULES, modules)
    (modules / "main.tf").write_text("resource {\n")
    made = builder(tmp_path, modules=modules, binary=str(found.binary), mirror=found.mirror.folder)
    return Bench(made, failing="init")


def test_the_same_order_gives_the_same_bytes(bench: Bench) -> None:
    one, other = bench.build(order()), bench.build(order())
    assert one.archive == other.archive
    assert one.archive_digest == other.archive_digest
    assert one.content_digest == other.content_digest


def test_the_archive_is_named_and_known_by_its_digest(bench: Bench) -> None:
    built = bench.build(order(3))
    assert built.archive_name == "hub-dainese-3.tar.gz"
    assert built.archive_digest == f"sha256:{hashlib.sha256(built.archive).hexdigest()}"
    assert built.content_digest.startswith("sha256:")
    assert built.content_digest != built.archive_digest


def test_a_new_number_is_another_archive_of_the_same_content(bench: Bench) -> None:
    one, other = bench.build(order(1)), bench.build(order(2))
    assert one.archive_digest != other.archive_digest
    assert one.content_digest == other.content_digest


def test_other_variables_are_other_content(bench: Bench) -> None:
    one, other = bench.build(order()), bench.build(order(account_id="111111111111"))
    assert one.content_digest != other.content_digest
    assert one.archive_digest != other.archive_digest


def test_whose_bundle_it_is_enters_no_content(bench: Bench) -> None:
    one = bench.build(order())
    other = bench.build(replace(order(), zone="eu", strict=True))
    assert (one.archive, one.content_digest) == (other.archive, other.content_digest)
    renamed = bench.build(replace(order(), tenant_slug="other"))
    assert renamed.archive_name == "hub-other-1.tar.gz"
    assert renamed.content_digest == one.content_digest


def test_signature_key_and_attestation_lie_beside_the_archive(bench: Bench) -> None:
    built, other = bench.build(order()), bench.build(order(2))
    name, key = built.archive_name, "tenantplane-bundle.pub"
    assert set(built.files) == {f"{name}.minisig", f"{name}.attestation.json", key}
    assert all(built.files.values())
    assert built.files[key] == other.files[key]
    assert built.files[f"{name}.minisig"] != other.files[f"{other.archive_name}.minisig"]


def test_every_check_is_told_when_it_is_done_and_returned(bench: Bench) -> None:
    built = bench.build(order())
    assert bench.events == [("check", check) for check in built.checks]
    assert built.checks
    assert {frozenset(check) for check in built.checks} == {
        frozenset({"name", "ok", "detail", "seconds"})
    }
    # what was not tried is not claimed
    is_good = all(check["ok"] for check in built.checks)
    assert built.rehearsal == ("quick" if is_good else "none")


def test_a_failed_check_fails_the_build_and_is_named(failing: Bench) -> None:
    with pytest.raises(BundleInvalid, match=failing.failing) as refused:
        failing.build(order())
    checks = refused.value.data["checks"]
    assert [check["name"] for check in checks if not check["ok"]] == [failing.failing]
    assert failing.events == [("check", check) for check in checks]


WRONG: Json = {"account_id": "12", "surprise": 1}


def test_wrong_variables_are_all_named(bench: Bench) -> None:
    bench.builder.check_variables(order().variables)
    for act in (
        lambda: bench.builder.check_variables(order(**WRONG).variables),
        lambda: bench.build(order(**WRONG)),
    ):
        with pytest.raises(InvalidInput) as refused:
            act()
        named = [item["field"] for item in refused.value.data["fields"]]
        assert named == ["inputs.account_id", "inputs.surprise"]
        assert refused.value.data["field"] == "inputs.account_id"
        assert all(name in str(refused.value) for name in named)
    assert bench.events == []


def test_only_a_draft_may_have_no_account(bench: Bench) -> None:
    variables = order(account_id="").variables
    bench.builder.check_variables(variables, is_draft=True)
    for act in (
        lambda: bench.builder.check_variables(variables),
        lambda: bench.build(order(account_id="")),
        lambda: bench.builder.check_variables(
            order(account_id="", surprise=1).variables, is_draft=True
        ),
    ):
        with pytest.raises(InvalidInput):
            act()


def test_a_stop_while_nothing_is_built_does_nothing(bench: Bench) -> None:
    bench.builder.stop_all()
    assert bench.build(order()).archive
