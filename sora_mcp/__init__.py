"""An MCP server for making Sora 2 videos over the ToAPIs HTTP API."""

__version__ = "0.1.0"
