"""Which models can be had: those of the catalogue that the service has on offer today."""

import logging
import time
from collections.abc import Awaitable, Callable

import anyio

from sora_mcp.catalog import Model, load_catalog
from sora_mcp.errors import ModelUnavailable, SoraMcpError

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 3.0
FRESH_SECONDS = 600.0
SILENT_SECONDS = 60.0
"""How long a service that did not say what it has on offer is left alone."""


def known_model(model: str) -> Model:
    """The catalogue's entry.

    Raises:
        ModelUnavailable: There is none.
    """
    models = load_catalog().models
    if model not in models:
        raise ModelUnavailable(
            "This server does not know that model. Nothing was ordered.", f"Pass one of: {', '.join(models)}."
        )
    return models[model]


class Offer:
    """The video models that the service lists; ``ask`` puts the question, ``clock`` gives Unix seconds."""

    def __init__(
        self, ask: Callable[[], Awaitable[tuple[str, ...]]], *, clock: Callable[[], float] = time.time
    ) -> None:
        """Nothing is asked yet."""
        self._ask = ask
        self._clock = clock
        self._ids: tuple[str, ...] = ()
        self._asked_at = float("-inf")
        self._believed = 0.0
        self._asking = anyio.Lock()

    async def ids(self) -> tuple[str, ...]:
        """The ids on offer, at most 10 minutes old; empty when the service does not say within 3 s."""
        async with self._asking:
            # A clock that was set back must not keep an old answer alive.
            if not 0 <= self._clock() - self._asked_at < self._believed:
                self._ids = ()
                with anyio.move_on_after(PATIENCE_SECONDS):
                    try:
                        self._ids = await self._ask()
                    except SoraMcpError as error:
                        logger.info("the models on offer are not known: %s", error.code)
                self._asked_at = self._clock()
                self._believed = FRESH_SECONDS if self._ids else SILENT_SECONDS
            return self._ids

    async def check(self, model: str) -> None:
        """Stop before money moves when the service does not list the model; its silence stops nothing.

        Raises:
            ModelUnavailable: It lists others.
        """
        ids = await self.ids()
        if ids and model not in ids:
            raise await self.unavailable(model)

    async def unavailable(self, model: str, upstream_message: str | None = None) -> ModelUnavailable:
        """Name what can be had instead; nothing is swapped in without being asked for: prices differ."""
        on_offer = await self.ids()
        usable = [known for known in load_catalog().models if known != model and (not on_offer or known in on_offer)]
        if usable:
            which = "On offer" if on_offer else "This server also knows"
            advice = f"{which}: {', '.join(usable)}. Ask the user before using another one: prices differ."
        else:
            others = f" The service lists {', '.join(on_offer[:8])}." if on_offer else ""
            advice = f"None of the models that this server knows is on offer.{others} Look for a newer sora-mcp."
        return ModelUnavailable(
            f"The service does not offer {model} now. Nothing was ordered or charged.",
            advice,
            upstream_message=upstream_message,
        )
