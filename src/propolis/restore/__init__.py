"""Restores: a restore point becomes a running stack again."""

from propolis.restore.cold import RestoreReport, restore
from propolis.restore.request import RestoreRequest
from propolis.restore.steps import RESTORE_STEPS

__all__ = ["RESTORE_STEPS", "RestoreReport", "RestoreRequest", "restore"]
