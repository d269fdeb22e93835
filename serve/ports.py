"""Port numbers from the environment, and whether they are free."""

import errno
import os
import secrets
import socket
from contextlib import suppress

from serve.errors import BadSetting

HOST = "127.0.0.1"
EVERY_ADDRESS = "0.0.0.0"


def port_from_environment(variable: str, default: int) -> int:
    """Read a port number.

    Raises
    ------
    BadSetting
        The value is not a number from 1 to 65535.
    """
    value = os.environ.get(variable, str(default))
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 65535):
        raise BadSetting(f"{variable} is {value!r}; it must be a port number, 1 to 65535.")
    return int(value)


def require_free(purpose: str, port: int, variable: str, host: str = HOST) -> None:
    """Make sure that no other program listens on a port.

    Parameters
    ----------
    purpose : str
        What the port is for, in words.
    port : int
    variable : str
        The environment variable that changes it.
    host : str

    Raises
    ------
    BadSetting
        Another program does, or this machine has no such address.
    """
    with socket.socket() as probe:
        # As the servers themselves do, so that a port just left counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise BadSetting(
                    f"This machine lets no program listen at {host}, port {port} ({purpose}): "
                    f"{error.strerror}. The service needs IPv4; of ports, set {variable} to one "
                    "above 1023."
                ) from None
            raise BadSetting(
                f"Port {port} ({purpose}) is in use by another program. "
                f"Stop that program, or set {variable} to a free port."
            ) from None


def free_port() -> int:
    """Return a port that no program listens on.

    It is none of those that Linux gives to connections by itself, so that none takes it before
    it is used.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port
