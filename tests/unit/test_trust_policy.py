"""Trust policies and cosignatures, as C2SP writes them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from control_plane.adapters.audit.cosignature import (
    Cosignature,
    CosignatureMisdated,
    WitnessKey,
    read_cosignatures,
)
from control_plane.adapters.audit.note import NoteInvalid, VerifierKey
from control_plane.adapters.audit.trustpolicy import PolicyInvalid, load_policy, parse_policy
from control_plane.domain.errors import SettingInvalid
from tests.scripted_witness import ScriptedWitness

LOG = VerifierKey(name="localhost/audit/root", public_key=bytes([9]) * 32)
KEYS = [str(WitnessKey(name=f"w{n}.example/key", public_key=bytes([n]) * 32)) for n in range(1, 6)]
W1, W2, W3 = (f"witness w{n} {KEYS[n - 1]}" for n in range(1, 4))
# the example of c2sp.org/tlog-cosignature: text, and the line of its witness
TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
LINE = (
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2"
    "oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA=="
)


def policy(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def seen_by(*names: str) -> list[Cosignature]:
    found = parse_policy(policy(W1, W2, W3, "quorum none"))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        Cosignature(name=item.key.name, key_id=item.key.id.hex(), line="",
                    time=start + timedelta(minutes=int(item.name[1:])))
        for item in found.witnesses if item.name in names
    ]  # fmt: skip


def test_a_policy_with_two_levels_of_groups_counts_witnesses() -> None:
    text = policy(
        "# a comment", "", f"log {LOG} https://logs.example/root",
        *(f"\twitness  w{n} {KEYS[n - 1]}\thttps://w{n}.example/prefix/ " for n in range(1, 5)),
        f"witness last {KEYS[4]}",
        "group two 2 w1 w2 w3", "group one any w4 last", "group both all two one", "quorum both",
    )  # fmt: skip
    found = parse_policy(text)
    assert found.logs == (LOG,)
    assert [item.url for item in found.witnesses] == [
        *(f"https://w{n}.example/prefix" for n in range(1, 5)), None,
    ]  # fmt: skip
    assert found.is_quorum({"w1", "w3", "last"})
    assert not found.is_quorum({"w1", "w4", "last"})
    assert not found.is_quorum({"w1", "w2", "w3"})
    assert not found.is_quorum({"two", "one", "both"})  # groups sign nothing
    again = parse_policy(policy(*found.lines()))
    assert (again.groups, again.quorum) == (found.groups, "both")
    assert [item.url for item in again.witnesses] == [None] * 5


@pytest.mark.parametrize(
    ("names", "minute"),
    [(("w1", "w2", "w3"), 2), (("w1", "w3"), 1), (("w2", "w3"), 2), (("w3",), None)],
)
def test_a_quorum_has_seen_a_head_when_the_last_that_it_needs_had(
    names: tuple[str, ...], minute: int | None
) -> None:
    found = parse_policy(policy(W1, W2, W3, "group g 2 w1 w2 w3", "quorum g"))
    at = found.quorum_time(seen_by(*names))
    assert (None if at is None else at.minute) == minute


def test_without_a_quorum_rule_nothing_has_a_quorum_time() -> None:
    found = parse_policy(policy(W1, "quorum none"))
    assert found.is_quorum(())
    assert not found.has_quorum_rule
    assert found.quorum_time(seen_by("w1")) is None


ML_DSA = "m.example+00000000+Bg=="


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((W1,), "a line `quorum NAME` is missing"),
        ((), "a line `quorum NAME` is missing"),
        (("quorum none", "quorum none"), "line 2: there is a quorum line already"),
        (("quorum w1", W1), "line 1: 'w1' is not a witness or group of the lines before it"),
        ((W1, W1, "quorum none"), "line 2: the name 'w1' is taken"),
        ((W1, f"witness again {KEYS[0]}"), "line 2: its key is that of w1, which would count"),
        (("witness none " + KEYS[0],), "line 1: the name 'none' is taken"),
        ((W1, "group g any w1", "group h any w1"), "line 3: 'w1' is a member of a group already"),
        ((W1, "group g all w1 w1"), "line 2: 'w1' is a member of a group already"),
        (("group g any g",), "line 1: 'g' is not a witness or group"),
        (("group g any none",), "line 1: 'none' is not a witness or group"),
        ((W1, "group g 2 w1"), "line 2: a group says all, any, or a number from 1 to 1"),
        ((W1, "group g 0 w1"), "line 2: a group says all, any, or a number from 1 to 1"),
        ((W1, "group g 01 w1"), "line 2: a group says all"),
        ((W1, "group g any"), "line 2: its form is: group NAME all|any|K MEMBER…"),
        (("witness w1",), "line 1: its form is: witness NAME VKEY [URL]"),
        (("log",), "line 1: its form is: log VKEY [URL]"),
        (("quorum w1 w2",), "line 1: its form is: quorum NAME|none"),
        (("",) * 6 + ("witnes w1",), "line 7: it begins with 'witnes', not with one of"),
        ((f"log {KEYS[0]}",), "line 1: only Ed25519 verifier keys are known"),
        ((f"witness w {LOG}",), "line 1: a witness has an Ed25519 key of type 0x04, not 0x01"),
        ((f"witness w {ML_DSA}",), "line 1: a witness has an Ed25519 key of type 0x04, not 0x06"),
        ((f"witness w {KEYS[0][:-1]}",), "line 1: not base64"),
        ((f"witness w {KEYS[0].replace('w1', 'wx')}",), "line 1: the key id does not belong"),
        ((f"log {LOG}", f"log {LOG}"), "line 2: this log is named already"),
        ((f"{W1} ftp://w1.example/",), "line 1: The URL must begin with https://"),
        ((f"{W1} https://joe:x@w1.example/",), "line 1: The URL must not have credentials"),
        ((W1 + "\r",), "line 1: it holds a control character"),
        ((W1 + "\xa0",), "line 1: not base64"),  # no white space but space and tab
        (tuple(f"# {'x' * 1000}" for _ in range(70)), "a policy has at most 64 KiB"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_with_its_line(
    lines: tuple[str, ...], said: str
) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        parse_policy(policy(*lines))
    assert str(refused.value).startswith(said)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(PolicyInvalid, match="line 2: it is not UTF-8"):
        parse_policy(b"quorum none\n# \xff\n")


def test_the_setting_and_the_file_are_named(tmp_path: Path) -> None:

    path = tmp_path / "witnesses.policy"
    with pytest.raises(SettingInvalid, match=r"^SOME_SETTING: .*cannot be read"):
        load_policy(path, "SOME_SETTING")
    path.write_bytes(b"quorum nobody\n")
    with pytest.raises(SettingInvalid, match=r"^SOME_SETTING: .*: line 1: 'nobody'"):
        load_policy(path, "SOME_SETTING")


# --- cosignatures -------------------------------------------------------------------------------
def test_a_cosignature_is_verified_with_its_time() -> None:
    witness = ScriptedWitness("w.example/1")
    lines = [witness.cosign(TEXT, at).rstrip("\n") for at in (1000.0, 3000.0, 2000.0)]
    (found,) = read_cosignatures([LINE, *lines], TEXT, [witness.key])
    assert (found.name, found.line) == ("w.example/1", lines[1])
    assert found.time.timestamp() == 3000
    with pytest.raises(NoteInvalid, match="does not verify"):
        read_cosignatures(lines, TEXT.replace("20852163", "20852164"), [witness.key])
    assert WitnessKey.parse(str(witness.key)) == witness.key
    witness.server.server_close()


@pytest.mark.parametrize(("minutes", "is_good"), [(-6, False), (-4, True), (4, True), (6, False)])
def test_a_cosignature_of_an_impossible_time_is_refused(minutes: int, is_good: bool) -> None:
    witness = ScriptedWitness("w.example/1")
    now = datetime(2026, 5, 1, tzinfo=UTC)
    line = witness.cosign(TEXT, (now + timedelta(minutes=minutes)).timestamp()).rstrip("\n")
    witness.server.server_close()
    if is_good:
        assert len(read_cosignatures([line], TEXT, [witness.key], since=now, now=now)) == 1
    else:
        with pytest.raises(CosignatureMisdated):
            read_cosignatures([line], TEXT, [witness.key], since=now, now=now)


@pytest.mark.parametrize("blob", [b"", b"\0" * 71, b"\0" * 73, b"\xff" * 72])
def test_a_malformed_cosignature_of_a_known_key_is_refused(blob: bytes) -> None:

    witness = ScriptedWitness("w.example/1")
    witness.server.server_close()
    line = f"— w.example/1 {base64.b64encode(witness.key.id + blob).decode()}"
    with pytest.raises(NoteInvalid):
        read_cosignatures([line], TEXT, [witness.key])
