"""The offline verifier's own cryptography: against published vectors, and against forgers."""

from __future__ import annotations

import ast
import base64
import hashlib
import random
import struct
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.adapters.audit.keys import KeyFileSigner
from control_plane.adapters.audit.note import Checkpoint, VerifierKey
from control_plane.domain.audit_catalogue import ACTIONS
from tests.integration.dossiers import VERIFIER, VERIFY
from tests.memory_tree import MemoryTree
from tests.unit.test_merkle import KNOWN_ENTRIES, KNOWN_INCLUSION, KNOWN_ROOTS

# RFC 8032 section 7.1, tests 1 to 3: secret key, public key, message, signature
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
        ("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b4"
         "6bd25bf5f0595bbe24655141438e7a100b"),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
        ("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d"
         "8c387b2eaeb4302aeeb00d291612bb0c00"),
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
        ("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6"
         "594a7c15e9716ed28dc027beceea1ec40a"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("key", "message", "signature"), RFC_8032)
def test_published_signatures_verify(key: str, message: str, signature: str) -> None:
    assert VERIFY.is_signed(*map(bytes.fromhex, (key, message, signature)))


def test_signatures_of_a_library_verify_and_none_that_was_changed() -> None:
    chance = random.Random(1)  # noqa: S311 - repeatable
    for _ in range(20):
        private = Ed25519PrivateKey.generate()
        key = private.public_key().public_bytes_raw()
        message = chance.randbytes(chance.randrange(100))
        signature = private.sign(message)
        assert VERIFY.is_signed(key, message, signature)
        at = chance.randrange(512)
        changed = bytearray(signature)
        changed[at // 8] ^= 1 << at % 8
        assert not VERIFY.is_signed(key, message, bytes(changed))
        assert not VERIFY.is_signed(key, message + b"x", signature)
        s = int.from_bytes(signature[32:], "little") + VERIFY.L  # RFC 8032 5.1.7: s < L
        assert not VERIFY.is_signed(key, message, signature[:32] + s.to_bytes(32, "little"))


def test_keys_that_are_not_points_in_their_one_spelling_are_refused() -> None:
    for bad in (b"\xff" * 32, (VERIFY.P + 1).to_bytes(32, "little"), bytes([2]) + bytes(31)):
        with pytest.raises(ValueError, match="a key is not a point"):
            VERIFY.multiples(bad)


# --- Merkle trees -------------------------------------------------------------------------------
def is_included(idx: int, size: int, leaf: bytes, proof: list[bytes], root: bytes) -> bool:
    try:
        return bool(VERIFY.root_by(idx, size, leaf, proof) == root)
    except ValueError:
        return False


def test_heads_of_a_tree_of_many_tiles_are_those_of_its_leaves() -> None:
    leaves = [VERIFY.leaf_of(b"%d" % n) for n in range(256 * 256 + 700)]
    levels = [leaves]
    while full := len(levels[-1]) // 256:
        levels.append([VERIFY.root_of(levels[-1][256 * n : 256 * n + 256]) for n in range(full)])
    assert len(levels) == 3
    for size in (0, 1, 255, 256, 257, 511, 513, 65535, 65536, 65537, 65793, len(leaves)):
        assert VERIFY.root_at(levels, size) == VERIFY.root_of(leaves[:size])


def test_roots_and_inclusion_proofs_equal_the_published_ones() -> None:
    leaves = [VERIFY.leaf_of(entry) for entry in KNOWN_ENTRIES]
    for size, root in enumerate(KNOWN_ROOTS, 1):
        assert VERIFY.root_of(leaves[:size]).hex() == root
        assert VERIFY.root_at([leaves], size).hex() == root
    for idx, size, path in KNOWN_INCLUSION:
        root = bytes.fromhex(KNOWN_ROOTS[size - 1])
        proof = [bytes.fromhex(each) for each in path]
        assert is_included(idx, size, leaves[idx], proof, root)
        assert not is_included(idx ^ 1, size, leaves[idx], proof, root)
        assert not is_included(idx, size, leaves[idx], [*proof, root], root)
        assert not is_included(idx, size, leaves[idx], proof[:-1], root)


def test_every_proof_of_every_size_up_to_40_verifies_and_no_other() -> None:
    for size in range(1, 41):
        tree = MemoryTree()
        for n in range(size):
            tree.append(b"%d" % n)
        for idx in range(size):
            leaf, proof = VERIFY.leaf_of(b"%d" % idx), tree.inclusion(idx, size)
            assert is_included(idx, size, leaf, proof, tree.root())
            other = VERIFY.leaf_of(b"x")
            assert not is_included(idx, size, other, proof, tree.root())


# --- checkpoints and witnesses ------------------------------------------------------------------
ORIGIN = "localhost/audit/platform"


def witness(name: str) -> tuple[str, Ed25519PrivateKey]:
    """Return the verifier key of a witness, as c2sp.org/tlog-cosignature writes it, and its key."""
    private = Ed25519PrivateKey.generate()
    blob = b"\x04" + private.public_key().public_bytes_raw()
    key_id = hashlib.sha256(name.encode() + b"\n" + blob).digest()[:4]
    return f"{name}+{key_id.hex()}+{base64.b64encode(blob).decode()}", private


def cosigned(note: str, vkey: str, private: Ed25519PrivateKey, seconds: int = 1_800_000_000) -> str:
    name, key_id, _ = vkey.split("+", 2)
    text = note.partition("\n\n")[0] + "\n"
    signature = private.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
    blob = bytes.fromhex(key_id) + seconds.to_bytes(8, "big") + signature
    return f"{note}— {name} {base64.b64encode(blob).decode()}\n"


def test_a_quorum_of_witnesses_is_counted_as_the_policy_says() -> None:
    signer = KeyFileSigner.generate()
    log = VerifierKey(name=ORIGIN, public_key=signer.public_key)
    note = Checkpoint(origin=ORIGIN, size=7, root=bytes(32)).signed(signer)
    (one, key_one), (two, key_two), (three, _) = map(witness, ("w.one", "w.two", "w.three"))
    policy = VERIFY.Policy(
        f"log {log}\nwitness one {one}\nwitness two {two} https://w.example\n"
        f"witness three {three}\n\n# two of three\ngroup most 2 one two three\n"
        "group whole all most one\nquorum whole\n"
    )
    keys = [VERIFY.vkey(str(log)), *(x for x in policy.named.values() if isinstance(x, tuple))]

    def reached(content: str) -> bool:
        size, _, signed = VERIFY.open_note(content.encode(), ORIGIN, keys)
        assert size == 7
        return bool(policy.has_quorum(signed, policy.quorum))

    assert not reached(note)
    assert not reached(cosigned(note, one, key_one))
    both = cosigned(cosigned(note, one, key_one), two, key_two)
    assert reached(both)
    with pytest.raises(ValueError, match="signature is wrong"):
        reached(both.replace("\n7\n", "\n8\n"))
    later = cosigned(note, one, key_one, 5).splitlines()[-1].split(" ")[2]
    blob = bytearray(base64.b64decode(later))
    blob[11] ^= 1  # the time is signed too
    with pytest.raises(ValueError, match="signature is wrong"):
        reached(f"{note}— w.one {base64.b64encode(bytes(blob)).decode()}\n")


@pytest.mark.parametrize(
    "policy",
    ["group a 2 b c", "quorum nobody", "log x", "hello", "group a 0 b"],
)
def test_policies_that_cannot_be_kept_are_refused(policy: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        VERIFY.Policy(policy)


# --- signatures of approvers --------------------------------------------------------------------
def text_of(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def sshsig(private: Ed25519PrivateKey, statement: str, namespace: bytes) -> tuple[str, str]:
    """Return an SSHSIG as OpenSSH's PROTOCOL.sshsig writes it, and the key's fingerprint."""
    public = text_of(b"ssh-ed25519") + text_of(private.public_key().public_bytes_raw())
    parts = text_of(namespace) + text_of(b"") + text_of(b"sha512")
    signed = b"SSHSIG" + parts + text_of(hashlib.sha512(statement.encode()).digest())
    signature = text_of(b"ssh-ed25519") + text_of(private.sign(signed))
    blob = b"SSHSIG" + struct.pack(">I", 1) + text_of(public) + parts + text_of(signature)
    name = base64.b64encode(hashlib.sha256(public).digest()).decode().rstrip("=")
    return base64.b64encode(blob).decode(), f"SHA256:{name}"


def test_a_decision_that_its_approver_signed_is_told_from_every_other() -> None:
    private, plan = Ed25519PrivateKey.generate(), "sha256:" + "0" * 64
    statement = VERIFY.encode({"plan_digest": plan, "verdict": "approve"})
    signature, name = sshsig(private, statement, b"approval@tenantplane")
    data = {
        "plan_digest": plan, "verdict": "approve", "statement": statement,
        "signature": signature, "approver_key": name,
    }  # fmt: skip
    keys = {name: ["2026-01-01", "2026-06-01"]}
    fault = VERIFY.sshsig_fault
    assert fault(data, "2026-03-01", keys) == ""
    assert "not enrolled" in fault(data, "2025-12-31", keys)
    assert "not enrolled" in fault(data, "2026-06-01", keys)
    assert "not enrolled" in fault(data, "2026-03-01", {})
    assert "another decision" in fault({**data, "verdict": "reject"}, "2026-03-01", keys)
    changed = statement.replace("approve", "reject")
    assert "does not verify" in fault({**data, "statement": changed}, "2026-03-01", keys)
    elsewhere, _ = sshsig(private, statement, b"file")
    assert "another kind" in fault({**data, "signature": elsewhere}, "2026-03-01", keys)
    assert "cannot be read" in fault({**data, "signature": "A"}, "2026-03-01", keys)
    assert "cannot be read" in fault({**data, "signature": 5}, "2026-03-01", keys)


# --- the file itself ----------------------------------------------------------------------------
def test_the_verifier_needs_nothing_but_the_standard_library() -> None:
    tree = ast.parse(VERIFIER.read_text(encoding="utf-8"))
    names = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [each.name for each in node.names] if isinstance(node, ast.Import)
            else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        )
    }  # fmt: skip
    assert names <= set(sys.stdlib_module_names)
    assert not names & {"socket", "urllib", "http", "subprocess", "ctypes"}


LINES = 626  # it is to become 450 (docs/decisions/0054); until then it does not grow


def test_the_verifier_does_not_grow_and_is_as_wide_as_all_code() -> None:
    lines = VERIFIER.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LINES
    assert [number for number, line in enumerate(lines, 1) if len(line) > 100] == []


def test_schemas_in_a_dossier_have_the_digests_that_events_carry() -> None:
    from control_plane.adapters.audit.dossier import schema_document

    for name, schema in ACTIONS.items():
        content = VERIFY.encode(schema_document(name)).encode()
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == schema.digest


def test_the_verifier_is_a_file_of_this_tree() -> None:
    assert Path(VERIFY.__file__) == VERIFIER
