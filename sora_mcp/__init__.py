"""An MCP server for making Sora 2 videos over the ToAPIs HTTP API."""

__version__ = "0.1.0"

USER_AGENT = f"sora-mcp/{__version__} (MCP server for Sora 2 video)"
"""Name and version: an edge firewall blocks bare libraries."""
