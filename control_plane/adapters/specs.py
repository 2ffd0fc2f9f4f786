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
        """Check a spec against the schema of its program. Raises ``InvalidInput``."""
        error = best_match(self._validators[program].iter_errors(spec))
        if error is not None:
            where = ".".join(str(part) for part in error.absolute_path) or "spec"
            raise InvalidInput(f"{where}: {error.message}", field=where)
