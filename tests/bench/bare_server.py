"""What the SDK alone costs: a server with three tools that do nothing."""

from mcp.server import MCPServer


def first(task_id: str) -> str:
    """Do nothing."""
    return task_id


def second(task_id: str, wait_seconds: int = 0) -> str:
    """Do nothing, later."""
    return f"{task_id} {wait_seconds}"


def third() -> str:
    """Do nothing at all."""
    return ""


server = MCPServer("bare", log_level="WARNING")
for tool in (first, second, third):
    server.add_tool(tool)
server.run("stdio")
