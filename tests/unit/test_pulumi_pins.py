"""The pins of the Pulumi CLI agree with each other, and the cache folder is where it should be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from control_plane.adapters.cache import cache_folder
from control_plane.adapters.pulumi.build import PULUMI
from control_plane.adapters.pulumi.pins import pinned
from control_plane.bootstrap import Parts
from control_plane.config import Settings

ROOT = Path(__file__).parents[2]


def test_the_pins_agree_with_each_other() -> None:
    version = pinned().version
    go_mod = (PULUMI.module / "go.mod").read_text()
    assert f"require github.com/pulumi/pulumi/pkg/v3 v{version}\n" in go_mod
    assert re.search(
        rf"^pulumi=={re.escape(version)}\b", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
    assert set(pinned().archive_sha256) == {
        "linux-x64",
        "linux-arm64",
        "darwin-x64",
        "darwin-arm64",
    }
    for digest in pinned().archive_sha256.values():
        assert digest is None or re.fullmatch(r"[0-9a-f]{64}", digest)


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({"HOME": "/h"}, "linux", "/h/.cache/tenantplane"),
        ({"HOME": "/h"}, "darwin", "/h/Library/Caches/tenantplane"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "linux", "/x/tenantplane"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "relative"}, "linux", "/h/.cache/tenantplane"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x", "TENANTPLANE_CACHE": "/t"}, "linux", "/t"),
    ],
)
def test_the_cache_folder(environ: dict[str, str], platform: str, expected: str) -> None:
    assert cache_folder(environ, platform=platform) == Path(expected)


def test_the_named_program_may_lie_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "pulumi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho v{pinned().version}\n")
    program.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    parts = Parts(Settings(home=tmp_path, pulumi=Path("~/bin/pulumi")))
    assert parts._cli() == program
