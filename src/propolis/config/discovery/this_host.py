"""Which names and addresses are this host's own. Nothing is sent over the network but questions to the resolver."""

from __future__ import annotations

import fcntl
import ipaddress
import re
import socket
import struct

_SIOCGIFADDR = 0x8915
_ANY_PORT = 9

ANY_ADDRESS = ("0.0.0.0", "::", "0:0:0:0:0:0:0:0")  # noqa: S104 - read, not bound to
"""What a server is told that is to listen on every address."""


def reachable(address: str | None) -> str:
    """Give the address at which a service on this host that listens on `address` can be reached."""
    bare = (address or "").removeprefix("[").removesuffix("]")
    return "127.0.0.1" if not bare or bare in ANY_ADDRESS else bare


def split_port(text: str) -> tuple[str, str]:
    """Split `host:port`, `[::1]:port` or a bare host or address; the port is empty where none is given."""
    match = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?|([^:]+)(?::(\d+))?", text.strip())
    if match is None:
        return text.strip(), ""  # an IPv6 address without brackets
    return match[1] or match[3], match[2] or match[4] or ""


def is_this_host(name: str) -> bool | None:
    """Whether a name or address is this host's; None where the name can't be resolved here."""
    if name.lower() in {"localhost", socket.gethostname().lower(), socket.getfqdn().lower()}:
        return True
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)}
    except (OSError, UnicodeError):
        return None
    return all(_is_own(address) for address in found)


def in_url(address: str) -> str:
    """Write an address as a URL has it: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address


def interface_address(name: str) -> str | None:
    """Give the IPv4 address of a network interface; None where it has none or there is no such interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
        except OSError:
            return None
    return socket.inet_ntoa(answer[20:24])


def site_address() -> str | None:
    """Give the first private IPv4 address of this host, as `_site_` of the index means it; None where it has none."""
    for _, name in socket.if_nameindex():
        address = interface_address(name)
        if address is not None:
            parsed = ipaddress.ip_address(address)
            if parsed.is_private and not parsed.is_loopback and not parsed.is_link_local:
                return address
    return None


def _is_own(address: str) -> bool:
    """Whether an address is one of this host's: to reach such a one, it is the source, too."""
    if ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        return True
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, _ANY_PORT))  # sends nothing: it only chooses a source
        except OSError:
            return False
        return str(probe.getsockname()[0]) == address
