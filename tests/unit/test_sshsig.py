"""Signatures of OpenSSH: ours are ssh-keygen's and the other way round; what is odd is refused."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest

from control_plane.adapters.approvers import FileApprovers
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.signed_decision import NAMESPACE
from control_plane.domain.sshsig import (
    SshInvalid,
    armored,
    fingerprint,
    public_key_of,
    unarmored,
    verify,
)
from tests.approver_hands import EVE, OLGA

CHECK = FileApprovers(host="localhost").check
TEXT = '{"form":"x","text":"äöü"}'
KEYGEN = shutil.which("ssh-keygen")
needs_keygen = pytest.mark.skipif(KEYGEN is None, reason="ssh-keygen is not installed here")


def keygen(*words: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    assert KEYGEN is not None
    return subprocess.run(
        [KEYGEN, *map(str, words)],
        input=given, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip


@needs_keygen
def test_what_ssh_keygen_signs_verifies_here(tmp_path: Path) -> None:
    made = keygen("-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key")
    assert made.returncode == 0, made.stderr
    signed = keygen("-Y", "sign", "-f", tmp_path / "key", "-n", NAMESPACE, given=TEXT)
    public = public_key_of((tmp_path / "key.pub").read_text("utf-8"))
    signature = unarmored(signed.stdout)
    assert verify(TEXT, signature, namespace=NAMESPACE, check=CHECK) == (
        public, fingerprint(public),
    )  # fmt: skip
    assert fingerprint(public) in keygen("-l", "-f", tmp_path / "key.pub").stdout


@needs_keygen
@pytest.mark.parametrize(("name", "text", "code"), [
    ("olga", TEXT, 0), ("olga", TEXT + " ", 255), ("eve", TEXT, 255),
])  # fmt: skip
def test_what_is_signed_here_is_verified_by_ssh_keygen(
    tmp_path: Path, name: str, text: str, code: int
) -> None:
    (tmp_path / "signature").write_text(armored(OLGA.sign(TEXT)), encoding="ascii")
    (tmp_path / "allowed").write_text(f"{OLGA.line}\n{EVE.line}\n", encoding="utf-8")
    done = keygen(
        "-Y", "verify", "-f", tmp_path / "allowed", "-I", name, "-n", NAMESPACE,
        "-s", tmp_path / "signature", given=text,
    )  # fmt: skip
    assert done.returncode == code, done.stderr


@needs_keygen
@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_keys_of_other_kinds_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    assert keygen("-q", "-t", kind, "-N", "", "-f", tmp_path / "key").returncode == 0
    with pytest.raises(SshInvalid, match="only ssh-ed25519; make one with"):
        public_key_of((tmp_path / "key.pub").read_text("utf-8"))


def test_a_signature_is_of_one_statement_one_namespace_and_one_key() -> None:
    signature = OLGA.sign(TEXT)
    assert verify(TEXT, signature, namespace=NAMESPACE, check=CHECK)[1] == OLGA.fingerprint
    for text, namespace in ((TEXT + "\n", NAMESPACE), (TEXT, "file")):
        with pytest.raises(SshInvalid):
            verify(text, signature, namespace=namespace, check=CHECK)


def test_no_changed_bit_verifies() -> None:
    blob = base64.b64decode(OLGA.sign(TEXT))
    accepted = 0
    for place in range(len(blob) * 8):
        changed = bytearray(blob)
        changed[place // 8] ^= 1 << place % 8
        try:
            verify(TEXT, base64.b64encode(changed).decode(), namespace=NAMESPACE, check=CHECK)
            accepted += 1
        except SshInvalid:
            pass
    assert accepted == 0


@pytest.mark.parametrize("change", [
    lambda blob: blob[:-1], lambda blob: blob + b"\0", lambda blob: blob[:5], lambda _: b"",
    lambda blob: blob.replace(b"sha512", b"sha256"),
])  # fmt: skip
def test_what_is_cut_off_or_goes_on_is_refused(change: object) -> None:
    assert callable(change)
    blob = change(base64.b64decode(OLGA.sign(TEXT)))
    with pytest.raises(SshInvalid):
        verify(TEXT, base64.b64encode(blob).decode(), namespace=NAMESPACE, check=CHECK)


@pytest.mark.parametrize("line", [
    "", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 !", "ssh-rsa AAAAB3NzaC1yc2E=",
    OLGA.public[:-4], OLGA.public.replace("ssh-ed25519 ", "sk-ssh-ed25519@openssh.com "),
])  # fmt: skip
def test_what_is_no_key_is_refused(line: str) -> None:
    with pytest.raises(SshInvalid):
        public_key_of(line)


def test_a_workers_file_is_read_strictly(tmp_path: Path) -> None:
    file = tmp_path / "approvers.keys"
    approvers = FileApprovers(host="localhost", file=file)
    options = f'namespaces="{NAMESPACE}",valid-before="20270101Z"'
    file.write_text(f"# ours\n\n{OLGA.line} a comment\neve {options} {EVE.public}\n", "utf-8")
    first, second = approvers.known() or ()
    assert (first.actor, first.fingerprint) == ("olga", OLGA.fingerprint)
    assert second.valid_until is not None
    assert second.valid_until.year == 2027
    for line in (
        f"* {OLGA.public}", f"olga,eve {OLGA.public}", f"olga cert-authority {OLGA.public}",
        f'olga namespaces="file" {OLGA.public}', f'olga valid-before="tomorrow" {OLGA.public}',
        f'olga verify-required="1" {OLGA.public}', "olga ssh-rsa AAAA", "olga",
    ):  # fmt: skip
        file.write_text(f"{line}\n", encoding="utf-8")
        with pytest.raises(SettingInvalid, match="line 1"):
            approvers.known()
    file.unlink()
    with pytest.raises(SettingInvalid, match="cannot be read"):
        approvers.known()
    assert FileApprovers(host="localhost").known() is None
