"""What a user sees through TheHive."""

from __future__ import annotations

import base64
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from propolis_lab import http
from propolis_lab.lab import Lab
from propolis_lab.proof.digests import Digest, digest

_PAGE = 1000
_SEARCHES = 6
_DOWNLOADS = 20


def cases(lab: Lab) -> list[Any]:
    """Every case with all that hangs on it."""
    numbers: list[int] = []
    while True:
        page = lab.api("GET", f"/api/v1/cases?from={len(numbers)}&size={_PAGE}")
        numbers += [case["number"] for case in page["cases"]]
        if not page["cases"] or len(numbers) >= page["total"]:
            break
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda number: lab.api("GET", f"/api/v1/case/{number}"), numbers))


def searches(lab: Lab, cases: list[Any]) -> dict[str, Digest]:
    """Full-text searches for words that the first and the last cases have in their descriptions."""
    found = {}
    for case in (*cases[: _SEARCHES // 2], *cases[-_SEARCHES // 2 :]):
        words = " ".join(re.findall(r"[A-Za-z]{6,}", str(case.get("description", "")))[:2])
        if words:
            answer = lab.api("GET", f"/api/v1/search?q={words.replace(' ', '+')}&from=0&size={_PAGE}")
            found[words] = digest((hit["_id"] for hit in answer["hits"]), str, count=answer["total"])
    return found


def downloads(lab: Lab) -> dict[str, str]:
    """Attachment → SHA-256 of what the interface delivers, for some."""
    listed = lab.api("GET", f"/api/v1/attachments?from=0&size={_DOWNLOADS}")["attachments"]
    return {entry["attachmentId"]: _download(lab, entry["attachmentId"]) for entry in listed}


def _download(lab: Lab, identifier: str) -> str:
    answer = http.request(
        "GET",
        f"{lab.thehive_url}/api/v1/attachment/{identifier}/download",
        headers={"Authorization": f"Bearer {lab.account.api_key}"},
    )
    return hashlib.sha256(answer.body).hexdigest() if answer.status == 200 else f"HTTP {answer.status}"


def logins(lab: Lab) -> dict[str, bool]:
    """Way of logging in → whether it works."""
    account = lab.account
    url = f"{lab.thehive_url}/api/v1/user/current"
    basic = base64.b64encode(f"{account.login}:{account.password}".encode()).decode()
    ways = {
        "API key": f"Bearer {account.api_key}",
        "password": f"Basic {basic}",
        "wrong API key": f"Bearer {account.api_key[::-1]}x",
    }
    found = {
        way: http.request("GET", url, headers={"Authorization": value}).status == 200 for way, value in ways.items()
    }
    form = http.request(
        "POST",
        f"{lab.thehive_url}/api/v1/login",
        data={"user": account.login, "password": account.password},
    )
    found["form"] = form.status == 200
    return found
