"""A passphrase takes a second of work each time it opens something: the same question is asked once a test."""

import pytest

from propolis.repository.crypto.identities import Identity
from propolis.repository.crypto.recipients import Passphrase


@pytest.fixture(autouse=True)
def remembered_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember what a passphrase opened, or that it did not."""
    unlock = Passphrase.unlock
    answers: dict[tuple[str, bytes], Identity | None] = {}

    def remembering(self: Passphrase, locked: bytes) -> Identity | None:
        question = self._text, bytes(locked)
        if question not in answers:
            answers[question] = unlock(self, locked)
        return answers[question]

    monkeypatch.setattr(Passphrase, "unlock", remembering)
