"""How a tool is made from a function, how it reaches the studio, and how our errors become tool errors."""

from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from inspect import Parameter, getdoc, signature
from typing import Any, cast

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp.types import CallToolResult, ContentBlock, TextContent, ToolAnnotations
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic_core import ErrorDetails

from sora_mcp.errors import InvalidArgument, SoraMcpError, clean_upstream_text
from sora_mcp.studio import Studio
from sora_mcp.tools._schemas import input_schema, output_schema
from sora_mcp.tools._tasks import quoted

StudioContext = Context[Studio, Any]
ToolFunction = Callable[..., Awaitable[CallToolResult]]


class _Arguments(ArgModelBase):
    """Arguments as they must come: of the right type, none unknown. Its errors never show what was passed."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class StudioTool(Tool):
    """A tool whose failures are our own errors, in our own words."""

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:  # noqa: FBT001, FBT002, ARG002 - the SDK's signature
        """Call the function with checked arguments; one of our errors becomes an error result."""
        try:
            checked = self.fn_metadata.validate_arguments(arguments)
        except ValidationError as error:
            # Not `from error`: it holds what was passed, and tracebacks are printed.
            return error_result(self._invalid_argument(error.errors(include_input=False, include_url=False)[0]))
        try:
            return await self.fn(context, **checked)
        except SoraMcpError as error:
            return error_result(error)

    def _invalid_argument(self, problem: ErrorDetails) -> InvalidArgument:
        """Name the field and what is allowed, never the value."""
        fields = cast("dict[str, dict[str, Any]]", self.parameters["properties"])
        name = clean_upstream_text(str(problem["loc"][0]), 60) if problem["loc"] else ""
        if problem["type"] == "extra_forbidden":
            near = get_close_matches(name, fields, n=1)
            meant = f" Did you mean {near[0]}?" if near else ""
            takes = f"takes only {', '.join(fields)}" if fields else "takes no arguments"
            return InvalidArgument(f"Unknown argument {name}.{meant}", f"{self.name} {takes}.")
        if problem["type"] == "missing":
            return InvalidArgument(f"The argument {name} is missing.", f"Pass {name}: {_allowed(fields[name])}.")
        if problem["type"] == "value_error":
            reason = str(problem["msg"]).removeprefix("Value error, ")
            return InvalidArgument(f"{name} {reason}.", "Correct it and call again.")
        return InvalidArgument(f"{name} is not valid.", f"Pass {_allowed(fields[name])}.")


def _allowed(schema: dict[str, Any]) -> str:
    """What a field takes, in words."""
    if options := schema.get("enum"):
        return f"one of {', '.join(map(str, options))}"
    low, high = schema.get("minimum"), schema.get("maximum")
    if schema["type"] == "integer":
        span = "" if low is None else f" from {low} to {high}" if high is not None else f" of {low} or more"
        return f"a whole number{span}"
    if schema["type"] == "array":
        return f"a list of {schema.get('minItems', 0)} to {schema.get('maxItems')} links"
    if "pattern" in schema:
        return "an id of 4 to 128 letters, digits, - or _"
    longest = schema.get("maxLength")
    return f"a text of 1 to {longest} characters" if longest else "a text"


def make_tool(function: ToolFunction, title: str, annotations: ToolAnnotations, defaults: dict[str, Any]) -> StudioTool:
    """Make a tool from a module-level function: its name, signature, docstring and return annotation say the rest.

    Args:
        function: Takes the context first, then the arguments; returns ``Annotated[CallToolResult, Model]``.
        title: For people.
        annotations: Hints for hosts.
        defaults: Replaces the signature's defaults where a setting decides.
    """
    own = signature(function, eval_str=True)
    context, *parameters = own.parameters.values()
    fields: dict[str, Any] = {}
    for parameter in parameters:
        default = defaults.get(parameter.name, parameter.default)
        fields[parameter.name] = (parameter.annotation, ... if default is Parameter.empty else default)
    arguments = create_model(f"{function.__name__}_arguments", __base__=_Arguments, **fields)
    return StudioTool(
        fn=function,
        name=function.__name__,
        title=title,
        description=" ".join((getdoc(function) or "").split()),
        parameters=input_schema(arguments),
        fn_metadata=FuncMetadata(arg_model=arguments, output_schema=output_schema(own.return_annotation)),
        is_async=True,
        context_kwarg=context.name,
        annotations=annotations,
    )


def studio(context: StudioContext) -> Studio:
    """The studio that the server's lifespan opened."""
    return context.request_context.lifespan_context


def answer(text: str, value: BaseModel, *more: ContentBlock) -> CallToolResult:
    """A result: the sentence for the model, the structure for programs, absent fields left out."""
    return CallToolResult(
        content=[TextContent(type="text", text=text), *more],
        structured_content=value.model_dump(mode="json", exclude_none=True),
    )


def error_result(error: SoraMcpError) -> CallToolResult:
    """An error as ``code: what happened. What to do next.``, and as structure for programs."""
    told: dict[str, Any] = {"code": error.code, "message": str(error), "retryable": error.retryable}
    if error.retry_after_seconds is not None:
        told["retry_after_seconds"] = error.retry_after_seconds
    text = f"{error.code}: {error}"
    if error.upstream_message:
        told["upstream_message"] = error.upstream_message
        text += f" The service said: {quoted(error.upstream_message)}"
    return CallToolResult(
        content=[TextContent(type="text", text=text)], structured_content={"error": told}, is_error=True
    )
