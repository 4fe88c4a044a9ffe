"""What a person adds to `propolis init`: the folder of Cortex's own index, and a key with which to ask Cortex."""

from __future__ import annotations

import os
import re
from pathlib import Path

from propolis_lab.errors import LabError
from propolis_lab.lab.lab import Lab


def init_arguments(lab: Lab) -> list[str]:
    """Arguments of `propolis init` beside the root."""
    if "cortex-index" not in lab.services:
        return []
    return ["--config-folder", f"cortex-index={lab.layout.etc(lab.layout.program('cortex-index'))}"]


def add_api_key(lab: Lab, config: Path) -> None:
    """Let Propolis log in to the lab's Cortex, if there is one; the key lies in a file beside the configuration."""
    if "cortex" not in lab.services:
        return
    key = config.with_name("cortex.key")
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(lab.record.cortex_key)
    text, found = re.subn("^cortex:$", f"cortex:\n  api_key: {{file: {key}}}", config.read_text(), flags=re.MULTILINE)
    if found != 1:
        raise LabError(f"{config} has no section cortex", left="It was left as it is")
    config.write_text(text)
