"""What a user sees through Cortex: its jobs, their reports and the files that they were about."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from propolis_lab import http
from propolis_lab.lab import Lab
from propolis_lab.proof.digests import Digest, canonical, digest


def jobs(lab: Lab) -> Digest:
    """Every job with its report and the content of its file."""
    return digest(_jobs(lab), canonical)


def logins(lab: Lab) -> dict[str, bool]:
    """Way of logging in → whether it works."""
    record = lab.record
    basic = base64.b64encode(f"admin:{record.cortex_password}".encode()).decode()
    ways = {
        "Cortex API key": f"Bearer {record.cortex_key}",
        "Cortex password": f"Basic {basic}",
        "wrong Cortex API key": f"Bearer {record.cortex_key[::-1]}x",
    }
    url = f"{lab.cortex_url}/api/user/current"
    return {
        way: http.request("GET", url, headers={"Authorization": value}).status == 200 for way, value in ways.items()
    }


def _jobs(lab: Lab) -> Iterator[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {lab.record.cortex_key}"}
    for job in lab.cortex_api("GET", "/api/job?range=all"):
        content = None
        if "attachment" in job:
            url = f"{lab.cortex_url}/api/datastore/{job['attachment']['id']}"
            answer = http.request("GET", url, headers=headers)
            content = answer.body.hex() if answer.status == 200 else f"HTTP {answer.status}"
        yield {**lab.cortex_api("GET", f"/api/job/{job['id']}/report"), "content": content}
