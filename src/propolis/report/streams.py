"""Standard output and error that never raise: what was done is done, whether or not it can be reported.

A result that could not be written (a full disk, a closed descriptor) is one clear error at the end, with an exit code
of its own unless the command has a worse one. A pipe whose reader went away (`| head`) had what it wanted.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO

from propolis.errors import PropolisError

ENCODED = "backslashreplace"
"""Names of files needn't be text, nor need a terminal know all letters."""


class SafeStream(io.TextIOWrapper):
    """A text stream that keeps its first failure for later, and from then on writes to nowhere."""

    failure: OSError | ValueError | None = None

    def write(self, text: str) -> int:
        """Write it, if that is possible."""
        try:
            return super().write(text)
        except (OSError, ValueError) as error:
            self._fail(error)
            return len(text)

    def flush(self) -> None:
        """Write what waits, if that is possible."""
        try:
            super().flush()
        except (OSError, ValueError) as error:
            self._fail(error)

    def _fail(self, error: OSError | ValueError) -> None:
        if self.failure is not None:
            return
        self.failure = error
        # What still waits in the buffer would fail again when the interpreter ends, which then tells of it itself.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            super().flush()


def keep_descriptors() -> None:
    """Open what is closed of the three standard descriptors, so that no file of ours is taken for one of them.

    Reading from the first and writing to the others still fails as it does with closed ones.
    """
    for number, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest that is free: this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", closefd=False))


def make_safe() -> None:
    """From now on the process's standard output and error are streams that never raise."""
    keep_descriptors()
    sys.stdout = sys.__stdout__ = _safe(sys.stdout)  # type: ignore[misc,assignment]
    sys.stderr = sys.__stderr__ = _safe(sys.stderr, lines=True)  # type: ignore[misc,assignment]


def finish() -> PropolisError | None:
    """Write what still waits; give the error of a result that could not be written."""
    sys.stderr.flush()
    sys.stdout.flush()
    failure = getattr(sys.stdout, "failure", None)
    if failure is None or isinstance(failure, BrokenPipeError):
        return None
    reason = failure.strerror if isinstance(failure, OSError) else str(failure)
    return PropolisError(
        f"The result could not be written to standard output: {reason}",
        left="What the command did remains in effect",
        next="Send the output to a disk with free space, and look at the result again, e.g. with `propolis list` or "
        "`propolis status`",
    )


def _safe(stream: TextIO, *, lines: bool = False) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper) or isinstance(stream, SafeStream):
        return stream
    encoding, lines = stream.encoding, lines or stream.line_buffering
    return SafeStream(stream.detach(), encoding=encoding, errors=ENCODED, line_buffering=lines)
