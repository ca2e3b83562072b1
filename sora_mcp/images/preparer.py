"""The whole way of a reference image: found, fetched, checked, made to fit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, get_args

from anyio import to_thread

from sora_mcp.errors import InvalidArgument
from sora_mcp.images.guard import DECODE_SECONDS, Guard
from sora_mcp.images.sources import kind_of, open_data, open_path, temporary_file
from sora_mcp.images.wording import changes
from sora_mcp.models import Fit

if TYPE_CHECKING:
    import httpx

    from sora_mcp.images.fetch import Fetcher, Resolver


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """An image that fits: freshly encoded pixels, and nothing else of the source.

    ``width`` and ``height`` are pixels, ``mime_type`` is ``image/jpeg`` or ``image/png``, ``data`` is under
    10,000,000 bytes, ``changes`` says in plain words what was done, ``source_sha256`` is of the bytes that came (hex).
    """

    data: bytes
    mime_type: str
    width: int
    height: int
    aspect_ratio: str
    changes: tuple[str, ...]
    source_sha256: str


class ImagePreparer:
    """Makes a reference image out of a path, an https link or a ``data:`` URI."""

    def __init__(
        self,
        *,
        roots: Callable[[], tuple[Path, ...]],
        trusted_origin: Callable[[], str],
        sizes: Mapping[str, tuple[int, int]],
        user_agent: str,
        allow_local_paths: bool = True,
        decode_seconds: float = DECODE_SECONDS,
        resolver: "Resolver | None" = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        """Take what may be read and what is wanted.

        Args:
            roots: The folders that local images may come from.
            trusted_origin: The API's base URL; empty while it is not known.
            sizes: Width and height in pixels for each aspect ratio.
            user_agent: How to name ourselves to file hosts.
            allow_local_paths: False when the caller's disk is not this machine's.
            decode_seconds: How long one image may take to decode.
            resolver: Replaces the system's way of finding a host's addresses.
            transport: Replaces the network that links are fetched over.
        """
        self._roots = roots
        self._trusted_origin = trusted_origin
        self._sizes = dict(sizes)
        self._user_agent = user_agent
        self._allow_local_paths = allow_local_paths
        self._guard = Guard(self._sizes, seconds=decode_seconds)
        self._resolver = resolver
        self._transport = transport
        self._fetcher: Fetcher | None = None

    async def prepare(self, file: str, *, aspect_ratio: str | None = None, fit: Fit = "crop") -> PreparedImage:
        """Open an image wherever it is, and make it fit.

        Args:
            file: A local path (``~`` is the user's home), an https link or a ``data:image/...;base64,`` URI.
            aspect_ratio: One of the sizes' names; the nearer one when there is none.
            fit: ``crop`` cuts evenly about the centre, ``pad`` adds bars, ``none`` takes only the exact size.

        Raises:
            PathNotAllowed, NotARegularFile: A local path that may not be read.
            UrlNotAllowed, FetchFailed: A link that may not be fetched, or that gave nothing.
            UnsupportedImage, CorruptImage, ImageTooLarge, ImageTooSmall: The content.
            InvalidArgument: An unknown aspect ratio or fit, no base64, or another size with ``fit="none"``.
            DiskFull: The system's temporary folder takes no file.
        """
        if aspect_ratio is not None and aspect_ratio not in self._sizes:
            raise InvalidArgument("The aspect_ratio is unknown.", f"Use one of {', '.join(self._sizes)}.")
        if fit not in get_args(Fit):
            raise InvalidArgument("The fit is unknown.", f"Use one of {', '.join(get_args(Fit))}.")
        source = await self._open(file)
        with source:
            facts, data = await self._guard.decode(source, aspect_ratio=aspect_ratio, fit=fit)
        width, height = self._sizes[facts.aspect_ratio]
        return PreparedImage(
            data=data,
            mime_type=facts.mime_type,
            width=width,
            height=height,
            aspect_ratio=facts.aspect_ratio,
            changes=changes(facts, (width, height)),
            source_sha256=facts.sha256,
        )

    async def aclose(self) -> None:
        """Close the connections; images that are being prepared end with the tasks that asked for them."""
        if self._fetcher is not None:
            await self._fetcher.aclose()

    async def _open(self, file: str) -> IO[bytes]:
        kind = kind_of(file)
        if kind == "path":
            work = partial(open_path, file, self._roots, allow_local_paths=self._allow_local_paths)
            return await to_thread.run_sync(work)
        if kind == "data":
            return await to_thread.run_sync(open_data, file)
        source = await to_thread.run_sync(temporary_file)
        try:
            await (await self._links()).fetch(file, source)
            source.seek(0)
        except BaseException:
            source.close()
            raise
        return source

    async def _links(self) -> "Fetcher":
        if self._fetcher is None:
            fetcher = await to_thread.run_sync(self._new_fetcher)
            self._fetcher = self._fetcher or fetcher
        return self._fetcher

    def _new_fetcher(self) -> "Fetcher":
        from sora_mcp.images.fetch import Fetcher, resolve  # noqa: PLC0415 - httpx takes longer to load than all of us

        return Fetcher(
            trusted_origin=self._trusted_origin,
            user_agent=self._user_agent,
            resolver=self._resolver or resolve,
            transport=self._transport,
        )
