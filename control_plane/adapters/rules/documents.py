"""Reading one rules document: YAML without repeated keys, against its schema, with a digest."""

from __future__ import annotations

import difflib
import json
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError, best_match

from control_plane.domain.canonical import digest
from control_plane.domain.errors import SettingInvalid

_REMEDY: Final = "correct the file or set TENANTPLANE_RULES_FOLDER"
_SOURCE: Final = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, kw_only=True)
class Document:
    """A rules document: its file name, content as plain JSON, and the digest of that content.

    ``lines`` has the line on which each part begins, by its path (``rules.0.id``).
    """

    file: str
    content: Mapping[str, Any]
    digest: str
    lines: Mapping[str, int] = field(default_factory=dict)

    def refused(self, path: str, reason: str) -> SettingInvalid:
        """Return the refusal of the document, one sentence with file, line and path."""
        return refused(self.file, path, reason, line=_line(self.lines, path))


def read_document(folder: Path, name: str) -> Document:
    """Return ``<folder>/<name>.yaml``, valid under ``<folder>/schemas/<name>.schema.json``.

    Only a document that is ``active`` is in force. The digest is over the content, so a comment
    does not change it. Raises ``SettingInvalid`` with
    one sentence that names the file and the path inside it.
    """
    document = read_text(folder / f"{name}.yaml", folder / "schemas" / f"{name}.schema.json")
    status = document.content["document"]["status"]
    if status != "active":
        raise document.refused("document.status", f"a document that is {status} is not in force")
    return document


def read_text(path: Path, schema_path: Path) -> Document:
    """Return the document of a file, valid under a schema, whatever its status is.

    Raises ``SettingInvalid`` as ``read_document`` does.
    """
    file = path.name
    try:
        text = path.read_text(encoding="utf-8")
        schema = json.loads(schema_path.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise SettingInvalid(
            f"The rules document {file} or its schema cannot be read in the rules folder; "
            f"{_REMEDY}.",
            file=file,
        ) from exc
    try:
        content = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader that refuses more
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(exc, "problem", None) or "it is not valid YAML"
        raise SettingInvalid(
            f"The rules document {file} cannot be read{line}: {problem}; {_REMEDY}.", file=file
        ) from exc
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    lines = dict(_lines(yaml.compose(text, Loader=_StrictLoader)))
    error = best_match(validator.iter_errors(content))
    if error is not None:
        found = _path(error)
        raise refused(file, found, _reason(error), line=_line(lines, found))
    return Document(file=file, content=content, digest=digest(content), lines=lines)


def found_folder(setting: Path) -> Path:
    """Return the folder that a setting names; the product's own where there is no such folder."""
    return setting if setting.is_absolute() or setting.exists() else _SOURCE / setting


def refused(file: str, path: str, reason: str, *, line: int | None = None) -> SettingInvalid:
    """Return the refusal of a document, one sentence with file, path and, if known, the line."""
    where = f"{path} (line {line})" if line else path
    reason = reason.rstrip(".")
    remedy = f" {_REMEDY[0].upper()}{_REMEDY[1:]}" if reason.endswith("?") else f"; {_REMEDY}"
    return SettingInvalid(
        f"The rules document {file} is invalid at {where}: {reason}{remedy}.",
        file=file,
        path=path,
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """Return what may have been meant, as the end of a sentence; empty where nothing is near."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def _reason(error: ValidationError) -> str:
    known: Any = error.validator_value
    if error.validator == "enum" and isinstance(error.instance, str):
        return f"{error.message}{nearest(error.instance, map(str, known))}"
    if error.validator == "type" and known == "string" and isinstance(error.instance, bool):
        return f"{error.message}; write it in quotes, since YAML reads NO, ON and OFF otherwise"
    return error.message


def _line(lines: Mapping[str, int], path: str) -> int | None:
    """Return the line of a path, or of what it is in where it is not there itself."""
    while path and path not in lines:
        path = path.rpartition(".")[0]
    return lines.get(path)


def _lines(node: yaml.Node | None, path: str = "") -> Iterator[tuple[str, int]]:
    if node is None:
        return
    if path:
        yield path, node.start_mark.line + 1
    inside = f"{path}." if path else ""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _lines(value, f"{inside}{key.value}")
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, f"{inside}{index}")


def _path(error: ValidationError) -> str:
    return ".".join(str(part) for part in error.absolute_path) or "its top level"


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key is written once: the plain loader silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping of a node. Raises ``yaml.YAMLError`` for a repeated key."""
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is duplicated", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)
