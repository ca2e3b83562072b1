"""Schemas as small as they can be: every host sends them to a model that pays for each word."""

from typing import Annotated, Any, cast, get_args, get_origin

from pydantic import BaseModel

_INPUT_WASTE = frozenset({"title"})
_OUTPUT_WASTE = frozenset({"title", "additionalProperties", "description", "default", "enum", "const", "required"})
"""Of an answer, names and types are told; its values explain themselves, and absent fields are left out."""


def input_schema(arguments: type[BaseModel]) -> dict[str, Any]:
    """What a tool takes: strict about unknown names, without titles, null branches and references."""
    return _lean(arguments.model_json_schema(), _INPUT_WASTE)


def output_schema(annotation: Any) -> dict[str, Any]:
    """What ``Annotated[CallToolResult, Model]`` answers: the names and types of the model's fields.

    Raises:
        TypeError: The annotation is another.
    """
    if get_origin(annotation) is not Annotated:
        raise TypeError("a tool returns Annotated[CallToolResult, Model]")
    model: type[BaseModel] = get_args(annotation)[1]
    return _lean(model.model_json_schema(mode="serialization"), _OUTPUT_WASTE)


def _lean(schema: dict[str, Any], waste: frozenset[str]) -> dict[str, Any]:
    definitions = schema.pop("$defs", {})

    def lean(node: Any) -> Any:
        if isinstance(node, list):
            return [lean(item) for item in cast("list[Any]", node)]
        if not isinstance(node, dict):
            return node
        known = cast("dict[str, Any]", node)
        if reference := known.get("$ref"):
            return lean(definitions[str(reference).rpartition("/")[2]])
        if branches := known.get("anyOf"):
            # An optional field: it is left out, not null, and so is its default.
            [kept] = [branch for branch in branches if branch != {"type": "null"}]
            return lean(kept | {key: value for key, value in known.items() if key not in {"anyOf", "default"}})
        out: dict[str, Any] = {}
        for key, value in known.items():
            if key == "properties":
                out[key] = {name: lean(field) for name, field in value.items()}
            elif key not in waste:
                out[key] = lean(value)
        return out

    whole = cast("dict[str, Any]", lean(schema))
    whole.pop("description", None)
    return whole
