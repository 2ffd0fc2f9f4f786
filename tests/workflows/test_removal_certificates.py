"""Certificates of removals: what the log binds, verified with the signer's public key alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.audit.certificate import (
    CertificateUnreadable,
    root_of_inclusion,
    verify_certificate,
)
from control_plane.adapters.audit.keys import create_key_file, public_key_path
from control_plane.adapters.audit.merkle import leaf_hash, root_of
from control_plane.adapters.audit.note import Checkpoint, Signer, tree_origin
from control_plane.cli.app import invoke
from control_plane.domain.removal_errors import CertificateNotSigned
from control_plane.services import removals
from control_plane.services.performing import perform
from tests.memory_tree import MemoryTree
from tests.workflows.removed import ready_tenant, remove_all
from tests.world import AUDITOR, World


class Certified:
    """A removed tenant whose log is signed."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.tenant_id = world, ready_tenant(world, "A")
        remove_all(world, self.tenant_id)
        self.key_file = folder / "audit.key"
        self.signer = create_key_file(self.key_file)

    def sign(self, signer: Signer | None = None) -> None:
        """Sign a checkpoint over the tenant's log as it is."""
        events = self.world.trail.events(self.tenant_id, after=0, limit=10_000, action=None)
        leaves = [bytes.fromhex(str(each["leaf"])) for each in events]
        head = Checkpoint(
            origin=tree_origin("here", self.tenant_id), size=len(leaves), root=root_of(leaves)
        )
        self.world.trail.note = head.signed(signer or self.signer)

    def download(self) -> Any:
        found = perform(self.world.core, AUDITOR, removals.tenant_certificate, self.tenant_id)
        return json.loads(json.dumps(found))


@pytest.fixture
def certified(world: World, tmp_path: Path) -> Certified:
    return Certified(world, tmp_path)


def failed(document: Any, *keys: bytes) -> set[str]:
    return {check.name for check in verify_certificate(document, keys).checks if not check.ok}


def test_a_certificate_waits_for_the_signature_of_its_log(certified: Certified) -> None:
    with pytest.raises(CertificateNotSigned):
        certified.download()
    certified.sign()
    assert failed(certified.download(), certified.signer.public_key) == set()


def _body(document: Any) -> None:
    document["certificate"]["removed"]["resources"] += 1


def _digest(document: Any) -> None:
    document["digest"] = "sha256:" + "0" * 64


def _owner(document: Any) -> None:
    document["log"]["tree"] = "ten_01JD3ZK4Q0V8X2M6N7P9R5T1WY"


def _event(document: Any) -> None:
    document["log"]["body"]["actor"]["id"] = "somebody else"


def _place(document: Any) -> None:
    document["log"]["proof"]["idx"] -= 1


def _path(document: Any) -> None:
    document["log"]["proof"]["hashes"].pop()


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (_body, {"digest"}),
        (_digest, {"digest"}),
        (_owner, {"owner"}),
        (_event, {"signature"}),
        (_place, {"entry", "signature"}),
        (_path, {"signature"}),
    ],
)
def test_whatever_is_changed_fails_its_check(
    certified: Certified, change: Callable[[Any], None], names: set[str]
) -> None:
    certified.sign()
    document = certified.download()
    change(document)
    assert failed(document, certified.signer.public_key) == names


def test_a_log_that_another_key_signed_proves_nothing(certified: Certified, tmp_path: Path) -> None:
    certified.sign(create_key_file(tmp_path / "other.key"))
    assert failed(certified.download(), certified.signer.public_key) == {"signature"}


@pytest.mark.parametrize("document", [{}, {"certificate": {}, "log": {}}, {"certificate": 1.5}])
def test_what_is_no_certificate_is_said_to_be_none(document: Any) -> None:
    with pytest.raises(CertificateUnreadable):
        verify_certificate(document, [])


def test_the_command_verifies_a_file_offline(
    certified: Certified, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certified.sign()
    file, key = tmp_path / "certificate.json", public_key_path(certified.key_file)
    document = certified.download()
    file.write_text(json.dumps(document))
    command = ["audit", "verify-certificate", str(file), "--public-key", str(key)]
    assert invoke(command) == 0
    assert "ok   signature" in capsys.readouterr().out
    _body(document)
    file.write_text(json.dumps(document))
    assert invoke([*command, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
    file.write_text("{")
    assert invoke(command) == 2


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13])
def test_a_proof_of_any_place_leads_to_the_root(size: int) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(size)]
    tree = MemoryTree(leaves)
    for index, leaf in enumerate(leaves):
        path = tree.inclusion(index, size)
        assert root_of_inclusion(index, size, leaf, path) == root_of(leaves)
        assert root_of_inclusion(index, size, leaf_hash(b"other"), path) != root_of(leaves)
        assert root_of_inclusion(index, size, leaf, [*path, leaf]) is None
    assert root_of_inclusion(size, size, leaves[0], []) is None
