"""What a secret store does."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from control_plane.adapters.secrets import FileSecretStore, create_secret
from control_plane.domain.errors import SettingInvalid
from control_plane.ports.stores import SecretStore

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def secrets(tmp_path: Path) -> SecretStore:
    create_secret(tmp_path / "master")
    return FileSecretStore(tmp_path / "master")


def test_keys_are_stable_and_differ_by_deployment_and_purpose(secrets: SecretStore) -> None:
    assert secrets.passphrase("dep_1") == secrets.passphrase("dep_1")
    assert secrets.hmac_key("dep_1") == secrets.hmac_key("dep_1")
    assert secrets.passphrase("dep_1") != secrets.passphrase("dep_2")
    assert secrets.hmac_key("dep_1") != secrets.hmac_key("dep_2")
    assert len(secrets.hmac_key("dep_1")) == 32
    assert len(secrets.passphrase("dep_1")) == 43  # 32 bytes in base64url
    assert secrets.passphrase("dep_1").isascii()


def test_the_file_is_made_by_a_call_alone_and_for_this_user_alone(tmp_path: Path) -> None:
    file = tmp_path / "master"
    store = FileSecretStore(file)
    with pytest.raises(SettingInvalid, match="tenantctl keys create"):
        store.passphrase("dep_1")
    assert not file.exists()
    create_secret(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["master"]
    passphrase = store.passphrase("dep_1")
    with pytest.raises(FileExistsError):
        create_secret(file)
    assert FileSecretStore(file).passphrase("dep_1") == passphrase
    create_secret(tmp_path / "other")
    assert FileSecretStore(tmp_path / "other").passphrase("dep_1") != passphrase


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "master"
    create_secret(file)
    file.chmod(mode)
    with pytest.raises(SettingInvalid, match="chmod 600"):
        FileSecretStore(file).passphrase("dep_1")


@pytest.mark.parametrize("content", [b"", b"short", b"!" * 44, b"QUJD\n"])
def test_a_file_that_is_not_whole_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "master"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(SettingInvalid, match="incomplete"):
        FileSecretStore(file).hmac_key("dep_1")
    assert file.read_bytes() == content
