"""Restores: a restore point becomes a running stack again."""

from propolis.restore.cold import RestoreReport, RestoreRequest, restore
from propolis.restore.steps import RESTORE_STEPS

__all__ = ["RESTORE_STEPS", "RestoreReport", "RestoreRequest", "restore"]
