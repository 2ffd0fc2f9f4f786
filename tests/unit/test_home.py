"""Keys are made by a command, and a folder that it has not made is not taken for a home."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from control_plane.adapters.home import MARK, Home, Key
from control_plane.adapters.identity.embedded import EmbeddedIssuer
from control_plane.adapters.secrets import read_secret
from control_plane.bootstrap import Parts, start_process
from control_plane.config import Settings
from control_plane.domain.errors import SettingInvalid


def test_keys_are_made_once_for_this_user_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert home.create_keys([Key.PAGE]) == [Key.PAGE]
    page = read_secret(home.key(Key.PAGE))
    assert home.create_keys(Key) == [
        Key.MASTER, Key.BUNDLE, Key.AUDIT, Key.ONBOARDING, Key.ISSUER
    ]  # fmt: skip
    assert home.create_keys(Key) == []
    assert read_secret(home.key(Key.PAGE)) == page
    assert read_secret(home.key(Key.MASTER)) != page
    for path in (home.folder, *home.folder.rglob("*")):
        wanted = 0o700 if path.is_dir() else 0o644 if path.suffix == ".pub" else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_a_folder_without_its_mark_is_refused_with_the_remedy(tmp_path: Path) -> None:
    home = Home(tmp_path / "mounted")
    with pytest.raises(SettingInvalid, match=r"is the volume mounted\?.*tenantctl keys create"):
        home.require()
    assert not home.folder.exists()
    home.create_keys([Key.MASTER])
    home.require()
    (home.folder / MARK).unlink()
    with pytest.raises(SettingInvalid, match="not a home folder"):
        home.require()


@pytest.mark.parametrize("role", ["api", "worker", "signer"])
def test_no_process_starts_on_a_folder_that_is_not_its_home(
    role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "HOME": str(tmp_path / "not-mounted"),
        "SANDBOX_URL": "http://127.0.0.1:1",
    }
    databases = ("SEQUENCER_",) if role == "signer" else ("", "AUDITOR_")
    given |= {f"DATABASE_{name}URL": "postgresql://nobody@127.0.0.1:1/x" for name in databases}
    for name, value in given.items():
        monkeypatch.setenv(f"TENANTPLANE_{name}", value)
    with pytest.raises(SettingInvalid, match="not a home folder"):
        start_process(role)
    assert not (tmp_path / "not-mounted").exists()


@pytest.mark.parametrize("key", [Key.MASTER, Key.BUNDLE])
def test_a_worker_does_not_start_without_its_keys(
    key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTPLANE_HOME", str(tmp_path))
    monkeypatch.setenv("TENANTPLANE_SANDBOX_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("TENANTPLANE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x")
    monkeypatch.setenv("TENANTPLANE_DATABASE_AUDITOR_URL", "postgresql://nobody@127.0.0.1:1/x")
    Home(tmp_path).create_keys({Key.MASTER, Key.BUNDLE} - {key})
    with pytest.raises(SettingInvalid, match=rf"{key}\.key.*tenantctl keys create"):
        start_process("worker")
    assert not Home(tmp_path).key(key).exists()


@pytest.mark.parametrize("key", sorted(set(Key) - {Key.AUDIT}))
def test_a_missing_key_is_refused_and_not_made(key: Key, tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create_keys(set(Key) - {key})
    parts = Parts(Settings(home=tmp_path))
    uses = {
        Key.MASTER: lambda: parts.secrets.hmac_key("dep_1"),
        Key.BUNDLE: parts.builder._key,  # what a build asks for before it begins
        Key.PAGE: lambda: parts.page_key,
        Key.ONBOARDING: lambda: parts.onboarding_keys.hidden("token", "x"),
        Key.ISSUER: lambda: parts.embedded_issuer,
    }
    with pytest.raises(Exception, match="tenantctl keys create"):
        uses[key]()
    assert not home.key(key).exists()


def test_an_api_makes_nothing_in_its_home(tmp_path: Path) -> None:
    """It may be mounted read-only."""
    Home(tmp_path).create_keys([Key.PAGE])
    before = sorted(tmp_path.rglob("*"))
    url = "postgresql://nobody@127.0.0.1:1/x"
    parts = Parts(Settings(home=tmp_path, database_url=url, database_auditor_url=url))
    assert parts.core.limits.call_life > parts.core.limits.apply_life
    assert parts.page_key
    assert sorted(tmp_path.rglob("*")) == before


def test_page_tokens_need_no_master_secret(tmp_path: Path) -> None:
    Home(tmp_path).create_keys([Key.PAGE])
    assert len(Parts(Settings(home=tmp_path)).page_key) == 32


def test_an_issuers_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create_keys([Key.ISSUER])
    home.key(Key.ISSUER).chmod(0o640)
    with pytest.raises(SettingInvalid, match="chmod 600"):
        EmbeddedIssuer(home.key(Key.ISSUER), audience="x")
