"""The sections of `propolis.yaml` that `propolis init` leaves to a person: Cortex, and a MinIO of the stack's own."""

from __future__ import annotations

import os
from pathlib import Path

from propolis_lab.lab.lab import Lab
from propolis_lab.servers import cortex, minio


def add_sections(lab: Lab, config: Path) -> list[str]:
    """Append what the lab's options need to a configuration; returns the names of the sections."""
    made = {}
    if lab.options.cortex != "none":
        made["cortex"] = _cortex(lab, config.parent)
    if lab.options.minio != "none":
        made["minio"] = _minio(lab)
    with config.open("a", encoding="utf-8") as file:
        file.write("".join(f"\n{text}" for text in made.values()))
    return list(made)


def _cortex(lab: Lab, folder: Path) -> str:
    key = folder / "cortex.key"
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(lab.record.cortex_key)
    text = f"""\
cortex:
  url: {lab.cortex_url}
  config: {lab.layout.etc("cortex")}
  jobs: {lab.layout.jobs}
  prefix: {cortex.INDEX}
  api_key: {{file: {key}}}
"""
    if lab.options.cortex == "own":
        program = lab.layout.program("cortex-index")
        text += f"""\
  index:
    url: {lab.cortex_index_url}
    config: {lab.layout.etc(program)}
    data: {lab.layout.lib(program)}
"""
    return text


def _minio(lab: Lab) -> str:
    return f"""\
minio:
  url: http://{lab.address}:{minio.PORT}
  data: [{lab.layout.lib("minio")}]
  config: {lab.layout.etc("minio")}
  environment: {lab.layout.minio_environment}
"""
