"""Task ids that carry their own order, so that a restarted simulator still knows every id it ever made.

``video_`` and 29 characters of base32 over 18 bytes, big-endian::

    5  created, in 1/100 s of Unix time      4  random
    4  length of the job in s, a float32     3  CRC-32 of the rest, its low bytes
    2  bits: model 3, seconds 2, size 1, kind 1, spare 1; outcome 4, clips - 1 2, spare 2
"""

import base64
import binascii
import struct
import zlib
from dataclasses import dataclass

MODELS = ("sora-2-official", "sora-2-vvip", "sora-2", "sora-2-pro", "sora-2-vip")
SECONDS = (4, 8, 12)
SIZES = ("1280x720", "720x1280")
KINDS = ("generate", "remix")
OUTCOMES = ("completed", "moderation", "fail", "face", "wrong_size", "wrong_type", "lost_image")

_PREFIX = "video_"
_PAYLOAD, _CHECK = 15, 3
_CHARACTERS = 29


@dataclass(frozen=True, slots=True)
class Order:
    """What an id says of its job: ``created`` is Unix time, ``length`` how long the work takes, both in seconds."""

    model: str
    seconds: int
    size: str
    kind: str
    outcome: str
    clips: int
    created: float
    length: float
    nonce: int


def pack(order: Order) -> str:
    """The id of an order. Times come back a little coarser: see :func:`unpack`."""
    first = MODELS.index(order.model) << 5 | SECONDS.index(order.seconds) << 3 | SIZES.index(order.size) << 2
    first |= KINDS.index(order.kind) << 1
    second = OUTCOMES.index(order.outcome) << 4 | (order.clips - 1) << 2
    created = int(order.created * 100 + 1e-4).to_bytes(5, "big")
    payload = created + struct.pack(">fBBI", order.length, first, second, order.nonce)
    encoded = base64.b32encode(payload + _checksum(payload)).decode().rstrip("=")
    return _PREFIX + encoded


def unpack(task_id: str) -> Order | None:
    """The order in an id, or ``None`` when no simulator made it."""
    encoded = task_id.removeprefix(_PREFIX)
    if not task_id.startswith(_PREFIX) or len(encoded) != _CHARACTERS:
        return None
    try:
        raw = base64.b32decode(encoded + "===")
    except (binascii.Error, ValueError):
        return None
    payload, check = raw[:_PAYLOAD], raw[_PAYLOAD:]
    if check != _checksum(payload):
        return None
    length, first, second, nonce = struct.unpack(">fBBI", payload[5:])
    return Order(
        model=MODELS[first >> 5],
        seconds=SECONDS[first >> 3 & 3],
        size=SIZES[first >> 2 & 1],
        kind=KINDS[first >> 1 & 1],
        outcome=OUTCOMES[second >> 4],
        clips=(second >> 2 & 3) + 1,
        created=int.from_bytes(payload[:5], "big") / 100,
        length=length,
        nonce=nonce,
    )


def _checksum(payload: bytes) -> bytes:
    return zlib.crc32(payload).to_bytes(4, "big")[-_CHECK:]
