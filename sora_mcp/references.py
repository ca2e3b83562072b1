"""Reference images: made to fit, uploaded once, and remembered so that a wrong shape is told before money moves."""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sora_mcp import USER_AGENT
from sora_mcp.addresses import check_public_link
from sora_mcp.catalog import Model, load_catalog
from sora_mcp.errors import InvalidArgument, JournalUnavailable
from sora_mcp.journal import Upload
from sora_mcp.models import Fit, UploadedImage
from sora_mcp.service import Service
from sora_mcp.settings import Settings

if TYPE_CHECKING:
    from sora_mcp.images import ImagePreparer

logger = logging.getLogger(__name__)


class References:
    """The way of an image from the user to the service. ``clock`` gives Unix seconds."""

    def __init__(self, settings: Settings, *, local_paths: bool = True, clock: Callable[[], float] = time.time) -> None:
        """Load nothing yet; without ``local_paths`` the caller's disk is elsewhere."""
        self._settings = settings
        self._local_paths = local_paths
        self._clock = clock
        self._preparer: ImagePreparer | None = None

    async def aclose(self) -> None:
        """End what decodes images."""
        if self._preparer:
            await self._preparer.aclose()

    async def upload(self, service: Service, file: str, aspect_ratio: str | None, fit: Fit) -> UploadedImage:
        """Make an image fit and hand it to the service; the same one within an hour is not sent again.

        Raises:
            SoraMcpError: The image cannot be used or sent.
        """
        prepared = await self._images(service).prepare(file, aspect_ratio=aspect_ratio, fit=fit)
        way = f"{prepared.aspect_ratio} {fit}"
        upload = await self._earlier(service, prepared.source_sha256, way)
        if upload is None:
            uploaded = await service.api.upload_image(prepared.data, prepared.mime_type)
            upload = Upload(
                id=uploaded.id,
                url=uploaded.url,
                mime_type=uploaded.mime_type or prepared.mime_type,
                size=uploaded.size or len(prepared.data),
                width=prepared.width,
                height=prepared.height,
                created_at=self._clock(),
                changes=prepared.changes,
            )
            await self._remember(service, prepared.source_sha256, way, upload)
        return UploadedImage(
            id=upload.id,
            url=upload.url,
            mime_type=upload.mime_type or prepared.mime_type,
            size=upload.size or len(prepared.data),
            width=upload.width,
            height=upload.height,
            aspect_ratio=prepared.aspect_ratio,
            changes=list(prepared.changes),
        )

    async def check(self, service: Service, image_urls: list[str], aspect_ratio: str, model: Model) -> None:
        """Refuse before money moves what is known to fail: a private link, an upload of another shape.

        Raises:
            UrlNotAllowed: A link that the service could not, or must not, fetch.
            InvalidArgument: An image of the wrong aspect ratio, with the right one to pass.
        """
        for url in image_urls:
            check_public_link(url, trusted_origin=service.base_url)
        if not image_urls or not model.exact_image_size:
            return
        sizes = load_catalog().sizes
        size = await self._size_of(service, image_urls[0])
        if size and size != sizes[aspect_ratio]:
            fitting = next((ratio for ratio, wanted in sizes.items() if wanted == size), None)
            advice = f'Pass aspect_ratio="{fitting}"' if fitting else "Upload the image anew"
            raise InvalidArgument(
                f"The image is {size[0]}x{size[1]}: it does not fit aspect_ratio {aspect_ratio}. Nothing was ordered.",
                f"{advice}, or upload it for {aspect_ratio} with upload_reference_image.",
            )

    def _images(self, service: Service) -> "ImagePreparer":
        if self._preparer is None:
            from sora_mcp.images import ImagePreparer  # noqa: PLC0415 - only an upload needs it

            self._preparer = ImagePreparer(
                roots=lambda: self._settings.image_roots,
                trusted_origin=lambda: service.base_url,
                sizes=load_catalog().sizes,
                user_agent=USER_AGENT,
                allow_local_paths=self._local_paths,
            )
        return self._preparer

    async def _earlier(self, service: Service, content_sha256: str, way: str) -> Upload | None:
        try:
            return await service.journal.find_upload(content_sha256, way)
        except JournalUnavailable as error:
            logger.warning("earlier uploads cannot be looked up: %s", error)
            return None

    async def _remember(self, service: Service, content_sha256: str, way: str, upload: Upload) -> None:
        try:
            await service.journal.remember_upload(content_sha256, way, upload)
        except JournalUnavailable as error:
            logger.warning("an upload could not be written down: %s", error)

    async def _size_of(self, service: Service, url: str) -> tuple[int, int] | None:
        try:
            return await service.journal.upload_size(url)
        except JournalUnavailable as error:
            logger.warning("the size of an upload cannot be looked up: %s", error)
            return None
