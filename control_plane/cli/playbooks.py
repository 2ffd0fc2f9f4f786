"""`tenantctl playbook`: check a playbook document, and show what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from control_plane import config
from control_plane.cli import output
from control_plane.cli.errors import USAGE
from control_plane.cli.playbook_words import conditions_of, needs_of, said
from control_plane.cli.refusing import Json, refuse

if TYPE_CHECKING:
    from control_plane.domain.playbook import Playbook

playbook = typer.Typer(no_args_is_help=True, help="Playbooks: check and show them.")

File = Annotated[Path, typer.Argument(help="The document.", exists=True, dir_okay=False)]
_SHAPES: Final = {
    "action": "box", "gate": "octagon", "approval": "diamond", "meeting": "ellipse",
    "task": "note", "form": "note",
}  # fmt: skip


@playbook.command()
def check(file: File, as_json: Json = False) -> None:
    """Check a document: names, times, circles and ways back.

    What is wrong is named with its line (exit 2).
    """
    found = _read(file)
    if as_json:
        output.as_json_text(_summary(found))
    else:
        output.say(f"{file.name} is valid: {found.key}, version {found.version}")
        output.say(f"  {len(found.steps)} steps, begins when {found.trigger}")
        output.say(f"  digest {found.digest}")


@playbook.command()
def show(
    file: File,
    as_json: Json = False,
    dot: Annotated[
        bool, typer.Option("--dot", help="Print the graph in the language of Graphviz.")
    ] = False,
) -> None:
    """Show the steps of a document: what each needs, who answers for it, and by when.

    A picture: `tenantctl playbook draw FILE --out playbook.svg`.
    """
    found = _read(file)
    if dot:
        for line in drawn(found):
            output.line(line)
        return
    rows = [
        {
            "step": step.key,
            "kind": str(step.kind),
            "owner": step.owner,
            "needs": needs_of(step),
            "when": conditions_of(step),
            "due": said(step.due) if step.due else "",
        }
        for step in found.steps
    ]
    if as_json:
        output.as_json_text({**_summary(found), "steps": rows})
        return
    output.say(f"{found.title} ({found.key}, version {found.version})")
    fields = ["step", "kind", "owner", "needs", "when", "due"]
    output.table(rows, as_json=False, fields=fields, empty="")


@playbook.command()
def draw(
    file: File,
    out: Annotated[Path, typer.Option("--out", help="The SVG file to write.", dir_okay=False)],
    as_json: Json = False,
) -> None:
    """Draw the steps of a document as an SVG: who owns each, what it needs, when it is due."""
    from control_plane.cli.playbook_picture import picture  # noqa: PLC0415 - rarely needed

    found = _read(file)
    drawing = picture(found)
    try:
        out.write_text(drawing, encoding="utf-8")
    except OSError as error:
        refuse(f"{out} cannot be written: {error.strerror}", USAGE)
    if as_json:
        output.as_json_text({**_summary(found), "file": str(out)})
    else:
        output.say(f"{out}: {len(found.steps)} steps of {found.key}, version {found.version}")


def _read(file: Path) -> Playbook:
    from control_plane.adapters.rules.documents import found_folder  # noqa: PLC0415 - as above
    from control_plane.adapters.rules.playbooks import read_playbook  # noqa: PLC0415 - heavy

    return read_playbook(file, found_folder(config.load().rules_folder) / "schemas")


def _summary(found: Playbook) -> dict[str, Any]:
    return {
        "key": found.key,
        "version": found.version,
        "digest": found.digest,
        "title": found.title,
        "trigger": found.trigger,
        "steps": len(found.steps),
    }


def drawn(found: Playbook) -> Iterator[str]:
    """Yield the lines of a graph in the DOT language."""
    yield f'digraph "{found.key}" {{'
    yield "  rankdir=LR; node [fontname=Helvetica]; edge [fontname=Helvetica];"
    for step in found.steps:
        yield f'  "{step.key}" [shape={_SHAPES[step.kind]}, label="{step.key}\\n{step.owner}"];'
        for need in step.needs:
            label = f' [label="{need.outcome}"]' if need.outcome else ""
            yield f'  "{need.step}" -> "{step.key}"{label};'
        if step.unless is not None:
            yield f'  "{step.unless.step}" -> "{step.key}" [style=dotted, label="unless"];'
        for again in step.again:
            label = f"{again.outcome}, {again.limit} times at most"
            yield f'  "{step.key}" -> "{again.back_to}" [style=dashed, label="{label}"];'
    yield "}"
