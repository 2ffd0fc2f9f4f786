"""The log of a dossier, checked by an implementation of somebody else: golang.org/x/mod/sumdb."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.integration.audit_world import ACME, Database, World
from tests.integration.dossiers import export, verified

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# opens the checkpoint with the verifier key, hashes the entries, and compares tiles and root
CHECK = """
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error) {
	if err != nil {
		fmt.Println("BAD", err)
		os.Exit(3)
	}
}

func files(folder string) []string {
	var found []string
	must(filepath.Walk(folder, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			found = append(found, path)
		}
		return err
	}))
	sort.Slice(found, func(a, b int) bool {
		return strings.ReplaceAll(found[a], "x", "") < strings.ReplaceAll(found[b], "x", "")
	})
	return found
}

func main() {
	folder := os.Args[1]
	verifier, err := note.NewVerifier(os.Args[2])
	must(err)
	text, err := os.ReadFile(folder + "/checkpoint")
	must(err)
	opened, err := note.Open(text, note.VerifierList(verifier))
	must(err)
	lines := strings.SplitN(opened.Text, "\\n", 2)
	tree, err := tlog.ParseTree([]byte("go.sum database tree\\n" + lines[1]))
	must(err)
	var hashes []tlog.Hash
	var leaves bytes.Buffer
	reader := tlog.HashReaderFunc(func(wanted []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, at := range wanted {
			found = append(found, hashes[at])
		}
		return found, nil
	})
	count := int64(0)
	for _, path := range files(folder + "/tile/entries") {
		content, err := os.ReadFile(path)
		must(err)
		for len(content) > 0 {
			size := int(binary.BigEndian.Uint16(content))
			entry := content[2 : 2+size]
			content = content[2+size:]
			leaf := tlog.RecordHash(entry)
			leaves.Write(leaf[:])
			more, err := tlog.StoredHashes(count, entry, reader)
			must(err)
			hashes = append(hashes, more...)
			count++
		}
	}
	var tiles bytes.Buffer
	for _, path := range files(folder + "/tile/0") {
		content, err := os.ReadFile(path)
		must(err)
		tiles.Write(content)
	}
	root, err := tlog.TreeHash(count, reader)
	must(err)
	if count != tree.N || root != tree.Hash || !bytes.Equal(tiles.Bytes(), leaves.Bytes()) {
		fmt.Println("BAD the entries are not those that were signed")
		os.Exit(3)
	}
	fmt.Println("OK", count)
}
"""


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed, which compiles the independent implementation")
    folder = tmp_path_factory.mktemp("go")
    (folder / "main.go").write_text(CHECK)
    (folder / "go.mod").write_text("module check\n\ngo 1.24\n\nrequire golang.org/x/mod v0.37.0\n")
    environment = {**os.environ, "GOFLAGS": "-mod=mod"}
    built = subprocess.run(
        [go, "build", "-o", "check", "."],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    if built.returncode and "dial tcp" in built.stderr:
        pytest.skip(f"the module proxy cannot be reached: {built.stderr.strip()[-200:]}")
    assert built.returncode == 0, built.stderr
    return folder / "check"


def run(checker: Path, folder: Path, key: str) -> tuple[int, str]:
    ended = subprocess.run(
        [checker, folder / "log", key], capture_output=True, text=True, timeout=60, check=False
    )
    return ended.returncode, ended.stdout.strip()


def test_a_stranger_agrees_and_finds_a_changed_byte_too(
    checker: Path, postgres_url: str, tmp_path: Path
) -> None:
    database = Database(owner_url=postgres_url)
    database.create()
    world = World(database, tmp_path)
    world.grow(ACME, 600, 200)
    world.record(1, "platform", action="rules.loaded", targets=(), run=None, approval=None,
                 data={"document": "regions", "digest": "sha256:" + "0" * 64})  # fmt: skip
    world.settle()
    export(world, tmp_path / "a.zip")
    world.close()
    assert verified(tmp_path / "a.zip")["verdict"] == "OK"
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "a")
    keys = json.loads((tmp_path / "a" / "keys.json").read_text())["keys"]
    key = next(row["vkey"] for row in keys if row["tree"] == ACME)
    assert run(checker, tmp_path / "a", key) == (0, "OK 600")

    bundle = tmp_path / "a" / "log" / "tile" / "entries" / "001"
    content = bytearray(bundle.read_bytes())
    content[5000] ^= 1
    bundle.write_bytes(bytes(content))
    assert run(checker, tmp_path / "a", key)[0] == 3
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as changed:
        for path in sorted((tmp_path / "a").rglob("*")):
            if path.is_file():
                changed.write(path, str(path.relative_to(tmp_path / "a")))
    assert verified(tmp_path / "b.zip")["verdict"] != "OK"
