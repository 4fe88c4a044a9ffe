"""What stays and what goes: prune, holds and leases, for a person."""

from __future__ import annotations

from dataclasses import dataclass

from rich.markup import escape

from propolis.report.console import console
from propolis.report.units import about, counted, human_bytes
from propolis.repository.access.leases import LeaseInfo
from propolis.repository.maintenance.prune import PruneResult


@dataclass(frozen=True)
class UnlockResult:
    """What `repository unlock` found and did."""

    planned: bool
    leases: tuple[LeaseInfo, ...]
    removed: tuple[str, ...]
    """Names of lease objects."""


@dataclass(frozen=True)
class HoldResult:
    """What `hold` did."""

    backup: str
    held: bool
    reason: str
    released: int
    """Holds removed."""


def show_prune(result: PruneResult) -> None:
    """Every backup with the reason why it stays or goes; then what became free."""
    out = console()
    for decision in result.decisions:
        mark = "[green]keep[/]  " if decision.keep else "[red]remove[/]"
        out.print(f"{mark} {decision.id}  {escape(', '.join(decision.reasons))}")
    would = "would be " if result.planned else ""
    out.print(f"{len(result.removed)} of {len(result.decisions)} backups {would}removed")
    out.print(
        f"{result.packs_removed} of {result.packs} packs {would}removed ({human_bytes(result.bytes_removed)})"
        f", {result.packs_repacked} repacked (freeing {human_bytes(result.bytes_freed)} before compression)"
    )
    if result.packs_sparse:
        out.print(
            f"[yellow]{result.packs_sparse} packs are mostly unneeded, but only the recovery key can repack them:[/] "
            "give it with --identity"
        )
    if result.packs_young:
        out.print(f"{result.packs_young} unneeded packs are kept for now (retention.grace_hours)")
    if result.quarantine_removed:
        out.print(f"{result.quarantine_removed} objects in quarantine/ {would}removed")
    if result.locked_until:
        out.print(
            f"The bucket locks objects: what {'would be' if result.planned else 'was'} removed stays there as former "
            f"versions, and takes up space, until its lock has ended (by {result.locked_until[:10]}) and a lifecycle "
            "rule of the bucket removes it"
        )
    for remark in result.remarks:
        out.print(f"[yellow]note:[/] {escape(remark)}")
    for finding in result.findings:
        out.print(f"[red]{escape(about(finding.what, finding.object))}[/]")
    if result.planned:
        out.print("Nothing was changed.")


def show_unlock(result: UnlockResult) -> None:
    """The leases, and which of them were removed."""
    out = console()
    if not result.leases:
        out.print("Nobody is using the repository: there are no leases.")
    for lease in result.leases:
        removed = ("would be removed" if result.planned else "removed") if lease.name in result.removed else "left"
        state = f"expired {lease.expires}" if lease.expired else f"in use until at least {lease.expires}"
        out.print(escape(f"{lease.token[:8]}  {lease.holder}: {state}; {removed}"))
    if any(not lease.expired and lease.name not in result.removed for lease in result.leases):
        out.print(
            "A lease in use is renewed every minute, and expires by itself if its holder has died. To remove it at "
            "once, make sure that its holder is dead, then give the lease (a prefix is enough) to --force."
        )


def show_hold(result: HoldResult) -> None:
    """Whether the backup is held now."""
    if result.held:
        console().print(escape(f"Backup {result.backup} is held: prune keeps it until `propolis hold --release`."))
    else:
        console().print(f"Backup {result.backup} is no longer held ({counted(result.released, 'hold')} removed).")
