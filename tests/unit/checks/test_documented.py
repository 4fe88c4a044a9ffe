"""The guide's table of rules is the one that the commands go by."""

import re
from pathlib import Path

from propolis.checks import Look, rules_of
from sections import with_everything
from unit.checks.stacks import config_in

PAGE = Path(__file__).parents[3] / "docs/user-guide-doctor.md"


def rows() -> dict[str, tuple[set[str], set[str]]]:
    """Whom each rule stops and warns, as the guide has it."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 4 and cells[0] != "rule" and "---" not in cells[0]:
            for name in cells[0].split(", "):
                found[name] = (set(re.findall(r"\w+", cells[2])), set(re.findall(r"\w+", cells[3])))
    return found


def test_every_rule_is_in_the_guide_with_whom_it_stops_and_warns(tmp_path: Path) -> None:
    told = rows()
    rules = rules_of(Look(with_everything(config_in(tmp_path))))
    assert set(told) == {rule.name for rule in rules}
    for rule in rules:
        stops, warns = told[rule.name]
        assert stops == set(rule.stops), rule.name
        assert warns == set(rule.warns) | ({"doctor"} - set(rule.stops)), rule.name
