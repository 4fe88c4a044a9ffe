"""The script of docs/restore-without-propolis.md, run with the programs it promises to do with and no others."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from propolis.repository import Identity, write_identity

PAGE = Path(__file__).parents[3] / "docs" / "restore-without-propolis.md"


def script_of_the_page() -> str:
    block = re.search(r"```bash\n(.*?)```", PAGE.read_text(), re.S)
    assert block, f"{PAGE} holds no script"
    return block[1]


class ShellRestore:
    """The script in a folder of its own, beside a PATH on which only the promised programs are."""

    def __init__(self, folder: Path) -> None:
        self.script = folder / "restore.sh"
        self.script.write_text(script_of_the_page())
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.identity = folder / "identity"
        promised = re.search(r"\nfor tool in (.*?); do\n", self.script.read_text(), re.S)
        assert promised
        for name in ["setfattr", *promised[1].replace("\\\n", " ").split()]:
            found = shutil.which(name)
            assert found, f"the program {name} is missing"
            (self.programs / name).symlink_to(found)

    def use(self, identity: Identity) -> None:
        """Restore with this identity from now on."""
        self.identity.unlink(missing_ok=True)
        write_identity(self.identity, identity)

    def run(self, repository: Path, backup: str, target: Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/bash", self.script, repository, self.identity, backup, target],
            env={"PATH": str(self.programs)},
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            **options,
        )


def refused(done: subprocess.CompletedProcess[str], target: Path) -> bool:
    """Whether the script failed closed; fails when it did something between that and a success."""
    if done.returncode == 0:
        assert "\nRestored " in done.stdout, done.stderr
        assert target.is_dir()
        return False
    assert "Restored" not in done.stdout
    assert "restore.sh: " in done.stderr
    assert not target.exists()
    return True
