"""``python -m stacks.schemas``: write the JSON Schemas; ``--check``: exit 1 when one is stale."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from stacks import contract, spec

FOLDER = Path(__file__).parent


def documents() -> dict[str, str]:
    """Return file name -> JSON text of every schema."""
    models: dict[str, type[BaseModel]] = {
        "runner_request": contract.Request,
        "spec_hub": spec.HubSpec,
        "spec_slice": spec.SliceSpec,
        "spec_dedicated": spec.DedicatedSpec,
        "hub_outputs": spec.HubOutputs,
    }
    schemas = {name: model.model_json_schema() for name, model in models.items()}
    schemas["runner_line"] = TypeAdapter(contract.Line).json_schema()
    return {
        f"{name}.schema.json": json.dumps(schema, indent=2, sort_keys=True) + "\n"
        for name, schema in schemas.items()
    }


def main(arguments: list[str]) -> int:
    """Write or check; returns the exit code."""
    stale = []
    for name, text in documents().items():
        path = FOLDER / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.write_text(text)
    if stale and "--check" in arguments:
        sys.stderr.write(f"out of date:  {', '.join(stale)}; run `make schemas`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
