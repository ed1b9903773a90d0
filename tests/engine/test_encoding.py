"""What is kept for long must not hold on to more memory than it needs."""

import subprocess
import sys

# In a process of its own, whose memory nobody else has grown.
_PROGRAM = """
from engine.encoding import kept_json

def resident_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

value = [["skill", 3], {f"key{number}": "x" * 20 for number in range(6)}]
before = resident_bytes()
kept = [kept_json(value) for _ in range(50_000)]
print((resident_bytes() - before) / len(kept), len(kept[0]))
"""


def test_kept_json_takes_little_more_than_its_length() -> None:
    """A buffer of 4 KiB behind each payload made a waiting contact thirteen times as large."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True, timeout=60
    )
    resident, length = (float(part) for part in done.stdout.split())
    assert resident < length + 200
