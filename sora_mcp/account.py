"""What is left: credits at the service, and seconds under the user's own limit."""

from sora_mcp.errors import AuthFailed, SoraMcpError
from sora_mcp.models import Account, Balance
from sora_mcp.service import Service
from sora_mcp.settings import Settings


async def account_answer(service: Service, settings: Settings) -> Account:
    """Ask the service and the journal. The smaller of the key's and the account's credits stops a job.

    Raises:
        AuthFailed: The key is not accepted.
        JournalUnavailable: The seconds ordered cannot be read.
    """
    balances = [balance for balance in (await _key(service), await _whole(service)) if balance]
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


async def _key(service: Service) -> Balance | None:
    try:
        return await service.api.key_balance()
    except AuthFailed:
        raise
    except SoraMcpError:
        return None


async def _whole(service: Service) -> Balance | None:
    try:
        return await service.api.account_balance()
    except SoraMcpError:
        # A key may be forbidden to see the account; what it says of itself still counts.
        return None
