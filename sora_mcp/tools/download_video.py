from typing import Annotated

from mcp.types import CallToolResult, ResourceLink

from sora_mcp.models import DownloadedVideo, TaskId
from sora_mcp.tools._studio import StudioContext, answer, studio

MEGABYTE = 1_000_000


async def download_video(ctx: StudioContext, task_id: TaskId) -> Annotated[CallToolResult, DownloadedVideo]:
    """Save a completed video to the user's disk before its link dies."""

    async def report_progress(received: int, total: int | None) -> None:
        await ctx.report_progress(received, total, "downloading")

    saved = await studio(ctx).download(task_id, report_progress)
    done = "Already saved" if saved.already_downloaded else "Saved"
    size = f"{saved.size / 1e6:.1f} MB" if saved.size >= MEGABYTE else f"{saved.size / 1e3:.0f} kB"
    text = f"{done}: {saved.path} ({size})."
    link = ResourceLink(
        type="resource_link",
        uri=f"sora://videos/{task_id}/file",
        name=saved.path.replace("\\", "/").rpartition("/")[2],
        mime_type="video/mp4",
        size=saved.size,
    )
    return answer(text, saved, link)
