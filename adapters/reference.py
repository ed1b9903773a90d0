"""
References in the README, made from the code: `python -m adapters.reference` rewrites them,
`--check` only compares.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import click

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
    """Every metric of the engine: name, kind, meaning; as the process itself describes them."""
    from adapters.metrics import Metrics

    metrics = Metrics()
    metrics.cell("default")
    return _described(metrics.render([]))


def forward_options_table() -> str:
    """Every option of `headgate forward`: name, default, meaning; as --help has them."""
    from adapters.forward_command import forward

    lines = ["| option | default | meaning |", "| --- | --- | --- |"]
    for option in forward.params:
        assert isinstance(option, click.Option)
        is_shown = option.show_default and not option.required
        default = f"`{option.default}`" if is_shown else "required" if option.required else ""
        lines.append(f"| `{option.opts[0]}` | {default} | {option.help}{_bounds(option)} |")
    return "\n".join(lines)


def _bounds(option: click.Option) -> str:
    """What a number or a word may be."""
    match option.type:
        case click.IntRange() | click.FloatRange():
            return f" {option.type.min:,} to {option.type.max:,}."
        case click.Choice():
            return f" One of {', '.join(option.type.choices)}."
    return ""


def forward_metrics_table() -> str:
    """Every metric that a forwarder has beside those of any process."""
    from adapters.forward_metrics import ForwardMetrics

    return _described(ForwardMetrics().render(), "headgate_forward_")


def _described(page: Iterable[bytes], beginning: str = "") -> str:
    """Metrics of a page whose names begin so."""
    described: dict[str, list[str]] = {}
    for line in b"".join(page).decode().splitlines():
        if match := re.match(r"# (HELP|TYPE) (\S+) (.*)", line):
            described.setdefault(match[2], []).append(match[3])
    lines = ["| metric | kind | meaning |", "| --- | --- | --- |"]
    for name, (text, kind) in described.items():
        if name.startswith(beginning) and not name.endswith("_created"):
            lines.append(f"| `{name}` | {kind} | {text} |")
    return "\n".join(lines)


_SECTIONS: Final[Mapping[str, Callable[[], str]]] = {
    "settings": settings_table,
    "metrics": metrics_table,
    "forward options": forward_options_table,
    "forward metrics": forward_metrics_table,
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
