"""Plans of journalled steps that are finished or undone, whatever happens; knows nothing of TheHive."""

from propolis.run.execution import Execution, Outcome, Verdict, execute
from propolis.run.journal import Journal, JournalState
from propolis.run.journals import UnreadableJournal, read_journal
from propolis.run.lock import StackLock
from propolis.run.observer import Observer, SilentObserver
from propolis.run.plan import Plan
from propolis.run.step import Results, Step
from propolis.run.telling import Telling

__all__ = [
    "Execution",
    "Journal",
    "JournalState",
    "Observer",
    "Outcome",
    "Plan",
    "Results",
    "SilentObserver",
    "StackLock",
    "Step",
    "Telling",
    "UnreadableJournal",
    "Verdict",
    "execute",
    "read_journal",
]
