"""`tenantctl bundle verify`: what a customer's security team does first, offline."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from control_plane.adapters.audit.keys import KeyFileSigner
from control_plane.adapters.terraform.attestation import envelope, statement
from control_plane.adapters.terraform.minisign import MinisignKey
from control_plane.adapters.terraform.packing import pack, sums
from control_plane.cli.verifying import verify_folder
from tests.unit.cli.terminal import Answer, run

NAME = "hub-orsted-1.tar.gz"
KEY = MinisignKey(KeyFileSigner.from_seed(b"k" * 32))
KEY_ID = KEY.key_id[::-1].hex().upper().encode()
# SHA-256 of {"main.tf":"<sha256>","modules/keys/main.tf":"<sha256>"}
CONTENT = "sha256:a6cccca1c0b910d2fa02a5ab2cc544d7c6b7fda402d32c152ade485001abe7d3"
OTHER = MinisignKey(KeyFileSigner.from_seed(b"o" * 32))


def _files(**changes: str) -> dict[str, bytes]:
    """Return the files of a bundle; ``changes`` are digests that one of them states wrongly."""
    files = {"main.tf": b"# main\n", "modules/keys/main.tf": b"# keys\n"}
    stated = {"manifest": CONTENT, "release": CONTENT, **changes}
    files["README.md"] = b"# derived, so no part of the content\n"
    files["review/inventory.csv"] = b"address\n"
    files["MANIFEST.json"] = json.dumps({"content_digest": stated["manifest"]}).encode()
    release = {"release": {"content_digest": stated["release"]}}
    files["release.auto.tfvars.json"] = json.dumps(release).encode()
    return {**files, "SHA256SUMS": sums(files).encode()}


def _bundle(folder: Path, archive: bytes, key: MinisignKey = KEY, content: str = CONTENT) -> None:
    """Write an archive with what lies beside it, all of it signed."""
    sha256 = hashlib.sha256(archive).hexdigest()
    done = statement(
        archive_name=NAME,
        archive_sha256=sha256,
        content_digest=content,
        rehearsal="quick",
        checks=[{"name": "validate", "ok": True, "detail": "", "seconds": 1.0}],
        tools={},
    )
    (folder / NAME).write_bytes(archive)
    (folder / f"{NAME}.minisig").write_text(key.sign(archive, f"file:{NAME} sha256:{sha256}"))
    (folder / f"{NAME}.attestation.json").write_bytes(envelope(done, key))
    (folder / "tenantplane-bundle.pub").write_text(key.public_file())


def _places(content: bytes, part: bytes) -> range:
    at = content.index(part)
    return range(at, at + len(part))


def _verify(folder: Path, *options: str) -> Answer:
    return run("bundle", "verify", str(folder), *options)


def _failed(answer: Answer) -> set[str]:
    assert answer.code == 1
    return {check["name"] for check in answer.json["checks"] if not check["ok"]}


def test_an_untouched_bundle_passes_and_says_where_the_key_is_from(tmp_path: Path) -> None:
    _bundle(tmp_path, pack(_files(), "hub-orsted-1"))
    answer = _verify(tmp_path)
    assert answer.code == 0, answer.out
    assert "FAIL" not in answer.out
    assert "compare its id" in answer.out
    elsewhere = tmp_path / "elsewhere.pub"
    elsewhere.write_text(KEY.public_file())
    answer = _verify(tmp_path, "--public-key", str(elsewhere), "--json")
    assert answer.json["ok"] is True
    assert answer.json["key_from"] == str(elsewhere)


def test_one_changed_byte_fails_the_signature(tmp_path: Path) -> None:
    archive = bytearray(pack(_files(), "hub-orsted-1"))
    _bundle(tmp_path, bytes(archive))
    archive[-1] ^= 1
    (tmp_path / NAME).write_bytes(archive)
    assert "signature" in _failed(_verify(tmp_path, "--json"))


@pytest.mark.parametrize("suffix", ["", ".minisig", ".attestation.json"])
def test_one_changed_byte_anywhere_is_a_failed_check(tmp_path: Path, suffix: str) -> None:
    _bundle(tmp_path, pack(_files(), "hub-orsted-1"))
    file = tmp_path / f"{NAME}{suffix}"
    good = file.read_bytes()
    # a comment and a hint, which nobody signs and nobody reads
    hints = [good.partition(b"\n")[0]] if suffix == ".minisig" else [b'"keyid": "', KEY_ID]
    free = {at for hint in hints if suffix for at in _places(good, hint)}
    for at in sorted(set(range(len(good))) - free):
        file.write_bytes(good[:at] + bytes([good[at] ^ 0x11]) + good[at + 1 :])
        assert not verify_folder(tmp_path).is_ok, (at, good[at : at + 20])


@pytest.mark.parametrize("at", [10, 40, 100, -20])
def test_a_signed_archive_that_cannot_be_unpacked_is_a_failed_check(
    tmp_path: Path, at: int
) -> None:
    archive = bytearray(pack(_files(), "hub-orsted-1"))
    archive[at] ^= 0xFF
    _bundle(tmp_path, bytes(archive))
    assert _failed(_verify(tmp_path, "--json")) == {"checksums", "content"}


def test_a_signed_archive_that_unpacks_to_too_much_says_so(tmp_path: Path) -> None:
    _bundle(tmp_path, gzip.compress(bytes(64 * 1024 * 1024 + 1)))
    answer = _verify(tmp_path, "--json")
    assert _failed(answer) == {"checksums", "content"}
    details = [check["detail"] for check in answer.json["checks"] if not check["ok"]]
    assert all("64 MiB" in detail for detail in details)


def test_a_bundle_signed_by_another_key_fails_under_the_known_one(tmp_path: Path) -> None:
    _bundle(tmp_path, pack(_files(), "hub-orsted-1"), OTHER)
    assert _verify(tmp_path).code == 0  # by the key beside it: therefore the word about its id
    known = tmp_path / "known.pub"
    known.write_text(KEY.public_file())
    failed = _failed(_verify(tmp_path, "--public-key", str(known), "--json"))
    assert failed == {"signature", "checksums", "content", "attestation"}


@pytest.mark.parametrize("change", ["changed", "added", "removed"])
def test_files_that_are_not_those_of_the_sums_fail_though_signed(
    tmp_path: Path, change: str
) -> None:
    files = _files()
    if change == "changed":
        files["main.tf"] = b"# another\n"
    elif change == "added":
        files["extra.tf"] = b"# extra\n"
    else:
        del files["modules/keys/main.tf"]
    _bundle(tmp_path, pack(files, "hub-orsted-1"))
    assert _failed(_verify(tmp_path, "--json")) == {"checksums", "content"}


def test_a_link_in_the_archive_fails(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        entry = tarfile.TarInfo("hub-orsted-1/main.tf")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    _bundle(tmp_path, gzip.compress(raw.getvalue()))
    assert _failed(_verify(tmp_path, "--json")) == {"checksums", "content"}


def test_an_attestation_of_another_archive_fails(tmp_path: Path) -> None:
    _bundle(tmp_path, pack({"main.tf": b"# old\n"}, "hub-orsted-1"))
    old = (tmp_path / f"{NAME}.attestation.json").read_bytes()
    _bundle(tmp_path, pack(_files(), "hub-orsted-1"))
    (tmp_path / f"{NAME}.attestation.json").write_bytes(old)
    assert _failed(_verify(tmp_path, "--json")) == {"attestation"}


@pytest.mark.parametrize("text", ["", "[" * 100_000, "[]", '{"payloadType": {}}', "\x00\xff"])
def test_what_is_no_attestation_is_a_failed_check(tmp_path: Path, text: str) -> None:
    _bundle(tmp_path, pack(_files(), "hub-orsted-1"))
    (tmp_path / f"{NAME}.attestation.json").write_text(text, encoding="latin-1")
    assert _failed(_verify(tmp_path, "--json")) == {"attestation"}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    empty = _verify(tmp_path)
    assert (empty.code, "contains no archive" in empty.err) == (2, True)
    _bundle(tmp_path, pack(_files(), "hub-orsted-1"))
    (tmp_path / f"{NAME}.minisig").unlink()
    assert _failed(_verify(tmp_path, "--json")) == {"signature", "checksums", "content"}
    (tmp_path / "tenantplane-bundle.pub").unlink()
    keyless = _verify(tmp_path)
    assert (keyless.code, "not a minisign public key" in keyless.err) == (2, True)


# --- the content digest ----------------------------------------------------------------------
def test_the_content_digest_is_computed_again_and_shown(tmp_path: Path) -> None:
    _bundle(tmp_path, pack(_files(), "hub-orsted-1"))
    answer = _verify(tmp_path, "--json")
    (content,) = [check for check in answer.json["checks"] if check["name"] == "content"]
    assert (content["ok"], content["detail"]) == (True, CONTENT)


@pytest.mark.parametrize("where", ["manifest", "release"])
def test_a_content_digest_that_is_stated_wrongly_fails(tmp_path: Path, where: str) -> None:
    archive = pack(_files(**{where: "sha256:" + "0" * 64}), "hub-orsted-1")
    _bundle(tmp_path, archive)
    answer = _verify(tmp_path, "--json")
    assert "content" in _failed(answer)
    assert CONTENT in answer.out


def test_an_attestation_of_another_content_fails(tmp_path: Path) -> None:
    _bundle(tmp_path, pack(_files(), "hub-orsted-1"), content="sha256:" + "0" * 64)
    assert _failed(_verify(tmp_path, "--json")) == {"attestation"}
