"""Signed notes and checkpoints against published examples and against forgers.

The examples are those of golang.org/x/mod/sumdb/note (PeterNeumann) and of the C2SP signed-note
specification; Ed25519 is deterministic, so signing must reproduce them byte for byte.
"""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.adapters.audit.keys import KeyFileSigner
from control_plane.adapters.audit.note import (
    Checkpoint,
    Note,
    NoteInvalid,
    VerifierKey,
    open_checkpoint,
    parse_checkpoint,
    parse_note,
    sign_note,
)

GO_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_SIGNATURE = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)
GO_NOTE = f"{GO_TEXT}\n— PeterNeumann {GO_SIGNATURE}\n"
C2SP_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
C2SP_NOTE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2O"
    "NncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
C2SP_POEM = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQ"
    "U0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
)
C2SP_CHECKPOINT = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcy"
    "v2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
ORIGIN = "localhost/audit/platform"
ROOT = bytes(range(32))


@pytest.fixture(scope="module")
def signer() -> KeyFileSigner:
    return KeyFileSigner.generate()


@pytest.fixture(scope="module")
def key(signer: KeyFileSigner) -> VerifierKey:
    return VerifierKey(name=ORIGIN, public_key=signer.public_key)


def checkpoint_note(signer: KeyFileSigner, size: int = 12) -> str:
    return Checkpoint(origin=ORIGIN, size=size, root=ROOT).signed(signer)


def test_signing_reproduces_the_published_go_example() -> None:
    signer = KeyFileSigner.from_seed(GO_SEED)
    assert sign_note(GO_TEXT, "PeterNeumann", signer) == GO_NOTE
    assert str(VerifierKey(name="PeterNeumann", public_key=signer.public_key)) == GO_KEY


@pytest.mark.parametrize(("key", "note"), [(GO_KEY, GO_NOTE), (C2SP_KEY, C2SP_NOTE)])
def test_published_notes_verify_and_spoiled_ones_do_not(key: str, note: str) -> None:
    known = VerifierKey.parse(key)
    assert parse_note(note).verified([known]) == (known,)
    spoiled = note.replace("e", "E", 1)
    with pytest.raises(NoteInvalid, match="does not verify"):
        parse_note(spoiled).verified([known])


def test_a_text_with_blank_lines_is_split_at_the_last_one() -> None:
    note = parse_note(C2SP_POEM.encode())
    assert note.text.endswith("sole:\n\ned è subito sera.\n")
    assert note.signatures[0].name == "quasimodo.example/salvatore"


def test_the_published_checkpoint_is_read() -> None:
    checkpoint = parse_checkpoint(parse_note(C2SP_CHECKPOINT).text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text() + "\n" == C2SP_CHECKPOINT[: len(checkpoint.text()) + 1]


def test_a_signed_checkpoint_opens_with_its_key_alone(
    signer: KeyFileSigner, key: VerifierKey
) -> None:
    note = checkpoint_note(signer)
    assert open_checkpoint(note, [key]) == Checkpoint(origin=ORIGIN, size=12, root=ROOT)
    stranger = VerifierKey(name=ORIGIN, public_key=KeyFileSigner.generate().public_key)
    with pytest.raises(NoteInvalid, match="no known key"):
        open_checkpoint(note, [stranger])
    with pytest.raises(NoteInvalid, match="no known key"):
        open_checkpoint(note, [])


def test_the_key_name_is_part_of_the_key(signer: KeyFileSigner) -> None:
    other_name = VerifierKey(name="localhost/audit/other", public_key=signer.public_key)
    with pytest.raises(NoteInvalid, match="no known key"):
        open_checkpoint(checkpoint_note(signer), [other_name])


def test_signatures_of_unknown_keys_are_ignored(signer: KeyFileSigner, key: VerifierKey) -> None:
    witness = KeyFileSigner.generate()
    text = Checkpoint(origin=ORIGIN, size=3, root=ROOT).text()
    cosigned = (
        sign_note(text, ORIGIN, signer) + sign_note(text, "witness", witness)[len(text) + 1 :]
    )
    assert len(parse_note(cosigned).signatures) == 2
    assert open_checkpoint(cosigned, [key]).size == 3


def test_one_bad_signature_of_a_known_key_spoils_the_note(
    signer: KeyFileSigner, key: VerifierKey
) -> None:
    text = Checkpoint(origin=ORIGIN, size=3, root=ROOT).text()
    other = Checkpoint(origin=ORIGIN, size=4, root=ROOT).text()
    line = sign_note(other, ORIGIN, signer)[len(other) + 1 :]
    with pytest.raises(NoteInvalid, match="does not verify"):
        open_checkpoint(sign_note(text, ORIGIN, signer) + line, [key])


def test_no_single_flipped_bit_gives_a_checkpoint_of_another_meaning(
    signer: KeyFileSigner, key: VerifierKey
) -> None:
    note = checkpoint_note(signer).encode()
    meaning = open_checkpoint(note, [key])
    refused = 0
    for bit in range(len(note) * 8):
        flipped = bytearray(note)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert open_checkpoint(bytes(flipped), [key]) == meaning
        except NoteInvalid:
            refused += 1
    assert refused == len(note) * 8


@given(
    st.binary(max_size=300)
    | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))
)
@settings(max_examples=300, deadline=None)
def test_rubbish_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(NoteInvalid):
        open_checkpoint(content, [])


@pytest.mark.parametrize(
    "text",
    [
        "origin\n012\n" + base64.b64encode(ROOT).decode() + "\n",
        "origin\n+12\n" + base64.b64encode(ROOT).decode() + "\n",
        "origin\n1_2\n" + base64.b64encode(ROOT).decode() + "\n",
        "origin\n١٢\n" + base64.b64encode(ROOT).decode() + "\n",
        "\n12\n" + base64.b64encode(ROOT).decode() + "\n",
        "origin\n12\n" + base64.b64encode(ROOT[:31]).decode() + "\n",
        "origin\n12\n" + base64.b64encode(ROOT).decode() + "\nextension\n",
        "origin\n12\n",
    ],
)
def test_malformed_checkpoints_are_refused(text: str) -> None:
    with pytest.raises(NoteInvalid):
        parse_checkpoint(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\u2003b", "a\x01b"])
def test_key_names_that_a_note_cannot_hold_are_refused(name: str, signer: KeyFileSigner) -> None:
    with pytest.raises(NoteInvalid):
        sign_note("text\n", name, signer)


def test_a_verifier_key_whose_id_does_not_fit_is_refused() -> None:
    with pytest.raises(NoteInvalid, match="key id"):
        VerifierKey.parse(GO_KEY.replace("c74f20a3", "c74f20a4"))
    with pytest.raises(NoteInvalid, match="form"):
        VerifierKey.parse("PeterNeumann")


def test_a_note_takes_sixteen_signatures_and_not_a_thousand(signer: KeyFileSigner) -> None:
    line = sign_note(GO_TEXT, "x", signer)[len(GO_TEXT) + 1 :]
    sixteen = parse_note(GO_TEXT + "\n" + line * 16)
    assert isinstance(sixteen, Note)
    assert len(sixteen.signatures) == 16
    with pytest.raises(NoteInvalid, match="too many"):
        parse_note(GO_TEXT + "\n" + line * 1000)
