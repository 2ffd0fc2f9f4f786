"""Specs against their JSON Schemas, which the stacks' models generate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from control_plane.domain.errors import InvalidInput

FILES: Final = {
    "mode_a.hub": "spec_hub",
    "mode_a.slice": "spec_slice",
    "mode_b": "spec_dedicated",
    "receipt": "mode_c_receipt",
    "destroy_receipt": "mode_c_destroy_receipt",
    "import_report": "mode_c_import_report",
}
# sentences that do not repeat a value, which may be long or not meant to be shown
_WORDS: Final = {
    "const": "must be {}",
    "enum": "must be one of {}",
    "maxLength": "must have at most {} characters",
    "minLength": "must have at least {} characters",
    "pattern": "does not match the pattern {}",
    "type": "must be of the type {}",
}


class JsonSchemaSpecs:
    """The port ``Specs`` over a folder of schemas, read once."""

    def __init__(self, folder: Path) -> None:
        self._validators = {
            program: Draft202012Validator(
                json.loads((folder / f"{name}.schema.json").read_text(encoding="utf-8"))
            )
            for program, name in FILES.items()
        }

    def validate(self, program: str, spec: Mapping[str, Any]) -> None:
        """Check a document against the schema of its program, or a receipt against its own.

        Raises ``InvalidInput`` naming the field that is wrong, missing or unknown.
        """
        error = best_match(self._validators[program].iter_errors(spec))
        if error is None:
            return
        where, words = [str(part) for part in error.absolute_path], error.message
        if error.validator == "required":
            missing = next(name for name in error.validator_value if name not in error.instance)
            where, words = [*where, missing], "is missing"
        elif error.validator == "additionalProperties":
            known = error.schema["properties"]
            where, words = [*where, min(set(error.instance) - set(known))], "is not a known field"
        elif error.validator in _WORDS:
            words = _WORDS[error.validator].format(error.validator_value)
        field = ".".join(where) or program
        raise InvalidInput(f"{field}: {words}", field=field)
