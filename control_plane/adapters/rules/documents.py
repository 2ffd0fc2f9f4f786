"""Reading one rules document: YAML without repeated keys, against its schema, with a digest."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError, best_match

from control_plane.domain.canonical import digest
from control_plane.domain.errors import SettingInvalid

_REMEDY: Final = "correct the file or set TENANTPLANE_RULES_FOLDER"


@dataclass(frozen=True, kw_only=True)
class Document:
    """A rules document: its file name, content as plain JSON, and the digest of that content."""

    file: str
    content: Mapping[str, Any]
    digest: str


def read_document(folder: Path, name: str) -> Document:
    """Return ``<folder>/<name>.yaml``, valid under ``<folder>/schemas/<name>.schema.json``.

    Only a document that is ``active`` is in force. The digest is over the content, so a comment
    does not change it. Raises ``SettingInvalid`` with
    one sentence that names the file and the path inside it.
    """
    file = f"{name}.yaml"
    try:
        text = (folder / file).read_text(encoding="utf-8")
        schema = json.loads((folder / "schemas" / f"{name}.schema.json").read_text("utf-8"))
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
    error = best_match(validator.iter_errors(content))
    if error is not None:
        raise refused(file, _path(error), error.message)
    status = content["document"]["status"]
    if status != "active":
        raise refused(file, "document.status", f"a document that is {status} is not in force")
    return Document(file=file, content=content, digest=digest(content))


def refused(file: str, path: str, reason: str) -> SettingInvalid:
    """Return the refusal of a document, one sentence with file and path."""
    return SettingInvalid(
        f"The rules document {file} is invalid at {path}: {reason.rstrip('.')}; {_REMEDY}.",
        file=file,
        path=path,
    )


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
