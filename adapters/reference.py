"""
References in the README, made from the code: `python -m adapters.reference` rewrites them,
`--check` only compares.
"""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from adapters.kernel_cache import use_kernel_cache

README: Final = Path(__file__).resolve().parent.parent / "README.md"


def settings_table() -> str:
    """Every setting: flag or `--set` name, environment variable, default, meaning."""
    from adapters.settings import describe

    lines = ["| setting | environment | default | meaning |", "| --- | --- | --- | --- |"]
    for name, variable, default, meaning in describe():
        lines.append(f"| `{name}` | `{variable}` | `{default}` | {meaning} |")
    return "\n".join(lines)


def metrics_table() -> str:
    """Every metric: name, kind, meaning; as the process itself describes them."""
    from adapters.metrics import Metrics

    metrics = Metrics()
    metrics.cell("default")
    described: dict[str, list[str]] = {}
    for line in b"".join(metrics.render([])).decode().splitlines():
        if match := re.match(r"# (HELP|TYPE) (\S+) (.*)", line):
            described.setdefault(match[2], []).append(match[3])
    lines = ["| metric | kind | meaning |", "| --- | --- | --- |"]
    for name, (text, kind) in described.items():
        if not name.endswith("_created"):
            lines.append(f"| `{name}` | {kind} | {text} |")
    return "\n".join(lines)


_SECTIONS: Final[Mapping[str, Callable[[], str]]] = {
    "settings": settings_table,
    "metrics": metrics_table,
}


def refreshed(text: str) -> str:
    """The README with every generated section made anew."""
    for name, make in _SECTIONS.items():
        begin, end = f"<!-- {name}: generated -->\n", f"\n<!-- {name}: end -->"
        before, found, rest = text.partition(begin)
        assert found, f"README has no section {name}"
        _, found, after = rest.partition(end)
        assert found, f"README section {name} has no end"
        text = before + begin + make() + end + after
    return text


def main() -> None:
    """Rewrite the sections, or with --check say whether they are fresh."""
    use_kernel_cache()
    text = README.read_text()
    fresh = refreshed(text)
    if "--check" in sys.argv[1:]:
        if fresh != text:
            sys.exit("README.md is stale: run `python -m adapters.reference`")
        return
    README.write_text(fresh)


if __name__ == "__main__":
    main()
