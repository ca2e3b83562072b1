import time
from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sora_mcp.history import LAST_HOURS_SECONDS, time_left
from sora_mcp.models import Limit, TaskStatus, Video, VideoPage
from sora_mcp.tools._studio import StudioContext, answer, studio

PROMPT_WORDS = 60
"""Characters of a prompt in the text; the structure has more."""


async def list_videos(
    ctx: StudioContext,
    status: TaskStatus | None = None,
    query: Annotated[str | None, Field(description="Words of the prompt")] = None,
    limit: Limit = 10,
    before: Annotated[str | None, Field(description="next of the last page")] = None,
) -> Annotated[CallToolResult, VideoPage]:
    """List videos ordered from this computer, newest first."""
    page = await studio(ctx).videos(status=status, query=query, limit=limit, before=before)
    if not page.videos:
        return answer("No videos found.", page)
    lines = [_line(video) for video in page.videos]
    more = [f'More: list_videos(before="{page.next}").'] if page.next else []
    return answer("\n".join([*lines, *more]), page)


def _line(video: Video) -> str:
    prompt = " ".join(video.prompt.split())
    short = prompt if len(prompt) <= PROMPT_WORDS else f"{prompt[: PROMPT_WORDS - 1]}…"
    return f'{video.id}: {_state(video)}, {video.duration} s, "{short}"{_kept(video)}'


def _state(video: Video) -> str:
    return f"in progress {video.progress} %" if video.status == "in_progress" else video.status


def _kept(video: Video) -> str:
    if video.saved_path:
        return f", saved: {video.saved_path}"
    if video.status != "completed" or video.expires_at is None:
        return ""
    left = video.expires_at - time.time()
    if left <= 0:
        return ", its link has died"
    urgent = " Save it now with download_video." if left < LAST_HOURS_SECONDS else ""
    return f", not saved, link dies in {time_left(left)}.{urgent}"
