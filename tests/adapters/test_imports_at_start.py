"""What a start need not pay for: libraries for what is not in the settings."""

import subprocess
import sys

# Each takes a tenth of a second to import.
NOT_NEEDED = {"redis", "aiohttp", "scipy.linalg"}


def test_engine_on_its_own_imports_what_it_needs_only() -> None:
    """Every start of an engine without Redis and without a provider of tokens."""
    program = (
        "import sys, adapters.server, adapters.security.protection, adapters.placement.access\n"
        # What numba imports when the first kernel is loaded.
        "import numba.np.arraymath\n"
        "print(*sys.modules)\n"
    )
    told = subprocess.run(
        (sys.executable, "-c", program), check=True, capture_output=True, text=True, timeout=60
    )
    modules = set(told.stdout.split())
    assert "adapters.open_cells" in modules
    assert not NOT_NEEDED & modules
