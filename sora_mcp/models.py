"""The domain's nouns and the types of tool arguments, each defined once.

The request models are what goes over the wire; the tools take their argument types from here, so a tool's
schema and the HTTP body cannot drift apart. The enums come from the catalogue.
"""

import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sora_mcp.catalog import load_catalog

_catalog = load_catalog()

MAX_PROMPT_CHARACTERS = 32_000
MAX_IMAGE_URLS = 10

# Letters by category, yet they draw nothing: Hangul fillers and the braille blank.
_INVISIBLE_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def _visible(prompt: str) -> str:
    if "\0" in prompt:
        raise ValueError("must not contain a NUL character")
    # Separators, controls and marks draw nothing of their own.
    if not any(
        unicodedata.category(character)[0] not in "ZCM" and character not in _INVISIBLE_LETTERS for character in prompt
    ):
        raise ValueError("must not be blank: describe the video in words")
    return prompt


Prompt = Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARACTERS), AfterValidator(_visible)]
TaskId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{4,128}$")]
Take = Annotated[int, Field(ge=1)]
ImageUrls = Annotated[list[str], Field(max_length=MAX_IMAGE_URLS)]
WaitSeconds = Annotated[int, Field(ge=0, le=50)]
Limit = Annotated[int, Field(ge=1, le=50)]
Fit = Literal["crop", "pad", "none"]
TaskStatus = Literal["queued", "in_progress", "completed", "failed", "unconfirmed"]

FINAL_STATUSES: frozenset[TaskStatus] = frozenset({"completed", "failed"})

if TYPE_CHECKING:
    Duration = int
    AspectRatio = str
else:
    # A type checker cannot follow a Literal that is read from a file.
    Duration = Literal[_catalog.durations]
    AspectRatio = Literal[_catalog.aspect_ratios]

DEFAULT_DURATION = _catalog.default_duration
DEFAULT_ASPECT_RATIO = _catalog.default_aspect_ratio


class GenerateRequest(BaseModel):
    """The body of ``POST /v1/videos/generations`` (api.md, section 2)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, defer_build=True)

    model: str
    prompt: Prompt = Field(repr=False)
    duration: Duration = DEFAULT_DURATION
    aspect_ratio: AspectRatio = DEFAULT_ASPECT_RATIO
    image_urls: ImageUrls | None = None
    client_business_id: str

    def body(self) -> dict[str, Any]:
        """The JSON object to send: the API's fields, absent ones left out."""
        return self.model_dump(exclude_none=True)


class RemixRequest(BaseModel):
    """The body of ``POST /v1/videos/{video_id}/remix`` (api.md, section 3)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, defer_build=True)

    model: str
    prompt: Prompt = Field(repr=False)
    client_business_id: str

    def body(self) -> dict[str, Any]:
        """The JSON object to send."""
        return self.model_dump()


class Answer(BaseModel):
    """What a tool answers. Built on first use: start-up needs only the names and types of the fields."""

    model_config = ConfigDict(defer_build=True, hide_input_in_errors=True)


class Metadata(Answer):
    """Size in pixels (``1280x720``) and length in seconds of a video, both strings as the API writes them."""

    size: str
    seconds: str


class TaskError(Answer):
    """Why a task failed."""

    code: str
    message: str


class ResultFile(Answer):
    """One finished file: its link and its format."""

    url: str
    format: str


class Result(Answer):
    """The files of a completed task."""

    type: Literal["video"] = "video"
    data: list[ResultFile]


class OrderedTask(Answer):
    """A task as an order answers it: the API's own field names, whatever shape the service used.

    Fields that nobody knows stay ``None`` and are left out of answers.
    """

    id: str
    object: Literal["generation.task"] = "generation.task"
    model: str | None = None
    status: TaskStatus
    progress: int
    created_at: int | None = None
    metadata: Metadata | None = None
    remixed_from_video_id: str | None = None
    error: TaskError | None = None
    retry_after_seconds: int | None = None
    notes: list[str] | None = None


class Task(OrderedTask):
    """A task as a question about it is answered. Times are Unix seconds."""

    completed_at: int | None = None
    expires_at: int | None = None
    result: Result | None = None
    saved_path: str | None = None


class UploadedImage(Answer):
    """A reference image as the service has it: ``size`` in bytes, ``width`` and ``height`` in pixels."""

    id: str
    url: str
    mime_type: str
    size: int
    width: int
    height: int
    aspect_ratio: str
    changes: list[str]


class DownloadedVideo(Answer):
    """A video on this machine's disk: its full path, its bytes and their SHA-256 in hex."""

    task_id: str
    path: str
    size: int
    sha256: str
    already_downloaded: bool


class Video(Answer):
    """A line of the history. ``duration`` in seconds, times in Unix seconds, ``prompt`` cut at 200 characters."""

    id: str
    status: TaskStatus
    progress: int
    prompt: str
    model: str
    duration: int
    aspect_ratio: str | None = None
    created_at: int
    expires_at: int | None = None
    saved_path: str | None = None
    remixed_from_video_id: str | None = None


class VideoPage(Answer):
    """Videos, newest first; ``next`` is the cursor of the page after this one."""

    videos: list[Video]
    next: str | None = None


class Account(Answer):
    """What is left. Credits (200 are 1 USD) that nobody told are absent, never 0."""

    credits_remaining: float | None = None
    credits_used: float | None = None
    unlimited: bool
    models: list[str]
    default_model: str
    seconds_ordered_24h: int
    daily_limit_seconds: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task failed: the service's code and words, cleaned."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class TaskReport:
    """What the service said of a task, whatever shape it used. ``None`` means that it said nothing of it.

    Times are Unix seconds, ``progress`` is 0-100, ``seconds`` the length of the video as the API writes it
    (a string), ``urls`` every usable http(s) link in the order found: secrets, so not in the repr.
    """

    id: str
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: int | None = None
    model: str | None = None
    created_at: int | None = None
    size: str | None = None
    seconds: str | None = None
    completed_at: int | None = None
    expires_at: int | None = None
    urls: tuple[str, ...] = field(default=(), repr=False)
    failure: Failure | None = None
    remixed_from_video_id: str | None = None
    client_business_id: str | None = None
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Uploaded:
    """An image that the service took: its id, its public link, its type and its size in bytes."""

    id: str
    url: str = field(repr=False)
    mime_type: str | None
    size: int | None


@dataclass(frozen=True, slots=True)
class Balance:
    """Credits of a key or an account (200 credits are 1 USD). ``None`` means unknown, never zero."""

    remaining: float | None
    used: float | None
    unlimited: bool = field(default=False)
