from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sora_mcp.catalog import load_catalog
from sora_mcp.models import (
    DEFAULT_ASPECT_RATIO,
    DEFAULT_DURATION,
    AspectRatio,
    Duration,
    ImageUrls,
    OrderedTask,
    Prompt,
    Take,
)
from sora_mcp.tools import _tasks
from sora_mcp.tools._studio import StudioContext, answer, studio


async def generate_video(
    ctx: StudioContext,
    prompt: Annotated[Prompt, Field(description="Shot, subject, action, light, camera")],
    duration: Annotated[Duration, Field(description="Seconds")] = DEFAULT_DURATION,
    aspect_ratio: AspectRatio = DEFAULT_ASPECT_RATIO,
    image_urls: Annotated[ImageUrls | None, Field(description="First frame: url from upload_reference_image")] = None,
    model: Annotated[str, Field(description=" or ".join(load_catalog().models))] = load_catalog().default_model,
    take: Annotated[Take, Field(description="Raise to order the same again")] = 1,
) -> Annotated[CallToolResult, OrderedTask]:
    """Order a Sora 2 video. Costs the user money; ready in 1-5 minutes. Answers at once with an id."""
    task = await studio(ctx).generate(
        prompt=prompt, duration=duration, aspect_ratio=aspect_ratio, image_urls=image_urls, model=model, take=take
    )
    return answer(_tasks.ordered(task), OrderedTask.model_validate(task.model_dump()))
