"""JSON Schema of the configuration files, for editors: completion, units and unknown keys while typing.

The schema is a guide; `foundry.loader.load` decides. A file that extends another may leave out what the other gives.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from foundry.quantities import Fraction, NonNegative, Positive, Quantity, Strict
from foundry.scenario import ItemPrice, Lab, MarketPanel, Plant, Price, Scenario
from processes.recipe import Product, Recipe

FILES: dict[str, type[Strict]] = {"scenario": Scenario, "product": Product, "recipe": Recipe, "plant": Plant, "lab": Lab,
                               "panel": MarketPanel}
_PARTS = {"product": "Product", "recipe": "Recipe", "plant": "Plant", "lab": "Lab"}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT = {"type": "string"}
_EXTENDS = {"type": "string", "description": "a file of the same kind, relative to this one; this file is laid over it"}
_BARE: dict[str, dict[str, Any]] = {"Need": {"type": "integer", "minimum": 1}, "Sample": {"type": "integer", "minimum": 1}, "Hold": _TEXT,
                                    "Alternative": _TEXT,
                                    "Material": {"type": "number", "minimum": 0}}     # what may stand for the whole mapping


def schema(kind: str = "scenario") -> dict[str, Any]:
    """JSON Schema of a file: scenario, product, recipe, plant, lab or panel. Raises KeyError for another kind."""
    model = FILES[kind]
    full = _untitled(model.model_json_schema())
    definitions: dict[str, Any] = full.pop("$defs", {})
    definitions[model.__name__] = full
    _bare_values(definitions)
    partial = _partial(definitions)
    definitions |= partial
    if model is Scenario:
        for name in ("Scenario", "ScenarioExtending"):
            _with_files(definitions[name]["properties"])
        for part in (*_PARTS.values(), "MarketPanel"):
            definitions[f"{part}File"] = _file(part, definitions)
    top = _file(model.__name__, definitions)
    return {"$schema": _DIALECT, "title": f"Cell Foundry {kind}", **top, "$defs": dict(sorted(definitions.items()))}


def write_schemas(folder: Path) -> list[Path]:
    """Write ``KIND.json`` for every kind of file and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind in FILES:
        path = folder / f"{kind}.json"
        path.write_text(json.dumps(schema(kind), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def _untitled(value: Any) -> Any:
    """Without the titles that only repeat the keys."""
    if isinstance(value, list):
        return [_untitled(item) for item in value]
    return {k: _untitled(v) for k, v in value.items() if not (k == "title" and isinstance(v, str))} if isinstance(value, dict) else value


def _file(name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """A file of a kind: whole, or with ``extends`` a part of one."""
    over = definitions[f"{name}Extending"]
    over["properties"]["extends"] = _EXTENDS
    if name == "Recipe":
        steps = {"type": "object", "additionalProperties": {"$ref": "#/$defs/StepExtending"}}
        over["properties"]["override"] = {"type": "object", "additionalProperties": False, "properties": {"steps": steps},
                                          "description": "changes to single steps of the recipe extended, by name"}
    return {"if": {"required": ["extends"]}, "then": {"$ref": f"#/$defs/{name}Extending"}, "else": {"$ref": f"#/$defs/{name}"}}


def _with_files(properties: dict[str, Any]) -> None:
    """Each part of a scenario may be the path of a file."""
    for part, name in _PARTS.items():
        properties[part] = {"anyOf": [_TEXT, {"$ref": f"#/$defs/{name}File"}, *([] if part in ("recipe", "plant") else [{"type": "null"}])]}
    properties["panels"] = {"type": "array", "items": {"anyOf": [_TEXT, {"$ref": "#/$defs/MarketPanelFile"}]}}


def _bare_values(definitions: dict[str, Any]) -> None:
    """A bare number stands for ``{value: …}``, a count for a need, a pool for a hold."""
    bare = dict(_BARE)
    for model in (Quantity, NonNegative, Positive, Fraction, Price, ItemPrice):
        if model.__name__ in definitions:
            bare[model.__name__] = definitions[model.__name__]["properties"]["value"]
    for name, value in bare.items():
        if name in definitions:
            definitions[name] = {"anyOf": [value, definitions[name]]}
    after = definitions.get("Window", {}).get("properties", {}).get("after")
    if after is not None:
        definitions["Window"]["properties"]["after"] = {"anyOf": [_TEXT, {k: v for k, v in after.items() if k != "default"}], "default": []}


def _partial(definitions: dict[str, Any]) -> dict[str, Any]:
    """The same definitions without required keys, called NAMEExtending; null takes a key away."""

    def loosened(value: Any) -> Any:
        if isinstance(value, list):
            return [loosened(item) for item in value]
        if not isinstance(value, dict):
            return value
        result = {k: loosened(v) for k, v in value.items() if k not in ("required", "default")}
        if "$ref" in result:
            result["$ref"] += "Extending"
        return result

    return {f"{name}Extending": loosened(copy.deepcopy(definition)) for name, definition in definitions.items()}
