"""Options of `headgate forward` that are refused: with name, value and what would do."""

import base64
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.cli import main

SECRET = f"whsec_{base64.b64encode(b's' * 32).decode()}"


def forward(folder: Path, *options: str, to: str = "https://hooks.example/") -> Result:
    """Run the command with options that it refuses before it does anything."""
    secret_file = folder / "secret"
    secret_file.write_text(SECRET)
    needed = ("--to", to, "--secret-file", str(secret_file), "--cursor-file", str(folder / "c"))
    return CliRunner().invoke(main, ("forward", *needed, *options))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ("--kinds", "offer_issued,lunch"),
            "'--kinds': 'lunch' is no kind of event; expected some",
        ),
        (("--kinds", "unspecified"), "'unspecified' is no kind of event"),
        (("--kinds", ""), "'' is no kind of event"),
        (("--address", "engine"), "'--address' .*: 'engine' is not HOST:PORT"),
        (("--address", ""), "'--address' .*: '' is not HOST:PORT"),
        (("--metrics-address", "::1:80"), "'--metrics-address': '::1:80' is not HOST:PORT"),
        (("--cell", "a b"), "'--cell': 'a b'; expected letters, digits, - and _"),
        (("--cell", ""), "'--cell': ''"),
        (("--events-max", "0"), "'--events-max': 0 is not in the range 1<=x<=1000"),
        (("--events-max", "many"), "'many' is not a valid integer"),
        (("--bytes-max", "1"), "'--bytes-max': 1 is not in the range"),
        (("--timeout-s", "nan"), "'--timeout-s': 'nan' is not a number"),
        (("--timeout-s", "inf"), "'--timeout-s': inf is not in the range"),
        (("--grace-s", "-1"), "'--grace-s': -1.0 is not in the range 0<=x<=600"),
        (("--on-refusal", "ignore"), "'ignore' is not one of 'stop', 'dead-letter'"),
        (("--on-give-up", "dead-letter"), "--dead-letter-file: expected a file where"),
        (("--dead-letter-file", "d"), "and only there, got .*'d'"),
        (("--ca-file", "nowhere"), "--ca-file nowhere: expected a readable PEM file"),
        (("--secret-file", "nowhere"), "--secret-file nowhere: expected a readable file"),
        (("--to", "http://hooks.example/"), "--to: expected https://, .* or --allow-http"),
        (("--to", "hooks.example"), "--to: expected https://HOST"),
        (("--queue-id",), "'--queue-id' requires an argument"),
        (("--wat",), "No such option"),
    ],
)
def test_wrong_option_is_refused_in_words(
    tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    """Whoever typed it learns which option, what it was and what it may be; nothing was begun."""
    result = forward(tmp_path, *options)
    assert result.exit_code == 2
    assert re.search(told, " ".join(result.output.split())), result.output
    assert "Traceback" not in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret"]


def test_secret_that_is_none_is_refused_without_being_told(tmp_path: Path) -> None:
    """What goes to a terminal goes to logs and screenshots."""
    path = tmp_path / "other"
    path.write_text("hunter2")
    result = forward(tmp_path, "--secret-file", str(path))
    assert result.exit_code == 2
    assert "line 1: expected whsec_ and base64" in result.output
    assert "hunter2" not in result.output


def test_kinds_are_taken_in_every_spelling() -> None:
    """As the contract has them, as a person types them, several at once or one by one."""
    from adapters.forward_command import forward as command

    words = ["--kinds", "offer_issued, CONTACT_COMPLETED", "--kinds", "EVENT_KIND_AGENT_DELETED"]
    given = ["--to", "x", "--secret-file", "x"]
    with command.make_context("forward", [*given, *words]) as context:
        assert context.params["kinds"] == [20, 8, 31]
