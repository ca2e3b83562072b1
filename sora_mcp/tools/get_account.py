from typing import Annotated

from mcp.types import CallToolResult

from sora_mcp.models import Account
from sora_mcp.tools._studio import StudioContext, answer, studio


async def get_account(ctx: StudioContext) -> Annotated[CallToolResult, Account]:
    """Show the credits left, the models on offer and the daily limit."""
    account = await studio(ctx).account()
    return answer(f"{_credits(account)} {_models(account)} {_limit(account)}", account)


def _credits(account: Account) -> str:
    if account.unlimited:
        return "Credits: unlimited."
    if account.credits_remaining is None:
        return "Credits: the service did not say."
    return f"Credits left: {account.credits_remaining:,.0f} (200 are 1 USD)."


def _models(account: Account) -> str:
    offered = ", ".join(account.models) if account.models else "the service did not say"
    return f"Models on offer: {offered}; default {account.default_model}."


def _limit(account: Account) -> str:
    ordered = f"Ordered in 24 hours: {account.seconds_ordered_24h} s"
    return f"{ordered} of {account.daily_limit_seconds} s." if account.daily_limit_seconds else f"{ordered}, no limit."
