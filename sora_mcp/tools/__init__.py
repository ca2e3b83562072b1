"""The tools: what the model can call, in the order in which it is listed."""

from mcp.types import ToolAnnotations

from sora_mcp.settings import Settings
from sora_mcp.tools._studio import StudioTool, make_tool
from sora_mcp.tools.download_video import download_video
from sora_mcp.tools.generate_video import generate_video
from sora_mcp.tools.get_account import get_account
from sora_mcp.tools.get_video_status import get_video_status
from sora_mcp.tools.list_videos import list_videos
from sora_mcp.tools.remix_video import remix_video
from sora_mcp.tools.upload_reference_image import upload_reference_image

_ORDER = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=True)
_QUESTION = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=True)
_UPLOAD = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=True)
_SAVE = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True)

_HISTORY = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_ACCOUNT = ToolAnnotations(read_only_hint=True)

ALL = (
    (generate_video, "Generate video", _ORDER),
    (get_video_status, "Get video status", _QUESTION),
    (upload_reference_image, "Upload reference image", _UPLOAD),
    (remix_video, "Remix video", _ORDER),
    (download_video, "Download video", _SAVE),
    (list_videos, "List videos", _HISTORY),
    (get_account, "Get account", _ACCOUNT),
)
"""Each tool's function, its title and its hints for hosts."""


def make_tools(settings: Settings) -> list[StudioTool]:
    """Make every tool; the settings decide the default model."""
    defaults = {"model": settings.default_model}
    return [make_tool(function, title, annotations, defaults) for function, title, annotations in ALL]
