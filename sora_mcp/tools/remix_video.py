from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sora_mcp.models import OrderedTask, Prompt, Take, TaskId
from sora_mcp.tools import _tasks
from sora_mcp.tools._studio import StudioContext, answer, studio


async def remix_video(
    ctx: StudioContext,
    video_id: TaskId,
    prompt: Annotated[Prompt, Field(description="The one change")],
    take: Take = 1,
) -> Annotated[CallToolResult, OrderedTask]:
    """Order a completed video again with one change. Costs as much as a new one."""
    task = await studio(ctx).remix(video_id, prompt, take)
    return answer(_tasks.ordered(task), OrderedTask.model_validate(task.model_dump()))
