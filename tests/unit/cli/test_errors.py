"""An error is told in whole sentences."""

import pytest

from propolis.cli import run
from propolis.errors import PropolisError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PropolisError("No disk"), "No disk."),
        (PropolisError("No disk.", next="Get one."), "No disk. Get one."),
        (
            PropolisError("Did you mean 'backup'?", left="Nothing was done", next="Ask"),
            "Did you mean 'backup'? Nothing was done. Ask.",
        ),
    ],
)
def test_what_was_left_and_what_to_do_follow_what_is_wrong(error: PropolisError, told: str) -> None:
    assert str(error) == told


def test_a_wrong_value_is_told_without_words_of_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--level", "x"]) == 2
    told = capsys.readouterr().err
    assert "'x' is not one of 'manifest', 'sample', 'full'" in told
    assert "Value error" not in told
