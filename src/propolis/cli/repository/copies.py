"""`repository copy`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from propolis.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, PlanOnly, Quiet, config_of, observer
from propolis.command.apart import require_place_apart
from propolis.config.places import PlaceConfig, RepositoryConfig
from propolis.errors import ConfigError
from propolis.report.json import print_json
from propolis.report.repository import copies as report
from propolis.repository import Location, Stats
from propolis.repository.maintenance.copy import copy_repository
from propolis.repository.storage.opening import open_storage


def register(app: typer.Typer) -> None:
    """Add this family's command."""
    app.command("copy")(copy)


def copy(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="A folder, or a URL listed in repository.copies  [default: all of repository.copies]",
            metavar="URL",
        ),
    ] = "",
    plan: PlanOnly = False,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Copy all backups to a second repository.

    Only missing objects are copied, and each is checked on the way. Needs no key, and deletes nothing in the
    copy. If it is stopped, the next run continues where it ended.
    """
    stack = config_of(config)
    settings = stack.repository
    source = open_storage(Location.from_config(settings))
    told = observer(quiet=quiet, as_json=as_json)
    results = []
    places = _places(settings, to)
    if to and places[0] not in settings.copies:
        require_place_apart(stack, "--to", places[0])
    for number, place in enumerate(places, 1):

        def progress(stats: Stats) -> None:
            told.progress(stats.stored, None, "bytes")

        target = open_storage(Location.from_config(place))
        title, begun = f"copying to {target.place}", time.monotonic()
        if plan:
            results.append(copy_repository(source, target, plan=True))
            continue
        told.step_started(number, len(places), title)
        results.append(copy_repository(source, target, observer=progress))
        told.step_ended(number, len(places), title, time.monotonic() - begun)
    if as_json:
        print_json(results)
    elif not quiet:
        for result in results:
            report.show_copy(result)


def _places(settings: RepositoryConfig, to: str) -> list[PlaceConfig]:
    if not to:
        if not settings.copies:
            raise ConfigError(
                "There is no place to copy to", next="Give --to FOLDER, or list places in repository.copies"
            )
        return list(settings.copies)
    listed = [place for place in settings.copies if place.url == to]
    if listed:
        return listed
    if not to.startswith("/"):
        raise ConfigError(
            f"{to} is neither an absolute folder nor listed in repository.copies",
            left="Nothing was copied",
            next="To copy to a bucket or to another host, list it there",
        )
    return [PlaceConfig(url=to)]
