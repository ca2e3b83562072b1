"""Which links and addresses may be used: public ones, and the API's own origin.

Nothing here asks a name server or opens a connection.
"""

import re
from urllib.parse import SplitResult, urlsplit

from sora_mcp.errors import UrlNotAllowed

MAX_URL_CHARACTERS = 4096

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_BRACKETED = re.compile(r"\[[0-9a-f:.]+\](:[0-9]+)?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAX_HOST_CHARACTERS = 253

_LOCAL_SUFFIXES = (
    # RFC 6761, 6762, 8375 and ICANN's .internal; the rest is what home routers and offices use.
    *("localhost", "local", "home.arpa", "internal"),
    *("localdomain", "lan", "home", "corp", "intranet", "private"),
)

# Beyond what `is_global` refuses, and spelled out because its table changed between Python releases.
_NOT_PUBLIC_V4 = (
    "192.0.0.0/24",  # protocol assignments, among them a cloud's metadata address
    "192.88.99.0/24",  # relays of 6to4
    "168.63.129.16/32",  # a cloud's host agent
)
_NOT_PUBLIC_V6 = (
    "2001::/23",  # Teredo, ORCHID, benchmarks: tunnels and addresses that lead elsewhere
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4: an IPv4 address inside
    "3fff::/20",  # documentation
)
_GLOBAL_UNICAST_V6 = "2000::/3"  # outside it: loopback, mapped, compatible, NAT64, unique local, link-local, multicast
_ISATAP_MASK, _ISATAP = 0xFDFFFFFF, 0x00005EFE  # an IPv4 address in the lower half, RFC 5214


def is_public_address(address: str) -> bool:
    """Whether an address, as a resolver writes it, is an ordinary one of the public internet.

    Tunnels (NAT64, 6to4, Teredo, ISATAP) and IPv4 addresses written as IPv6 are not: they may lead to a private place.
    """
    import ipaddress  # noqa: PLC0415 - not needed to start

    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        refused = any(ip in ipaddress.IPv4Network(network) for network in _NOT_PUBLIC_V4)
        return ip.is_global and not ip.is_multicast and not ip.is_reserved and not refused
    if ip.scope_id is not None or ip not in ipaddress.IPv6Network(_GLOBAL_UNICAST_V6):
        return False
    if (int(ip) >> 32) & _ISATAP_MASK == _ISATAP:
        return False
    return ip.is_global and not any(ip in ipaddress.IPv6Network(network) for network in _NOT_PUBLIC_V6)


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an http(s) link, in lower case, the usual port filled in.

    Raises:
        UrlNotAllowed: It is no such link, or it carries a user name.
    """
    scheme, host, port, _ = _read(url)
    return scheme, host, port


def check_public_link(url: str, *, trusted_origin: str, schemes: tuple[str, ...] = ("http", "https")) -> None:
    """Refuse a link whose text alone shows that it does not lead to a public place.

    A link of the trusted origin (the API's base URL; empty when there is none yet) passes, loopback or not.
    A name that passes can still resolve to a private address: whoever connects must check that too.

    Raises:
        UrlNotAllowed: Another scheme, a user name, a private or reserved address in any spelling, a local name.
    """
    scheme, host, port, parts = _read(url)
    if trusted_origin and (scheme, host, port) == origin(trusted_origin):
        return
    if scheme not in schemes:
        raise _refusal(f"its scheme is not {' or '.join(schemes)}")
    if parts.netloc.startswith("["):
        if not _BRACKETED.fullmatch(parts.netloc.lower()) or not is_public_address(host):
            raise _refusal("its address is not a public one")
        return
    _check_host(host)


def _read(url: str) -> tuple[str, str, int, SplitResult]:
    if not url or len(url) > MAX_URL_CHARACTERS:
        raise _refusal(f"it is empty or longer than {MAX_URL_CHARACTERS} characters")
    # urlsplit drops tabs and line breaks, and browsers read a backslash as a slash: two readers, two hosts.
    if not url.isprintable() or any(character.isspace() or character == "\\" for character in url):
        raise _refusal("it contains white space, a backslash or a character that cannot be shown")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refusal("it cannot be read as a link") from None
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise _refusal("its scheme is not https")
    if "@" in parts.netloc:
        raise _refusal("it carries a user name or password")
    if not host or not host.isascii() or "%" in host or port == 0 or parts.netloc.endswith(":"):
        raise _refusal("its host is missing or is not written in plain letters, digits, dots and hyphens")
    return scheme, host, port or _DEFAULT_PORTS[scheme], parts


def _check_host(host: str) -> None:
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # What ends in a number is an address to every browser and resolver; only a plain dotted one is judged here,
        # so decimal, octal, hexadecimal and short forms never pass. It also catches a trailing dot after them.
        if not is_public_address(host):
            raise _refusal("its address is not a public one")
        return
    if len(host) > _MAX_HOST_CHARACTERS or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refusal("its host is not a plain public name (no trailing dot, no empty part)")
    if len(labels) == 1 or any(host == suffix or host.endswith(f".{suffix}") for suffix in _LOCAL_SUFFIXES):
        raise _refusal("its host is a local name")


def _refusal(reason: str) -> UrlNotAllowed:
    return UrlNotAllowed(
        f"The link was refused: {reason}.",
        "Give a public https link, without a user name, that opens in any browser.",
    )
