"""Stacks that share a repository: the latest backup is the stack's own."""

from pathlib import Path

from fakes.stack import FakeStack
from propolis.errors import RepositoryError


def renamed(stack: FakeStack, name: str) -> None:
    file = stack.propolis.config_file
    lines = file.read_text().splitlines()
    file.write_text("\n".join([f"name: {name}" if line.startswith("name: ") else line for line in lines]) + "\n")


def test_the_latest_backup_is_never_another_stacks(tmp_path: Path) -> None:
    with FakeStack.up(tmp_path) as stack:
        own, before = stack.back_up().summary.id, stack.content()
        stack.change()
        renamed(stack, "neighbour")
        assert f"There is no backup of the stack neighbour: {own} is of fake" in stack.propolis.ok("show").out
        neighbours = stack.back_up().summary.id
        renamed(stack, "fake")
        for command in (("show",), ("verify", "latest"), ("restore", "latest", "--identity", stack.key, "--plan")):
            ran = stack.propolis.ok(*command)
            assert own in ran.out, command
            assert neighbours not in ran.out, command
        assert stack.restore().backup == own
        assert stack.content() == before
        renamed(stack, "third")
        for name in ("verify", "hold", "restore"):
            text = stack.propolis.run(name, "latest").one_clear_error(RepositoryError.exit_code)
            assert "no backup of the stack third; it has those of fake, neighbour" in text, name
