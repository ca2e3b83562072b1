"""Prompts: short templates that turn a user's wish into a shot brief and the calls that make it.

Made from the SDK's classes, not by its decorators: these build a model for each function, which start-up pays for.
"""

from collections.abc import Awaitable, Callable

from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.prompts.base import PromptArgument

from sora_mcp.models import DEFAULT_DURATION

STYLES = (
    "35mm film, soft grain",
    "1970s romantic drama",
    "black-and-white noir",
    "documentary, handheld",
    "hand-painted animation",
    "paper stop-motion",
    "claymation",
    "glossy advertisement",
    "vintage home video",
)
"""Offered as completions; any other text is a style too."""


async def direct_a_video(idea: str, style: str = "", duration: str = "") -> str:
    """Turn an idea into a precise shot brief, and order the video."""
    look = style or "one that suits the idea: name it first, it is the strongest lever"
    seconds = duration or str(DEFAULT_DURATION)
    return f"""Make a Sora 2 video of this idea: {idea}

Write the prompt as to a camera crew that has not seen the storyboard:
1. Style: {look}.
2. Subject with two or three distinctive, visible details.
3. One action in counted beats that fits {seconds} seconds; short clips obey better.
4. Framing and angle, lens or depth of field, one camera move.
5. Light: quality, direction, source; 3-5 palette colours.
6. Sound or dialogue in a block of its own, with short lines.
Use visible nouns and verbs, not adjectives. Leave length, size and model out of the prose: they are arguments.
No real people, copyrighted characters or music, nothing unfit for under-18s.

Show me the prompt and say that it costs money. When I agree: generate_video(prompt, duration={seconds}), then
get_video_status with wait_seconds=50 until it is completed, then download_video."""


async def animate_an_image(file: str, motion: str) -> str:
    """Make a picture the first frame of a video."""
    return f"""Animate this picture with Sora 2: {file}

It becomes the first frame, so the prompt says only what happens next: {motion}
Write one action in counted beats, one camera move, and the sound; do not describe the picture again. A picture with
a face in it is refused: tell me before anything is ordered.

1. upload_reference_image(file="{file}") and tell me what it changed.
2. Show me the prompt. When I agree: generate_video with image_urls and aspect_ratio as the upload answered them.
3. get_video_status with wait_seconds=50 until it is completed, then download_video."""


async def remix_a_video(video_id: str, change: str) -> str:
    """Change one thing about a finished video."""
    return f"""Remix the video {video_id}: {change}

A remix is for one named change on an almost-right clip. If this is more than one change, ask me which comes first.
Name the change, then what must stay as it is (subject, action, framing). It costs as much as a new video, and the
source must be younger than 24 hours.

Show me the prompt. When I agree: remix_video(video_id="{video_id}", prompt), then
get_video_status with wait_seconds=50 until it is completed, then download_video."""


def make_prompts() -> list[Prompt]:
    """Every prompt with its arguments."""
    idea = PromptArgument(name="idea", description="What happens in the video", required=True)
    style = PromptArgument(name="style", description="The look", required=False)
    duration = PromptArgument(name="duration", description="Seconds", required=False)
    file = PromptArgument(name="file", description="Path on this computer or https link of the picture", required=True)
    motion = PromptArgument(name="motion", description="What happens next", required=True)
    video_id = PromptArgument(name="video_id", description="Id of a completed video", required=True)
    change = PromptArgument(name="change", description="The one thing to change", required=True)
    return [
        _prompt(direct_a_video, "Direct a video", idea, style, duration),
        _prompt(animate_an_image, "Animate an image", file, motion),
        _prompt(remix_a_video, "Remix a video", video_id, change),
    ]


def _prompt(function: Callable[..., Awaitable[str]], title: str, *arguments: PromptArgument) -> Prompt:
    return Prompt(
        name=function.__name__,
        title=title,
        description=function.__doc__,
        arguments=list(arguments),
        fn=function,
        context_kwarg=None,
    )
