"""Settings of the command line that have no flag of their own: `--set NAME=VALUE`."""

from engine.refusals import BadConfiguration


def parse_pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    """Values by names of settings; raises BadConfiguration for what is no pair."""
    parsed = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise BadConfiguration("flag --set", pair, "NAME=VALUE")
        parsed[name.replace("-", "_")] = value
    return parsed
