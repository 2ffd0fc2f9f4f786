"""What a secret store does."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.secrets import FileSecretStore, create_secret
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.stack_salt import StackSalt
from control_plane.ports.stores import SecretStore

pytestmark = pytest.mark.timeout(60)

MOMENT = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def secrets(tmp_path: Path) -> SecretStore:
    create_secret(tmp_path / "master")
    return FileSecretStore(tmp_path / "master")


def salt(value: str | None, **changes: Any) -> StackSalt:
    """The salt of a stack, as it is or was erased."""
    return StackSalt(id="dep_1", salt=value, made_at=MOMENT, **{"is_late": False} | changes)


def passphrase_of(store: SecretStore, of: StackSalt | None = None, owner: str = "dep_1") -> str:
    return store.stack_keys(owner, of).passphrase


def test_keys_are_stable_and_differ_by_deployment_and_purpose(secrets: SecretStore) -> None:
    assert passphrase_of(secrets) == passphrase_of(secrets)
    assert secrets.hmac_key("dep_1") == secrets.hmac_key("dep_1")
    assert passphrase_of(secrets) != passphrase_of(secrets, owner="dep_2")
    assert secrets.hmac_key("dep_1") != secrets.hmac_key("dep_2")
    assert len(secrets.hmac_key("dep_1")) == 32
    assert len(passphrase_of(secrets)) == 43  # 32 bytes in base64url
    assert passphrase_of(secrets).isascii()


def test_a_salt_makes_keys_that_nothing_else_makes(secrets: SecretStore) -> None:
    one, other = salt("a" * 43), salt("b" * 43)
    gone = salt(None, erased_at=MOMENT)
    made = [secrets.stack_keys("dep_1", each) for each in (None, one, other, gone)]
    assert len({keys.passphrase for keys in made}) == 4
    assert len({keys.hmac_key for keys in made}) == 4
    assert passphrase_of(secrets, one) == passphrase_of(secrets, one)
    assert passphrase_of(secrets, one) != passphrase_of(secrets, one, owner="dep_2")
    assert [keys.former for keys in made] == [None] * 4


def test_a_stack_of_an_earlier_release_is_opened_by_its_former_key_until_that_is_erased(
    secrets: SecretStore,
) -> None:
    before = secrets.stack_keys("dep_1", None)
    late = secrets.stack_keys("dep_1", salt("a" * 43, is_late=True))
    assert late.passphrase != before.passphrase
    assert late.former == before.passphrase
    assert late.hmac_key == before.hmac_key  # digests of states stay what they were
    assert secrets.stack_keys("dep_1", salt(None, is_late=True, erased_at=MOMENT)).former is None


def test_keys_and_salts_are_not_shown(secrets: SecretStore) -> None:
    keys = secrets.stack_keys("dep_1", salt("a" * 43, is_late=True))
    shown = f"{keys!r} {salt('a' * 43)!r}"
    assert not [each for each in (keys.passphrase, keys.former, "a" * 43) if str(each) in shown]


def test_the_file_is_made_by_a_call_alone_and_for_this_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "master"
    store = FileSecretStore(file)
    with pytest.raises(SettingInvalid, match="tenantctl keys create"):
        passphrase_of(store)
    assert not file.exists()
    create_secret(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["master"]
    passphrase = passphrase_of(store)
    with pytest.raises(FileExistsError):
        create_secret(file)
    assert passphrase_of(FileSecretStore(file)) == passphrase
    create_secret(tmp_path / "other")
    assert passphrase_of(FileSecretStore(tmp_path / "other")) != passphrase


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "master"
    create_secret(file)
    file.chmod(mode)
    with pytest.raises(SettingInvalid, match="chmod 600"):
        passphrase_of(FileSecretStore(file))


@pytest.mark.parametrize("content", [b"", b"short", b"!" * 44, b"QUJD\n"])
def test_a_file_that_is_not_whole_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "master"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(SettingInvalid, match="incomplete"):
        FileSecretStore(file).hmac_key("dep_1")
    assert file.read_bytes() == content
