"""Backups: a stack becomes one restore point."""

from propolis.backup.cold import BackupReport, back_up
from propolis.backup.options import BackupOptions
from propolis.backup.steps import BACKUP_STEPS

__all__ = ["BACKUP_STEPS", "BackupOptions", "BackupReport", "back_up"]
