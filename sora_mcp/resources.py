"""Resources: recent tasks, one task, its file, the catalogue and a guide; and completion of what is known.

Made from the SDK's classes, not by its decorators: these build a model for each function, which start-up pays for.
"""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.mcpserver.resources import FunctionResource
from mcp.types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference

from sora_mcp.catalog import load_catalog
from sora_mcp.errors import InvalidArgument, SoraMcpError, TaskNotFound
from sora_mcp.prompts import STYLES
from sora_mcp.studio import Studio

T = TypeVar("T")

RECENT = 20
MOST_COMPLETIONS = 100
_TASK_ID = re.compile(r"[A-Za-z0-9_-]{4,128}\Z")
_JSON = "application/json"

GUIDE = """# How to write a prompt for Sora 2

Brief a shot as to someone who has not seen the storyboard.

1. **Style first**: it is the strongest lever ("1970s romantic drama, 35mm film").
2. **Subject**, with a few distinctive details that can be seen.
3. **One action in counted beats**: "takes four steps, pauses, pulls the curtain".
4. **Framing and angle**, lens or depth of field, **one camera move**.
5. **Light**: quality, direction, source; 3-5 palette colours.
6. **Sound or dialogue** in a block of its own, with short lines.

- Visible nouns and verbs, not adjectives: "wet asphalt, neon in the puddles" instead of "a beautiful street".
- Length, size and model come from the arguments only, never from the prose.
- Short clips obey better: two of 4 seconds often beat one of 8.
- The same text gives another clip each time; there is no seed. Pass a higher `take` for another on purpose.
- A reference image fixes the first frame: the text says what happens next.
- A remix is for one named change on an almost-right clip.
- Refused: real people, faces in reference images, copyrighted characters and music, anything unfit for under-18s.
"""


def register_resources(server: MCPServer[Studio], studio: Callable[[], Studio]) -> None:
    """Add the resources and the completion of arguments; ``studio`` gives the running one."""

    async def videos() -> str:
        page = await _ours(studio().videos(limit=RECENT))
        return page.model_dump_json(exclude_none=True)

    async def video(task_id: str) -> str:
        task = await _ours(studio().status(_checked(task_id)))
        return task.model_dump_json(exclude_none=True)

    async def file(task_id: str) -> bytes:
        return await _ours(studio().saved_file(_checked(task_id)))

    async def models() -> str:
        return json.dumps(_catalogue())

    async def guide() -> str:
        return GUIDE

    for uri, read, title, mime_type, description in (
        ("sora://videos", videos, "Recent videos", _JSON, "The videos ordered last, newest first."),
        ("sora://models", models, "Models", _JSON, "The models, their lengths in seconds, sizes and rule for images."),
        ("sora://guide", guide, "How to write a prompt", "text/markdown", "What makes a good prompt."),
    ):
        name = uri.rpartition("/")[2]
        server.add_resource(
            FunctionResource(uri=uri, name=name, title=title, description=description, mime_type=mime_type, fn=read)
        )
    # The SDK has no public way to add a template but its decorator.
    for uri, read, title, mime_type, description in (
        ("sora://videos/{task_id}", video, "A video", _JSON, "One task, as get_video_status answers it."),
        ("sora://videos/{task_id}/file", file, "A saved video", "video/mp4", "The saved MP4, when at most 8 MB."),
    ):
        server.resource(uri, title=title, mime_type=mime_type, description=description)(read)

    async def complete(
        _reference: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        _context: CompletionContext | None,
    ) -> Completion:
        known = [value for value in await _known_values(argument.name, studio) if value.startswith(argument.value)]
        more = len(known) > MOST_COMPLETIONS
        return Completion(values=known[:MOST_COMPLETIONS], total=len(known), has_more=more)

    server.completion()(complete)


async def _known_values(argument: str, studio: Callable[[], Studio]) -> list[str]:
    if argument == "style":
        return list(STYLES)
    if argument == "duration":
        return [str(seconds) for seconds in load_catalog().durations]
    if argument in {"task_id", "video_id"}:
        try:
            page = await studio().videos(status="completed" if argument == "video_id" else None, limit=50)
        except SoraMcpError:
            return []
        return [video.id for video in page.videos]
    return []


def _catalogue() -> dict[str, Any]:
    catalog = load_catalog()
    return {
        "default_model": catalog.default_model,
        "models": [asdict(model) for model in catalog.models.values()],
        "sizes": {ratio: catalog.size(ratio) for ratio in catalog.aspect_ratios},
        "default_duration": catalog.default_duration,
        "default_aspect_ratio": catalog.default_aspect_ratio,
    }


def _checked(task_id: str) -> str:
    if not _TASK_ID.match(task_id):
        raise ResourceNotFoundError("invalid_argument: an id has 4 to 128 letters, digits, - or _.")
    return task_id


async def _ours(answer: Awaitable[T]) -> T:
    """Our errors as the SDK's, in the words that tools use."""
    try:
        return await answer
    except (TaskNotFound, InvalidArgument) as error:
        raise ResourceNotFoundError(f"{error.code}: {error}") from error
    except SoraMcpError as error:
        raise ResourceError(f"{error.code}: {error}") from error
