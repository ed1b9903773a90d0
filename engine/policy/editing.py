"""The JSON Schema of policies, for editors: what a file may hold, and what it leaves out."""

import json
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field, TypeAdapter
from pydantic.json_schema import JsonSchemaValue

from engine.durations import in_duration
from engine.policy.document import Policy
from engine.policy.parts import DURATION_SCHEMA

_PATTERN: Final = DURATION_SCHEMA["pattern"]


def json_schema() -> str:
    """JSON Schema of a policy of any kind."""
    schema: TypeAdapter[Policy] = TypeAdapter(Annotated[Policy, Field(discriminator="kind")])
    made = schema.json_schema(by_alias=True)
    definitions = made["$defs"]
    for definition in definitions.values():
        for declared in definition.get("properties", {}).values():
            if "default" in declared:
                declared["default"] = _as_written(declared["default"], declared, definitions)
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = "Headgate policy"
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


def _as_written(
    value: object, declared: JsonSchemaValue, definitions: Mapping[str, JsonSchemaValue]
) -> object:
    """A default as a file has it: durations are milliseconds here, and a text with a unit there."""
    if "$ref" in declared and isinstance(value, dict):
        properties = definitions[declared["$ref"].rpartition("/")[2]]["properties"]
        return {
            name: _as_written(part, properties[name], definitions) for name, part in value.items()
        }
    forms = (declared, *declared.get("anyOf", ()))
    if isinstance(value, int) and any(form.get("pattern") == _PATTERN for form in forms):
        return in_duration(value)
    return value
