"""What a backup's coordinator and hosts tell each other is checked: nothing that comes over a link is trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propolis.backup.host import HostOptions, host_plan
from propolis.backup.options import BACKGROUND, BackupOptions
from propolis.backup.woven import downtime_of, reports_of
from propolis.command.context import Context
from propolis.errors import IntegrityError, UsageError
from propolis.repository import Limits

REPORT: dict[str, Any] = {
    **dict.fromkeys(("cloned_files", "bytes_copied", "files", "bytes", "unchanged", "read", "new", "stored"), 1),
    "part": "parts/x",
    "downtime": None,
    "outage": 2.5,
    "packs": 0,
    "reread": False,
    "altered": 0,
}


@given(st.none() | st.integers(1, 1 << 40), st.booleans(), st.booleans())
def test_options_cross_as_plain_values(upload: int | None, reread: bool, unhealthy: bool) -> None:
    limits = Limits(upload=upload, background=BACKGROUND.background)
    sent = HostOptions.plain(BackupOptions(limits=limits, reread=reread, force_unhealthy=unhealthy))
    assert HostOptions(**sent) == HostOptions(upload=upload, reread=reread, force_unhealthy=unhealthy)


@pytest.mark.parametrize("options", [{"places": {}}, {"upload": "20M"}, {"reread": 1}])
def test_a_host_takes_no_other_options(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="not those of a backup"):
        host_plan(options, None, cast("Context", Path()))


def test_thehives_downtime_is_that_of_its_host() -> None:
    reports = reports_of([{"db1": REPORT}, {"hive": {**REPORT, "downtime": 9.0}}, {"db1": {"more": 1}}])
    assert list(reports) == ["db1", "hive"]
    assert downtime_of(reports) == 9.0


@pytest.mark.parametrize("wrong", [{"part": 7}, {**REPORT, "read": "much"}, {**REPORT, "altered_named": [1]}])
def test_a_report_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match=r"What db1 says of its part is not understood.*No backup was recorded"):
        reports_of([{"db1": wrong}])
