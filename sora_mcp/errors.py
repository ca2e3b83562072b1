"""Every error that a caller of sora-mcp can meet.

::

    SoraMcpError
    +-- InvalidArgument             the call itself is wrong
    |   +-- UrlNotAllowed           a link that is not public https
    |   +-- PathNotAllowed          a file outside the allowed folders
    |   +-- NotARegularFile         a folder, a device, a pipe
    +-- ImageError                  a reference image that cannot be used
    |   +-- UnsupportedImage, CorruptImage, ImageTooLarge, ImageTooSmall
    |   +-- FetchFailed             an image link that did not answer with a file
    |   +-- UploadFailed            the service did not take the image
    +-- AccountError                the user has to do something about the account
    |   +-- MissingApiKey, AuthFailed, InsufficientBalance, BudgetExceeded
    +-- OrderError                  no video was ordered
    |   +-- ContentRejected, ModelUnavailable, SubmissionFailed
    +-- TaskError                   a question about a task
    |   +-- TaskNotFound, NotReady, ResultMissing, ResultExpired
    +-- SavingError                 a video could not be saved
    |   +-- OutputDirUnavailable, DiskFull, NotAVideo, UnsafeResultUrl
    +-- JournalUnavailable          the order book cannot be written or read
    +-- ServiceError                the service, not the call
        +-- RateLimited, UpstreamUnavailable, UpstreamInvalid

Each class has the ``code`` that programs rely on; ``str(error)`` is ``what happened. What to do next.``
"""

import re
import unicodedata
from typing import ClassVar

UPSTREAM_MESSAGE_LIMIT = 300
"""Characters of the service's own words that are ever shown."""


_VARIATION_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def clean_upstream_text(text: str, limit: int = UPSTREAM_MESSAGE_LIMIT) -> str:
    """Make the service's words safe to show: one line, no control, bidirectional or tag characters, cut to size.

    Category C holds the bidirectional and tag characters, the escapes that drive a terminal, and lone surrogates
    that no JSON encoder takes. Variation selectors can carry a text that nobody sees.
    """
    head = _VARIATION_SELECTORS.sub("", text[: limit * 4])
    spaced = "".join(" " if character.isspace() else character for character in head)
    line = " ".join("".join(character for character in spaced if unicodedata.category(character)[0] != "C").split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


class SoraMcpError(Exception):
    """The root: a code, what happened, what to do next."""

    code: ClassVar[str]
    retryable: ClassVar[bool] = False
    """Whether the same call, made later, can succeed and costs nothing extra."""

    def __init__(
        self,
        happened: str,
        next_step: str,
        *,
        retry_after_seconds: int | None = None,
        upstream_message: str | None = None,
    ) -> None:
        """Take two sentences in our own words, and the service's words apart from them."""
        super().__init__(f"{happened} {next_step}".strip())
        self.retry_after_seconds = retry_after_seconds
        self.upstream_message = clean_upstream_text(upstream_message or "") or None


class InvalidArgument(SoraMcpError):
    """An argument is missing, unknown, of another type or out of range. Nothing was sent."""

    code = "invalid_argument"


class UrlNotAllowed(InvalidArgument):
    """A link that is not http(s), not public, or leads to such a place. No connection was made."""

    code = "url_not_allowed"


class PathNotAllowed(InvalidArgument):
    """A path outside the allowed folders; says nothing about whether the file exists."""

    code = "path_not_allowed"


class NotARegularFile(InvalidArgument):
    """A folder, device, pipe or socket."""

    code = "not_a_regular_file"


class ImageError(SoraMcpError):
    """A reference image that cannot be used."""


class UnsupportedImage(ImageError):
    """Not a kind of image that is taken."""

    code = "unsupported_image"


class CorruptImage(ImageError):
    """Truncated or broken image data."""

    code = "corrupt_image"


class ImageTooLarge(ImageError):
    """Too many bytes or pixels."""

    code = "image_too_large"


class ImageTooSmall(ImageError):
    """Too few pixels to be of use."""

    code = "image_too_small"


class FetchFailed(ImageError):
    """An image link did not answer with a file."""

    code = "fetch_failed"
    retryable = True


class UploadFailed(ImageError):
    """The service did not take the image."""

    code = "upload_failed"
    retryable = True


class AccountError(SoraMcpError):
    """Something the user has to settle outside the conversation."""


class MissingApiKey(AccountError):
    """No key is set."""

    code = "missing_api_key"


class AuthFailed(AccountError):
    """The service does not accept the key."""

    code = "auth_failed"


class InsufficientBalance(AccountError):
    """The account has too few credits."""

    code = "insufficient_balance"


class BudgetExceeded(AccountError):
    """The user's own daily limit of ordered seconds is reached."""

    code = "budget_exceeded"


class OrderError(SoraMcpError):
    """An order that was certainly not placed."""


class ContentRejected(OrderError):
    """The service's moderation refused the prompt or the image."""

    code = "content_rejected"


class ModelUnavailable(OrderError):
    """The model is unknown here or no longer offered by the service."""

    code = "model_unavailable"


class SubmissionFailed(OrderError):
    """The order was refused or never left this machine."""

    code = "submission_failed"


class TaskError(SoraMcpError):
    """A question about a task that has no good answer."""


class TaskNotFound(TaskError):
    """The service does not know the task."""

    code = "task_not_found"


class NotReady(TaskError):
    """The task is not completed yet."""

    code = "not_ready"
    retryable = True


class ResultMissing(TaskError):
    """The service says completed but gives no link."""

    code = "result_missing"
    retryable = True


class ResultExpired(TaskError):
    """The link is older than 24 hours."""

    code = "result_expired"


class SavingError(SoraMcpError):
    """A video that could not be saved."""


class OutputDirUnavailable(SavingError):
    """The output folder cannot be made or written."""

    code = "output_dir_unavailable"


class DiskFull(SavingError):
    """No space left."""

    code = "disk_full"


class NotAVideo(SavingError):
    """The link answered with something else than an MP4."""

    code = "not_a_video"
    retryable = True


class UnsafeResultUrl(SavingError):
    """The link points at a host that results may not come from."""

    code = "unsafe_result_url"


class JournalUnavailable(SoraMcpError):
    """The order book on this machine cannot be used."""

    code = "journal_unavailable"


class ServiceError(SoraMcpError):
    """The service is at fault, or out of reach."""


class RateLimited(ServiceError):
    """Too many requests for now."""

    code = "rate_limited"
    retryable = True


class UpstreamUnavailable(ServiceError):
    """No answer, or an answer that says 'down'."""

    code = "upstream_unavailable"
    retryable = True


class UpstreamInvalid(ServiceError):
    """An answer that cannot be understood."""

    code = "upstream_invalid"
    retryable = True


def _leaves(kind: type[SoraMcpError]) -> list[type[SoraMcpError]]:
    own = [kind] if "code" in vars(kind) else []
    return own + [leaf for child in kind.__subclasses__() for leaf in _leaves(child)]


BY_CODE: dict[str, type[SoraMcpError]] = {leaf.code: leaf for leaf in _leaves(SoraMcpError)}
"""Every code and its class."""
