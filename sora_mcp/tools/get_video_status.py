from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sora_mcp.models import Task, TaskId, TaskReport, WaitSeconds
from sora_mcp.tools import _tasks
from sora_mcp.tools._studio import StudioContext, answer, studio


async def get_video_status(
    ctx: StudioContext,
    task_id: TaskId,
    wait_seconds: Annotated[WaitSeconds, Field(description="Wait this long for the end; 50 saves calls")] = 0,
) -> Annotated[CallToolResult, Task]:
    """Ask how far a video is; gives its link when completed. Links die after 24 hours."""
    shown = -1.0

    async def report_progress(report: TaskReport) -> None:
        nonlocal shown
        # Each notification must be higher than the last, also where only the status changed.
        shown = max(float(report.progress or 0), shown + 0.01) if report.status != "completed" else 100.0
        await ctx.report_progress(shown, 100, report.status.replace("_", " "))

    task = await studio(ctx).status(task_id, wait_seconds, report_progress)
    return answer(_tasks.asked(task, task_id, wait_seconds), task)
