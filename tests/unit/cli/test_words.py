"""What people read is plain English: whole sentences, the field's words, steps that are commands."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
import typer

from propolis.cli import EPILOG, application, run
from propolis.config.sample import json_schema
from unit.cli.reading_matter import code_texts, document_texts, help_texts, step_titles

BETTER = {
    r"\bso (many|much)\b(?! as\b|.{0,60}\bthat\b)": "this many; the N newest; per second",
    r"(?<!there )\b(is|are|was|were) no (?!(longer|more|less|later|earlier|other|such|better)\b)": "is not a",
    r"[,(] ?as (\d|/|https?:|id_|`[^`]*`(?! [a-z])|…[,)])": "e.g.",
    r"\bby comma\b": "comma-separated",
    r"\btouch(es|ed)? nothing\b|\bnothing was touched\b": "change nothing",
    r"\bone key less\b|\bone more key\b|\bclosed to it\b": "remove a key; another key; can't read it",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\b(bring|brings|brought|bringing) (\w+ ){0,3}back\b": "restore, restart, roll back",
    r"\bhe?o?ld(s|ing)? back\b": "reserve",
    r"\bfor care\b|\bcare commands?\b": "maintenance",
    r"\bput(s|ting)? (it |them )?right\b": "fix, clean up",
    r"\bput(s|ting)? aside\b": "move to quarantine",
    r"\b(left|is|was) half[- ](done|made)\b": "unfinished",
    r"\bleft over:": "leftover:",
    r"\bgive more of\b": "give a longer prefix",
    r"\bfits? (none|no|several|\d+|…) ": "matches",
    r"\b(lie|lies|lay) in (one another|each other)\b": "overlap",
    r"\bmay (less|more|all)\b": "can do less",
    r"\btoo young\b": "kept for now",
    r"\bto nowhere\b": "dangling",
    r"\bthe past\b": "an earlier time",
    r"\b(can't|can not|cannot|could not) be told\b(?! apart)": "can't tell, can't be determined",
    r"\banew\b": "again",
    r"\bheed(s|ed|ing)?\b": "respect",
    r"\bPropolis' ": "Propolis's",
    r"\b(came|comes|come) back after\b|\bservices (came|come) back\b": "are running again",
    r"\bno plain\b|\bno text\b": "is not",
}
"""What this project used to say that stops a reader, and what to say instead."""

VERBS = (
    *(
        "accept",
        "check",
        "clone",
        "count",
        "delete",
        "drain",
        "fetch",
        "forget",
        "give",
        "keep",
        "list",
        "move",
        "open",
    ),
    *("put", "record", "release", "reserve", "start", "stop", "store", "unblock", "upload", "wait", "write"),
)
"""What a step does: its title is a command that begins with one of these."""


def stumbles(texts: Iterable[tuple[str, str]]) -> list[str]:
    """Every place where a reader would stumble, with what to write instead."""
    return [
        f"{where}: “{found[0]}” in “{text.strip()}”: better: {better}"
        for where, text in texts
        for pattern, better in BETTER.items()
        for found in re.finditer(pattern, text, re.I | re.M)
    ]


def test_help_is_plain() -> None:
    texts = list(help_texts(typer.main.get_group(application()), "propolis"))
    assert len(texts) > 100
    assert stumbles(texts) == []


@pytest.mark.parametrize("family", [[], ["repository"], ["repository", "key"], ["config"]], ids=" ".join)
def test_a_list_of_commands_cuts_no_summary_short(family: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*family, "--help"]) == 0
    commands = capsys.readouterr().out.partition("Commands:")[2]
    assert len(commands.splitlines()) > 3
    assert "..." not in commands


def test_whatever_the_code_says_is_plain() -> None:
    texts = list(code_texts())
    assert len(texts) > 1000
    assert stumbles(texts) == []


def test_documents_are_plain() -> None:
    texts = list(document_texts())
    assert len(texts) > 200
    assert stumbles(texts) == []


@pytest.mark.parametrize("text", [EPILOG, json_schema()], ids=["exit codes", "settings"])
def test_exit_codes_and_settings_are_plain(text: str) -> None:
    assert stumbles([("", text)]) == []


def test_steps_are_commands() -> None:
    titles = list(step_titles())
    assert len(titles) > 20
    assert [(where, title) for where, title in titles if title.split()[0] not in (*VERBS, "…")] == []


@pytest.mark.parametrize(
    "text",
    [
        "Send at most so much a second, as 20M",
        "'x' is no rate",
        "Take a time, as 2026-11-23",
        "stores, by comma",
        "Print the steps and touch nothing",
        "Find the cause and mend it",
        "services are brought back",
        "2 runs were left half done",
        "it fits none of the 3 leases",
        "so it can't be told which one is used",
    ],
)
def test_the_guard_notices_what_it_is_for(text: str) -> None:
    assert stumbles([("here", text)])


@pytest.mark.parametrize(
    "text",
    [
        "There is no such folder",
        "It is no longer held",
        "Never removes the newest backup, held backups, or verified ones",
        "So much data was written that the disk is full",
        "not as root, as the tests do",
        "The commands depend on one another",
        "The former data is put back",
        "We recommend another disk; the amendment is dependable",
    ],
)
def test_the_guard_forces_no_odd_phrase(text: str) -> None:
    assert stumbles([("here", text)]) == []
