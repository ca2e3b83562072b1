"""Schemas as small as they can be: every host sends them to a model that pays for each word."""

from types import NoneType
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel

_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def output_schema(annotation: Any) -> dict[str, Any]:
    """What ``Annotated[CallToolResult, Model]`` answers: the names and types of the model's fields.

    Its values explain themselves, and absent fields are left out, so no more is told; and it is read from the fields
    alone, because pydantic's own schema would need the models to be built, which start-up does without.

    Raises:
        TypeError: The annotation is another, or a field has a type that no answer has.
    """
    if get_origin(annotation) is not Annotated:
        raise TypeError("a tool returns Annotated[CallToolResult, Model]")
    return _type_of(get_args(annotation)[1])


def _type_of(kind: Any) -> dict[str, Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {name: _type_of(field.annotation) for name, field in kind.model_fields.items()}
        return {"type": "object", "properties": fields}
    if kind in _JSON_TYPES:
        return {"type": _JSON_TYPES[kind]}
    inside = [argument for argument in get_args(kind) if argument is not NoneType]
    if get_origin(kind) is list:
        return {"type": "array", "items": _type_of(inside[0])}
    if get_origin(kind) is Literal:
        return {"type": _JSON_TYPES[type(inside[0])]}
    if len(inside) != 1:
        raise TypeError(f"an answer has no fields of type {kind}")
    return _type_of(inside[0])


def input_schema(arguments: type[BaseModel]) -> dict[str, Any]:
    """What a tool takes: strict about unknown names, without titles, null branches and references."""
    schema = arguments.model_json_schema()
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
            elif key != "title":
                out[key] = lean(value)
        return out

    whole = cast("dict[str, Any]", lean(schema))
    whole.pop("description", None)
    return whole
