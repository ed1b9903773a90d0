"""HOST:PORT, as settings spell it."""

import os
import socket


def split_address(address: str) -> tuple[str, int]:
    """
    Host, without brackets, and port.

    Raises
    ------
    ValueError
        It is not HOST:PORT; an IPv6 host stands in brackets.
    """
    host, colon, port = address.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if is_bracketed else host
    is_port = port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65_536
    if not (colon and bare and is_port) or (":" in bare) != is_bracketed:
        message = f"{address!r} is not HOST:PORT"
        raise ValueError(message)
    return bare, int(port)


def is_everywhere(address: str) -> bool:
    """Whether an address that may be listened on stands for all of a machine's."""
    return split_address(address)[0] in ("0.0.0.0", "::")


def family_of(address: str) -> socket.AddressFamily:
    """
    IPv4 where the host has such an address, as `localhost` has, else IPv6.

    Raises
    ------
    OSError
        Nobody can listen there; the message says why.
    """
    host, port = split_address(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise cannot_listen(address, error) from None
    families = [item[0] for item in found]
    return socket.AF_INET if socket.AF_INET in families else families[0]


def require_free(address: str) -> None:
    """
    See whether an address can be listened on: gRPC itself says so in many lines and without the
    reason.

    Raises
    ------
    OSError
        It is in use, or not ours; the message says which.
    """
    host, port = split_address(address)
    with socket.socket(family_of(address)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise cannot_listen(address, error) from None


def cannot_listen(address: str, error: OSError) -> OSError:
    """The error that names the address."""
    is_lookup = isinstance(error, socket.gaierror)
    reason = error.strerror if is_lookup or not error.errno else os.strerror(error.errno)
    return OSError(f"cannot listen on {address}: {reason}")
