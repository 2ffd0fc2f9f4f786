"""The signer's files: its key, which only it can read, and its journal of what it signed."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from control_plane.adapters.audit import signing
from control_plane.adapters.audit.keys import (
    KeyFileSigner,
    KeyFileUnusable,
    create_key_file,
    load_key_file,
    load_public_key,
    public_key_path,
)
from control_plane.adapters.audit.note import Checkpoint, VerifierKey, open_checkpoint
from control_plane.adapters.audit.signing import (
    CheckpointSigner,
    JournalUnusable,
    SigningJournal,
    SigningRequest,
)
from tests.memory_tree import MemoryTree

ORIGIN = "localhost/audit/platform"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- the key file -----------------------------------------------------------------------------
@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_a_new_key_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "audit.key"
    before = os.umask(umask)
    try:
        created = create_key_file(path)
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert mode(public_key_path(path)) == 0o644
    assert load_key_file(path).public_key == created.public_key
    assert load_public_key(public_key_path(path)) == created.public_key
    assert sorted(item.name for item in tmp_path.iterdir()) == ["audit.key", "audit.key.pub"]


def test_an_existing_key_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "audit.key"
    first = create_key_file(path)
    with pytest.raises(KeyFileUnusable, match="already exists"):
        create_key_file(path)
    assert load_key_file(path).public_key == first.public_key
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("wrong", [0o640, 0o604, 0o660, 0o644, 0o700])
def test_a_key_that_others_could_use_is_refused(tmp_path: Path, wrong: int) -> None:
    path = tmp_path / "audit.key"
    create_key_file(path)
    path.chmod(wrong)
    with pytest.raises(KeyFileUnusable, match="chmod 600"):
        load_key_file(path)


def test_a_key_behind_a_link_or_in_a_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit.key"
    create_key_file(path)
    link = tmp_path / "link.key"
    link.symlink_to(path)
    with pytest.raises(KeyFileUnusable):
        load_key_file(link)
    with pytest.raises(KeyFileUnusable):
        load_key_file(tmp_path)
    with pytest.raises(KeyFileUnusable, match="tenantctl keys create"):
        load_key_file(tmp_path / "none.key")
    with pytest.raises(KeyFileUnusable, match="make its folder"):
        create_key_file(tmp_path / "no" / "folder.key")


def test_a_file_that_holds_no_ed25519_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit.key"
    other = generate_private_key(SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    for content in (b"", b"rubbish", KeyFileSigner.generate().public_pem(), other):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(KeyFileUnusable, match="holds no"):
            load_key_file(path)
    for content in (b"", b"rubbish", KeyFileSigner.generate().private_pem()):
        path.write_bytes(content)
        with pytest.raises(KeyFileUnusable, match="holds no"):
            load_public_key(path)


def test_a_public_key_of_another_key_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "audit.key"
    create_key_file(path)
    public_key_path(path).write_bytes(KeyFileSigner.generate().public_pem())
    with pytest.raises(KeyFileUnusable, match="does not belong"):
        load_key_file(path)
    public_key_path(path).unlink()
    key = load_key_file(path)  # a missing one is written again
    assert load_public_key(public_key_path(path)) == key.public_key


# --- the journal and the rule of the witness --------------------------------------------------
def tree_of(size: int) -> MemoryTree:
    tree = MemoryTree()
    for number in range(size):
        tree.append(str(number).encode())
    return tree


def request(tree: MemoryTree, old: int, origin: str = ORIGIN) -> SigningRequest:
    head = Checkpoint(origin=origin, size=len(tree), root=tree.root())
    proof = tree.consistency(old, len(tree)) if 0 < old <= len(tree) else []
    return SigningRequest(head=head, proof=tuple(proof))


def test_a_head_is_signed_only_when_it_extends_the_last_one(tmp_path: Path) -> None:
    key = KeyFileSigner.generate()
    with SigningJournal(tmp_path / "journal") as journal:
        signer = CheckpointSigner(key, journal)
        notes, refused = signer.sign([request(tree_of(5), 0)])
        assert not refused
        assert open_checkpoint(notes[ORIGIN], [signer.key(ORIGIN)]).size == 5
        forked = MemoryTree()
        for number in range(9):
            forked.append(b"x" if number == 2 else str(number).encode())
        for wrong in (
            request(tree_of(4), 4),  # shorter
            request(forked, 5),  # another history
            request(tree_of(9), 4),  # a proof from another size
            request(tree_of(9), 0),  # no proof
        ):
            notes, refused = signer.sign([wrong])
            assert not notes
            assert [item.origin for item in refused] == [ORIGIN]
            last = signer.last(ORIGIN)
            assert last is not None
            assert last.size == 5
        notes, refused = signer.sign([request(forked, 5), request(tree_of(3), 0, "h/audit/x")])
        assert list(notes) == ["h/audit/x"]  # one refusal stops no other tree
        assert len(refused) == 1
        assert signer.sign([request(tree_of(5), 5)])[0]
        assert signer.sign([request(tree_of(9), 5)])[0]


def test_the_journal_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    key = KeyFileSigner.generate()
    with SigningJournal(path) as journal:
        CheckpointSigner(key, journal).sign([request(tree_of(5), 0)])
    assert mode(path) == 0o600
    with SigningJournal(path) as journal:
        assert not CheckpointSigner(key, journal).sign([request(tree_of(4), 4)])[0]
        with pytest.raises(JournalUnusable, match="another signer"):
            SigningJournal(path)
    SigningJournal(path).close()


def test_a_damaged_journal_is_refused_and_a_torn_line_dropped(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    root = base64.b64encode(bytes(32)).decode()
    path.write_text(f"a 1 {root}\nb 2 {root}\na 3 {root[:7]}")
    with SigningJournal(path) as journal:
        last = journal.last("a")
        assert last is not None
        assert last.size == 1
        journal.append([Checkpoint(origin="c", size=1, root=bytes(32))])
    assert path.read_text().splitlines()[-1] == f"c 1 {root}"
    for line in ("a x " + root, "a 1", f"a 1 {root[:8]}", f"a ١ {root}", f"a 1 {root} more"):
        path.write_text(f"a 1 {root}\n{line}\nb 2 {root}\n")
        with pytest.raises(JournalUnusable, match="line 2"):
            SigningJournal(path)


def test_a_long_journal_is_rewritten_with_one_line_per_tree(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    root = base64.b64encode(bytes(32)).decode()
    lines = signing.COMPACT_AT_LINES + 1
    path.write_text("".join(f"t{n % 7} {n} {root}\n" for n in range(lines)))
    with SigningJournal(path) as journal:
        last = journal.last(f"t{(lines - 1) % 7}")
        assert last is not None
        assert last.size == lines - 1
        assert len(path.read_text().splitlines()) == 7
        journal.append([Checkpoint(origin="t1", size=lines, root=bytes(32))])
        with pytest.raises(JournalUnusable, match="another signer"):
            SigningJournal(path)
    with SigningJournal(path) as journal:
        last = journal.last("t1")
        assert last is not None
        assert last.size == lines
    assert mode(path) == 0o600


def test_only_own_checkpoints_that_extend_the_journal_are_taken_over(tmp_path: Path) -> None:
    key, stranger = KeyFileSigner.generate(), KeyFileSigner.generate()
    tree = tree_of(8)

    def note(by: KeyFileSigner, size: int, origin: str = ORIGIN) -> str:
        return Checkpoint(origin=origin, size=size, root=tree.root(size)).signed(by)

    with SigningJournal(tmp_path / "journal") as journal:
        signer = CheckpointSigner(key, journal)
        for wrong in (note(stranger, 5), note(key, 5, "localhost/audit/x"), "rubbish"):
            with pytest.raises(signing.SigningRefused):
                signer.adopt(wrong, ORIGIN, ())
        assert signer.adopt(note(key, 5), ORIGIN, ()).size == 5
        with pytest.raises(signing.SigningRefused):
            signer.adopt(note(key, 8), ORIGIN, ())
        assert signer.adopt(note(key, 8), ORIGIN, tuple(tree.consistency(5, 8))).size == 8
        assert VerifierKey.parse(str(signer.key(ORIGIN))) == signer.key(ORIGIN)
