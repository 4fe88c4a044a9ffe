"""Restores: a restore point becomes a running stack again."""

from propolis.restore.cold import RestoreReport, restore
from propolis.restore.known import RESTORE_STEPS
from propolis.restore.request import RestoreRequest

__all__ = ["RESTORE_STEPS", "RestoreReport", "RestoreRequest", "restore"]
