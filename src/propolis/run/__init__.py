"""Plans of journalled steps that are finished or undone, whatever happens; knows nothing of TheHive."""

from propolis.run.journal import Journal, JournalState, read_journal
from propolis.run.lock import StackLock
from propolis.run.plan import Outcome, Plan, execute
from propolis.run.step import Observer, SilentObserver, Step

__all__ = [
    "Journal",
    "JournalState",
    "Observer",
    "Outcome",
    "Plan",
    "SilentObserver",
    "StackLock",
    "Step",
    "execute",
    "read_journal",
]
