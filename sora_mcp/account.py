"""What is left: credits at the service, and seconds under the user's own limit."""

import logging
from collections.abc import Awaitable, Callable

import anyio

from sora_mcp.errors import AuthFailed, SoraMcpError
from sora_mcp.models import Account, Balance
from sora_mcp.service import Service
from sora_mcp.settings import Settings

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 20.0


async def account_answer(service: Service, settings: Settings) -> Account:
    """Ask the service and the journal. The smaller of the key's and the account's credits stops a job.

    Raises:
        AuthFailed: The key is not accepted.
        JournalUnavailable: The seconds ordered cannot be read.
    """
    told: list[Balance | None] = [None, None]
    refused: list[AuthFailed] = []

    async def ask(place: int, question: Callable[[], Awaitable[Balance]]) -> None:
        try:
            told[place] = await question()
        except AuthFailed as error:
            if place == 0:  # a key may be forbidden to see the account; what it says of itself still counts
                refused.append(error)
        except SoraMcpError as error:
            logger.info("a balance is not known: %s", error.code)

    with anyio.move_on_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as questions:
            questions.start_soon(ask, 0, service.api.key_balance)
            questions.start_soon(ask, 1, service.api.account_balance)
            questions.start_soon(service.offer.ids)
    if refused:
        raise refused[0]
    balances = [balance for balance in told if balance]
    limited = [balance for balance in balances if not balance.unlimited]
    remaining = [balance.remaining for balance in limited if balance.remaining is not None]
    used = [balance.used for balance in balances if balance.used is not None]
    ordered, _ = await service.journal.ordered_seconds()
    return Account(
        credits_remaining=min(remaining) if remaining else None,
        credits_used=used[0] if used else None,
        unlimited=bool(balances) and not limited,
        models=list(await service.offer.ids()),
        default_model=settings.default_model,
        seconds_ordered_24h=ordered,
        daily_limit_seconds=settings.daily_seconds,
    )
