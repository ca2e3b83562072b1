"""The tools' schemas against their snapshots: a change shows up as a changed file in the same commit.

``SORA_MCP_UPDATE_SNAPSHOTS=1 pytest tests/contract`` writes them anew.
"""

import json
import os
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from sora_mcp.server import INSTRUCTIONS, build_server
from sora_mcp.settings import Settings
from sora_mcp.tools import ALL

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent
NAMES = [function.__name__ for function, _, _ in ALL]


async def listed():
    tools = await build_server(Settings()).list_tools()
    return {tool.name: tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools}


@pytest.mark.parametrize("name", NAMES)
async def test_a_tool_is_what_its_snapshot_says(name):
    tool = (await listed())[name]
    snapshot = HERE / f"{name}.json"
    if os.environ.get("SORA_MCP_UPDATE_SNAPSHOTS") == "1":
        snapshot.write_text(json.dumps(tool, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert tool == json.loads(snapshot.read_text(encoding="utf-8"))


async def test_every_snapshot_has_its_tool():
    assert sorted(path.stem for path in HERE.glob("*.json")) == sorted(await listed())


async def test_the_list_of_tools_is_within_its_budget():
    compact = json.dumps({"tools": list((await listed()).values())}, separators=(",", ":"), ensure_ascii=False)
    assert len(compact.encode()) <= 7_000


@pytest.mark.parametrize("name", NAMES)
async def test_schemas_are_lean_and_strict(name):
    tool = (await listed())[name]
    for schema in (tool["inputSchema"], tool["outputSchema"]):
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        text = json.dumps(schema)
        for waste in ("anyOf", "$ref", "$defs", "null"):
            assert waste not in text
        assert "title" not in schema
    assert tool["inputSchema"]["additionalProperties"] is False
    assert tool["title"]
    assert tool["description"]
    assert "readOnlyHint" in tool["annotations"]


def test_the_instructions_fit():
    assert len(INSTRUCTIONS) <= 512
    for words in ("1-5 minutes", "24 hours", "generate_video", "get_video_status"):
        assert words in INSTRUCTIONS


README = HERE.parents[1] / "README.md"
TABLE = re.compile(r"(<!-- tools: .*? -->\n).*?(<!-- /tools -->)", re.DOTALL)


async def test_the_table_of_tools_in_the_readme_is_made_from_the_code():
    rows = ["| tool | arguments | what it does |", "|---|---|---|"]
    for name, tool in (await listed()).items():
        schema = tool["inputSchema"]
        arguments = [argument_of(field, shape, schema) for field, shape in schema["properties"].items()]
        rows.append(f"| `{name}` | {', '.join(arguments) or '-'} | {tool['description']} |")
    table = "\n".join(rows) + "\n"
    text = README.read_text("utf-8")
    if os.environ.get("SORA_MCP_UPDATE_SNAPSHOTS") == "1":
        text = TABLE.sub(lambda found: f"{found[1]}{table}{found[2]}", text)
        README.write_text(text, encoding="utf-8")
    assert table in text


def argument_of(name, shape, schema):
    """An argument in a word: required ones in bold, others with their default."""
    if name in schema.get("required", []):
        return f"**{name}**"
    return f"{name} = {shape['default']}" if "default" in shape else name
