"""The main job as a story: a real stack, two backups, a disaster, a restore, and the proof that all is back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from propolis_lab.errors import LabError
from propolis_lab.lab import Cluster, Lab, Options, spread
from propolis_lab.lab.disaster import lose_everything
from propolis_lab.lab.setting_up import add_api_key, init_arguments
from propolis_lab.proof import Proof, compare, snapshot
from propolis_lab.proof.cluster import snapshot_of_cluster
from propolis_lab.proof.outside import Watcher


@dataclass(frozen=True)
class Story:
    """What the demo is about."""

    options: Options
    more_cases: int = 25
    more_attachments: int = 150
    more_jobs: int = 10


class Demo:
    """Tells the story on the terminal."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._out = Console(highlight=False, soft_wrap=True)
        self._started = time.monotonic()

    def run(self) -> bool:
        """Play it; return whether the restored stack equals the lost one. Leaves nothing behind."""
        folder = Path(tempfile.mkdtemp(prefix="propolis-demo-", dir=os.environ.get("PROPOLIS_LAB_FOLDER", "/tmp")))
        folder.chmod(0o755)
        try:
            options = self._story.options
            if options.nodes > 1:
                with Cluster.up(folder / "hosts", options, say=self._say_small) as cluster:
                    return self._play(cluster.hive, folder, cluster)
            with Lab.up(folder / "host", options, say=self._say_small) as lab:
                return self._play(lab, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _play(self, lab: Lab, folder: Path, cluster: Cluster | None = None) -> bool:
        counts = lab.api("GET", "/api/v1/counts")
        self._chapter(1, "A working TheHive")
        self._out.print(", ".join(f"{count} {label}" for label, count in sorted(counts.items())))
        self._tell_more(lab)
        config = spread.config_of(lab)
        key = folder / "recovery.key"

        self._chapter(2, "Propolis finds the stack and is set up")
        if cluster is not None:
            self._spread(cluster, folder / "repository", key)
        else:
            places = ("--root", lab.root, "--repository", folder / "repository")
            self._propolis("init", *places, "--name", "demo", *init_arguments(lab))
            add_api_key(lab, config)
            self._propolis("repository", "init", "--config", config, "--recovery-key", key)
        self._propolis("doctor", "--config", config)

        self._chapter(3, "A cold backup: TheHive is only down while services stop and start")
        if cluster is not None:
            self._propolis("backup", "--cold", "--plan", "--config", config)
        self._backup(lab, config)

        self._chapter(4, "Users continue to work, and a second backup stores only what is new")
        story = self._story
        lab.seed(story.more_cases, story.more_attachments, seed=story.options.seed + 1)
        self._out.print(f"Added {story.more_cases} cases and {story.more_attachments} attachments")
        if "cortex" in lab.services:
            lab.seed_jobs(story.more_jobs, seed=story.options.seed + 1)
            self._out.print(f"Added {story.more_jobs} jobs of Cortex")
        self._backup(lab, config)
        self._propolis("verify", "latest", "--config", config, "--identity", key)
        before = self._look(lab, cluster)

        self._chapter(5, "The disaster")
        for host in cluster.hosts.values() if cluster is not None else (lab,):
            lose_everything(host, lambda text: self._out.print(text))

        self._chapter(6, "The restore")
        # Of several hosts, each has the recovery key in a file that its own configuration names.
        with_key = ("--identity", key) if cluster is None else ()
        self._propolis("restore", "latest", "--yes", "--config", config, *with_key)
        self._propolis("status", "--config", config)

        self._chapter(7, "The proof")
        return self._prove(before, self._look(lab, cluster))

    def _spread(self, cluster: Cluster, repository: Path, key: Path) -> None:
        config = spread.set_up(cluster, str(repository), "demo", added=False, restore={"identity": str(key)})
        self._out.print(f"Wrote a configuration on each of {', '.join(cluster.hosts)}")
        self._propolis("repository", "init", "--config", config, "--recovery-key", key)
        for host in cluster.nodes:
            way = (f"--command={argument}" for argument in spread.reached_by(cluster, host))
            self._propolis("host", "add", host, *way, "--config", config, "--identity", key)

    def _look(self, lab: Lab, cluster: Cluster | None) -> Proof:
        return snapshot(lab) if cluster is None else snapshot_of_cluster(cluster)

    def _tell_more(self, lab: Lab) -> None:
        options = lab.options
        if options.nodes > 1:
            others = ", ".join(lab.record.nodes)
            self._out.print(f"Database and index are clusters of {options.nodes} nodes each, on the hosts {others}")
        if "cortex" in lab.services:
            where = "an index server of its own" if options.cortex == "own" else "TheHive's index server"
            self._out.print(f"Beside it Cortex, on {where}, with {options.jobs} jobs")
        if options.minio != "none":
            how = ", which encrypts every object" if options.minio == "encrypted" else ""
            self._out.print(f"Attachments lie in a MinIO that belongs to the stack{how}")

    def _backup(self, lab: Lab, config: Path) -> None:
        with Watcher(lab.thehive_url) as watcher:
            self._propolis("backup", "--cold", "--config", config)
        self._out.print(f"  [bold]downtime as seen from outside: {watcher.downtime:.1f} s[/]")

    def _prove(self, before: Proof, after: Proof) -> bool:
        differences = compare(before, after)
        table = Table(title="Before the disaster and after the restore")
        for name in ("what", "before", "after", "equal"):
            table.add_column(name, no_wrap=name != "what", overflow="fold")
        for what, first, second in before.rows(after):
            table.add_row(what, first, second, "[green]yes[/]" if first == second else "[red]NO[/]")
        self._out.print(table)
        for difference in differences[:20]:
            self._out.print(f"[red]{difference}[/]")
        seconds = time.monotonic() - self._started
        if differences:
            self._out.print(f"[red]{len(differences)} differences.[/]")
        else:
            self._out.print(f"[green]Everything is equal.[/] (The demo took {seconds:.0f} s.)")
        return not differences

    def _propolis(self, *arguments: Any) -> None:
        command = [str(argument) for argument in arguments]
        self._out.print(f"[cyan]$ propolis {' '.join(command)}[/]")
        done = subprocess.run([sys.executable, "-m", "propolis", *command], check=False)
        if done.returncode:
            raise LabError(f"propolis {command[0]} failed with exit code {done.returncode}")

    def _chapter(self, number: int, title: str) -> None:
        self._out.print(f"\n[bold]{number}. {title}[/]  [dim]({time.monotonic() - self._started:.0f} s)[/]")

    def _say_small(self, text: str) -> None:
        self._out.print(f"[dim]{text}[/]")
