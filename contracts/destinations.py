"""Which URLs may be posted to, and where they lead. A URL that a customer writes must not reach inside our network.

The host is resolved once; every address it has must be allowed; the connection then goes to the checked address and not
to the name, so that a second answer of the name server (DNS rebinding) changes nothing.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

Resolve = Callable[[str, int], Sequence[str]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORTS: Final = {"https": 443, "http": 80}
#: All of IPv6 that is given out (RFC 4291 §2.4); site-local and IPv4-compatible addresses count as global otherwise.
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
#: What `is_global` lets pass: documentation (RFC 9637), relays of 6to4 (RFC 7526), and Azure's host behind every guest.
_NOT_OURS: Final = tuple(
    ipaddress.ip_network(net) for net in ("3fff::/20", "192.88.99.0/24", "168.63.129.16/32")
)


class AddressRefused(Exception):
    """The host leads to where nothing may be posted, or nowhere. Its text is for whoever wrote the URL."""


@dataclass(frozen=True)
class Policy:
    """What the installation allows beyond https to public addresses: for development, or hooks of its own network."""

    http: bool = False
    private: bool = False


@dataclass(frozen=True)
class Destination:
    """`address` is what is connected to; `host` is what its certificate must name."""

    scheme: str
    host: str
    port: int
    address: str
    path: str

    @property
    def url(self) -> str:
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.scheme}://{shown}:{self.port}{self.path}"

    @property
    def host_header(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == _PORTS[self.scheme] else f"{shown}:{self.port}"


def system_resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(entry[4][0]) for entry in found]


def text_check(url: str, *, policy: Policy) -> None:
    """Raises AddressRefused when the URL's text alone tells that it may not be posted to."""
    literal = _literal(_parsed(url, policy).hostname or "")
    if literal is not None:
        _allowed(literal, policy)


def destination_of(url: str, *, policy: Policy, resolve: Resolve = system_resolve) -> Destination:
    """Where the URL leads now. Raises AddressRefused when one of its addresses may not be posted to."""
    parts = _parsed(url, policy)
    host = parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    literal = _literal(host)
    if literal is not None:
        addresses = [str(literal)]
    else:
        try:
            addresses = list(resolve(host, port))
        except (OSError, UnicodeError) as error:
            raise AddressRefused(f"{host} has no address") from error
    if not addresses:
        raise AddressRefused(f"{host} has no address")
    for address in addresses:
        # A scoped address (fe80::1%eth0) is link-local; the scope is not part of what is judged.
        _allowed(ipaddress.ip_address(address.partition("%")[0]), policy)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination(parts.scheme, host, port, addresses[0], path)


def _parsed(url: str, policy: Policy) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused("is not a URL") from error
    if any(character.isspace() or not character.isprintable() for character in url) or not url.isascii():
        raise AddressRefused("must be plain ASCII without spaces")
    if parts.scheme not in _PORTS or (parts.scheme == "http" and not policy.http):
        raise AddressRefused("must begin with https://")
    if not parts.hostname or parts.username is not None or parts.password is not None or parts.fragment:
        raise AddressRefused("must name a host, without a login and without a #fragment")
    if port == 0:
        raise AddressRefused("names no port that can be connected to")
    return parts


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _allowed(address: Address, policy: Policy) -> None:
    if address.is_multicast or address.is_unspecified or (address.is_reserved and not policy.private):
        raise AddressRefused(f"leads to {address}, which nothing may be posted to")
    if not policy.private and not all(_public(each) for each in (address, *_inside(address))):
        raise AddressRefused(f"leads to {address}, which is not a public address")


def _public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    if any(address in network for network in _NOT_OURS if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast


def _inside(address: Address) -> list[Address]:
    """IPv4 addresses that an IPv6 one stands for."""
    if not isinstance(address, ipaddress.IPv6Address):
        return []
    found: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    return [each for each in found if each is not None]
