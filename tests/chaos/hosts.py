"""
Machines of a small data centre: network namespaces, each with its own address, on a mainland or an
island.

Two bridges that nothing joins. A host's port lies on the mainland's; moved to the island's it can
talk to whoever is there and to nobody else, packets are lost in silence, as behind a broken switch.
The process that runs it all stands on both shores, by another address of each host.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

MAINLAND: Final = "hg-mainland"
ISLAND: Final = "hg-island"
_INSIDE: Final = "HG_CHAOS_INSIDE"
_TRY: Final = ("unshare", "--net", "ip", "link", "set", "lo", "up")
_STARTED_WITHIN_S: Final = 10.0


def enter_own_network() -> None:
    """
    Go on in a network namespace of our own, so that nothing of the machine's is touched.

    Raises
    ------
    SystemExit
        The machine does not let us; says what is needed.
    """
    if os.environ.get(_INSIDE):
        return
    try:
        tried = subprocess.run(_TRY, capture_output=True, text=True, timeout=10, check=False)
        why = tried.stderr.strip() if tried.returncode else ""
    except OSError as error:
        why = str(error)
    if why:
        sys.exit(
            "chaos: partitions need network namespaces, which need root and the programs unshare, "
            f"nsenter and ip (Debian: util-linux, iproute2); got: {why}"
        )
    os.environ[_INSIDE] = "1"
    # What this process starts ends with it, or it would be left behind in the namespace.
    os.execvp("unshare", ("unshare", "--net", sys.executable, "-m", *_module_and_arguments()))


def _module_and_arguments() -> Sequence[str]:
    return ("tests.chaos.run", *sys.argv[1:])


class Host:
    """
    A machine.

    Attributes
    ----------
    address
        Where those on its shore find it.
    ours
        Where the process that runs it all finds it while it is on the island.
    """

    def __init__(self, number: int) -> None:
        self.address = f"10.77.0.{number}"
        self.ours = f"10.78.0.{number}"
        self._port = f"hg-{number}"
        # It does nothing but hold the namespace.
        self._holder = subprocess.Popen(("unshare", "--net", "sleep", "infinity"))
        give_up_at = time.monotonic() + _STARTED_WITHIN_S
        while _namespace(self._holder.pid) == _namespace(os.getpid()):
            assert time.monotonic() < give_up_at, "no namespace"
            time.sleep(0.01)
        holder = str(self._holder.pid)
        _ip("link", "add", self._port, "type", "veth", "peer", "name", "eth0", "netns", holder)
        self._inside("ip", "link", "set", "lo", "up")
        for address in (self.address, self.ours):
            self._inside("ip", "address", "add", f"{address}/24", "dev", "eth0")
        self._inside("ip", "link", "set", "eth0", "up")
        self.move_to(MAINLAND)
        _ip("link", "set", self._port, "up")

    def move_to(self, shore: str) -> None:
        """Cut it off, or bring it back."""
        _ip("link", "set", self._port, "master", shore)

    def start(self, command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
        """Start a process there; it has the pid that is returned."""
        enter = ("nsenter", "--target", str(self._holder.pid), "--net", *command)
        with log.open("ab") as output:
            return subprocess.Popen(enter, stdout=output, stderr=subprocess.STDOUT)

    def close(self) -> None:
        """Let the namespace go."""
        self._holder.kill()
        self._holder.wait(10)

    def _inside(self, *command: str) -> None:
        enter = ("nsenter", "--target", str(self._holder.pid), "--net", *command)
        subprocess.run(enter, check=True, capture_output=True, timeout=10)


@contextlib.contextmanager
def data_centre(count: int) -> Iterator[list[Host]]:
    """So many hosts on the mainland, and the bridges."""
    for shore, ours in ((MAINLAND, "10.77.0.1/24"), (ISLAND, "10.78.0.1/24")):
        _ip("link", "add", shore, "type", "bridge")
        _ip("address", "add", ours, "dev", shore)
        _ip("link", "set", shore, "up")
    with contextlib.ExitStack() as stack:
        hosts = []
        for number in range(count):
            hosts.append(Host(number + 11))
            stack.callback(hosts[-1].close)
        yield hosts


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True, timeout=10)
