"""Two engines that want the same cell; whichever ends is started again, as an orchestrator does."""

import contextlib
import json
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.chaos.hosts import Host
from tests.chaos.nodes import settled

_PORT: Final = 7443
_LOOK_EVERY_S: Final = 0.05


class ServedEngine:
    """
    An engine, or its successor on the same host.

    Attributes
    ----------
    host
        Where it runs.
    """

    def __init__(self, host: Host, name: str, flags: Sequence[str], directory: Path) -> None:
        self.host = host
        self._log = directory / f"{name}.log"
        self._command = (
            *(sys.executable, "-m", "adapters.cli", "serve", *flags, "--insecure"),
            *("--address", f"0.0.0.0:{_PORT}", "--metrics-address", "0.0.0.0:7444"),
            *("--pin", "off", "--data-dir", str(directory / name)),
            *("--set", f"engine_name={name}", "--set", "lease_wait_s=3600"),
            *("--set", "lease_ms=1500", "--set", "sensing=false"),
        )
        self._is_wanted = True
        self._lock = threading.Lock()
        self._start()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def address(self, is_cut_off: bool = False) -> str:
        """HOST:PORT of gRPC."""
        return f"{self.host.ours if is_cut_off else self.host.address}:{_PORT}"

    @property
    def is_owner(self) -> bool:
        """Whether it is ready, wherever it is."""
        return any(self._is_ready(place) for place in (self.host.address, self.host.ours))

    @property
    def is_waiting(self) -> bool:
        """Whether it has found the cell held."""
        return self._process.poll() is None and any(
            line.get("event") == "waiting_for_cell" for line in self._lines()
        )

    def kill(self) -> None:
        """End it at once; it is started again."""
        with self._lock:
            self._process.kill()
            self._process.wait(10)

    def pause(self) -> None:
        """Stop it where it is."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it for good."""
        self._is_wanted = False
        self._keeper.join(10)
        self._process.kill()
        self._process.wait(10)

    def _start(self) -> None:
        self._begun = self._log.stat().st_size if self._log.exists() else 0
        self._process = self.host.start(self._command, self._log)

    def _keep(self) -> None:
        while self._is_wanted:
            with self._lock:
                if self._process.poll() is not None:
                    self._start()
            time.sleep(_LOOK_EVERY_S)

    def _is_ready(self, address: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}:7444/readyz", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _lines(self) -> Iterator[dict[str, object]]:
        """Log lines of the present process."""
        with self._log.open("rb") as log:
            log.seek(self._begun)
            for line in log:
                with contextlib.suppress(ValueError):
                    yield json.loads(line)


class Engines:
    """Both."""

    def __init__(self, pair: Sequence[ServedEngine]) -> None:
        self.pair = pair

    def owner(self) -> ServedEngine:
        """Who has the cell."""
        (found,) = [one for one in self.pair if one.is_owner]
        return found

    def await_ready(self) -> None:
        """Wait until one has the cell and the other waits for it."""
        settled(lambda: sum(one.is_owner for one in self.pair) == 1, "one engine ready")
        settled(
            lambda: any(one.is_waiting and not one.is_owner for one in self.pair), "one standby"
        )


@contextlib.contextmanager
def engines(hosts: Sequence[Host], flags: Sequence[str], directory: Path) -> Iterator[Engines]:
    """One engine on each host, with flags that say where the cell is."""
    with contextlib.ExitStack() as stack:
        pair = []
        for number, host in enumerate(hosts):
            pair.append(ServedEngine(host, f"engine-{number}", flags, directory))
            stack.callback(pair[-1].close)
        made = Engines(pair)
        made.await_ready()
        yield made
