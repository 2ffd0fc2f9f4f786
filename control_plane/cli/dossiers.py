"""Commands on dossiers: what an auditor takes along and verifies alone."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import zipfile
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from control_plane.cli import output
from control_plane.cli.client import from_environment, segment
from control_plane.cli.errors import UNAVAILABLE, USAGE
from control_plane.cli.refusing import Json, refuse

VERIFIER: Final = (
    Path(__file__).parent.parent / "adapters" / "audit" / "offline" / "audit-verify.py"
)
_TELL_SECONDS: Final = 1.0
Tree = Annotated[str, typer.Argument(help="Tenant id or slug, or `platform`.")]
Since = Annotated[
    datetime | None, typer.Option("--from", help="Time (UTC) of the first line to read.")
]
Until = Annotated[
    datetime | None, typer.Option("--to", help="Time (UTC) of the last line to read.")
]


class Format(StrEnum):
    """What of a dossier is written."""

    ZIP = "zip"
    NDJSON = "ndjson"
    CSV = "csv"
    HTML = "html"


_MEMBERS: Final = {
    Format.NDJSON: "entries.ndjson", Format.CSV: "entries.csv", Format.HTML: "page.html",
}  # fmt: skip


def export(
    tree: Tree,
    out: Annotated[Path, typer.Option("--out", help="File to write; an existing one is kept.")],
    since: Since = None,
    until: Until = None,
    wanted: Annotated[
        Format, typer.Option("--format", help="The whole dossier, or one file of it.")
    ] = Format.ZIP,
    grant: Annotated[
        str | None,
        typer.Option("--grant", help="Grant (`audit grant`) whose personal values it holds."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the dossier of a log to a file: verified offline, with one file of Python.

    The whole log is in it; --from and --to limit the lines to read. The export is an event in the
    same log. Exit 2 when the file exists.
    """
    if out.exists():
        refuse(f"{out} exists; give --out another name", USAGE)
    part = out.with_name(f".{out.name}.part")
    try:
        digest = _download(tree, part, since, until, grant)
        if wanted is not Format.ZIP:
            _take_out(part, _MEMBERS[wanted])
        part.rename(out)
    except (KeyError, zipfile.BadZipFile):
        refuse("the answer is not a dossier; is TENANTPLANE_URL correct?", UNAVAILABLE)
    except OSError as error:
        refuse(f"{error.filename or out}: {error.strerror}", USAGE)
    finally:
        part.unlink(missing_ok=True)
    if as_json:
        output.as_json_text({"file": str(out), "manifest_digest": digest})
        return
    output.say(f"{out}  manifest {digest}")
    if wanted is Format.ZIP:
        output.say(f"verify it: python -I audit-verify.py {out}    (audit-verify.py is in it)")


def sample(
    tree: Annotated[
        str, typer.Argument(help="Tenant id or slug, or the file of a dossier (FILE.zip).")
    ],
    seed: Annotated[str, typer.Option("--seed", help="The same seed picks the same runs.")],
    count: Annotated[int, typer.Option("-n", min=1, max=10_000, help="How many runs.")] = 25,
    as_json: Json = False,
) -> None:
    """Pick runs that changed something, with the entries that are evidence of each.

    The log is verified first, as `audit-verify.py` does; the exit code is that of the verifier.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(tree)
        if not tree.endswith(".zip"):
            file = Path(folder) / "dossier.zip"
            _download(tree, file)
        elif not file.is_file():
            refuse(f"{file} does not exist", USAGE)
        command = [sys.executable, "-I", str(VERIFIER), str(file.absolute())]
        command += ["--sample", str(count), f"--seed={seed}", *(["--json"] if as_json else [])]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    output.say(ended.stdout.rstrip("\n"))
    sys.stderr.write(ended.stderr)
    raise typer.Exit(ended.returncode)


def _download(
    tree: str,
    file: Path,
    since: datetime | None = None,
    until: datetime | None = None,
    grant: str | None = None,
) -> str:
    """Write a dossier to a file, tell on stderr how far it is, and return its manifest's digest."""
    last = time.monotonic()

    def told(count: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _TELL_SECONDS:
            last = time.monotonic()
            sys.stderr.write(f"{count / 1e6:.0f} MB\n")

    with file.open("xb") as opened:
        file.chmod(0o600)
        headers = from_environment().save(
            f"/v1/audit/{segment(tree)}/dossier", opened, told,
            **{"from": _text(since), "to": _text(until), "grant": grant},
        )  # fmt: skip
    return str(headers.get("X-Manifest-Digest", ""))


def _take_out(file: Path, member: str) -> None:
    """Leave one file of a dossier in its place."""
    with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as one:
        path = Path(one.name)
        try:
            with zipfile.ZipFile(file) as archive, archive.open(member) as content:
                while block := content.read(1 << 20):
                    one.write(block)
            path.rename(file)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _text(moment: datetime | None) -> str | None:
    """Return a time with its zone; one without is UTC."""
    if moment is None:
        return None
    return f"{moment.isoformat()}Z" if moment.tzinfo is None else moment.isoformat()
