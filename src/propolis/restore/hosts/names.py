"""Which host of a backup becomes which of this stack: a restore onto other hosts, of the same shape."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from propolis.errors import PreflightError, UsageError
from propolis.repository import Header, Manifest
from propolis.repository.write.heading import HOSTS
from propolis.stack.model import bare, host_in, on_host

UNTOUCHED = "Nothing was changed"


def parse_renames(options: Sequence[str]) -> dict[str, str]:
    """`NEW=OLD` of each option, as this stack's host → the backup's. Raises UsageError."""
    found: dict[str, str] = {}
    for option in options:
        new, equals, old = option.partition("=")
        if not (new and equals and old):
            raise UsageError(f"--from-host: {option!r} is not NEW=OLD, e.g. db1=old-db1")
        if new in found or old in found.values():
            raise UsageError(f"--from-host: {new if new in found else old} is given twice")
        found[new] = old
    return found


def hosts_of(header: Header) -> tuple[str, ...]:
    """The hosts that a backup is of; none where the stack was on one host."""
    return tuple(
        dict.fromkeys([*_table(header.facts, HOSTS), *filter(None, (host_in(it.name) for it in header.trees))])
    )


def matched(
    header: Header, hosts: Sequence[str], renames: Mapping[str, str], stores: Collection[str] = ()
) -> dict[str, str]:
    """This stack's host → the backup's whose data it gets. Raises PreflightError naming each host that has none."""
    held = hosts_of(header)
    if not held:
        raise PreflightError(
            f"The backup was taken of a stack on one host ({header.host}), this stack is spread over {len(hosts)}",
            left=UNTOUCHED,
            next="Restore it into a stack on one host",
        )
    wanted = {host_in(tree.name): None for tree in header.trees if not stores or tree.store in stores}
    found = {host: renames.get(host, host) for host in hosts}
    problems = [f"--from-host names {new}, which is not a host of this stack" for new in renames if new not in hosts]
    problems += [
        f"the backup has no host {old}, which {new} is to get" for new, old in found.items() if old not in held
    ]
    problems += [
        f"the backup's host {old} is two hosts of this stack: {', '.join(new for new in hosts if found[new] == old)}"
        for old in dict.fromkeys(found.values())
        if list(found.values()).count(old) > 1
    ]
    problems += [
        f"no host of this stack gets what the backup's host {old} had" for old in wanted if old not in found.values()
    ]
    if problems:
        raise PreflightError(
            f"The backup is of the hosts {', '.join(held)}, this stack has {', '.join(hosts)}: {'; '.join(problems)}",
            left=UNTOUCHED,
            next="Restore onto as many hosts as were backed up. If they have other names, give --from-host NEW=OLD",
        )
    return found


def seen_by(manifest: Manifest, host: str, matches: Mapping[str, str]) -> Manifest:
    """A backup of several hosts as one of them sees it: trees by the names that they have here, and its own facts."""
    header = manifest.header
    here = {old: new for new, old in matches.items()}
    names: dict[str, str] = {}
    trees = []
    for tree in header.trees:
        new = here.get(host_in(tree.name), host_in(tree.name))
        name = on_host(bare(tree.name), new)
        names[name] = tree.name
        trees.append(msgspec.structs.replace(tree, name=name, host=new))
    own = _own(header, matches.get(host, host))
    seen = msgspec.structs.replace(
        header,
        trees=trees,
        host=str(own.get("hostname", "")),
        services={**header.services, **_table(own, "services")},
        facts={**header.facts, **_table(own, "facts")},
    )
    return manifest.seen_as(seen, names)


def _own(header: Header, host: str) -> Mapping[str, object]:
    return _table(_table(header.facts, HOSTS), host)


def _table(table: Mapping[str, object], name: str) -> dict[str, object]:
    found = table.get(name)
    return dict(found) if isinstance(found, dict) else {}
