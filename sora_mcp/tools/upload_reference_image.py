from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sora_mcp.models import AspectRatio, Fit, UploadedImage
from sora_mcp.tools._studio import StudioContext, answer, studio


async def upload_reference_image(
    ctx: StudioContext,
    file: Annotated[str, Field(description="Path on this computer, https URL or data: URI")],
    aspect_ratio: Annotated[AspectRatio | None, Field(description="Default: the nearer one")] = None,
    fit: Fit = "crop",
) -> Annotated[CallToolResult, UploadedImage]:
    """Make an image fit for a video's first frame and upload it. Only its pixels are sent."""
    image = await studio(ctx).upload(file, aspect_ratio, fit)
    changes = f" Changes: {'; '.join(image.changes)}." if image.changes else ""
    text = (
        f"Uploaded as {image.width}x{image.height}.{changes} "
        f'Next: generate_video with image_urls=["{image.url}"], aspect_ratio="{image.aspect_ratio}".'
    )
    return answer(text, image)
