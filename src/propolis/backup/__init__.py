"""Backups: a stack becomes one restore point."""

from propolis.backup.cold import BackupReport, back_up
from propolis.backup.known import BACKUP_STEPS
from propolis.backup.options import BackupOptions

__all__ = ["BACKUP_STEPS", "BackupOptions", "BackupReport", "back_up"]
