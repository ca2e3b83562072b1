"""A stand-in for the ToAPIs service: the same wire and the same rules, no cost and no network.

Importing this package is cheap; Starlette is loaded by the first use of ``Simulator.app``, uvicorn by ``serve``.
"""

from sora_mcp.simulator.dialects import DIALECTS
from sora_mcp.simulator.faults import Fault, Faults
from sora_mcp.simulator.service import Charge, Received, Simulator
from sora_mcp.simulator.serving import run, serve

__all__ = ["DIALECTS", "Charge", "Fault", "Faults", "Received", "Simulator", "run", "serve"]
