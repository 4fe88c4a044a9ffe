"""Lines of a record, made up."""

from bench.measure import About, Measurement

MIB = 1 << 20
ABOUT = About(
    scenario="deployment",
    started="2026-11-24 02:00",
    machine="a machine",
    filesystem="ext4",
    data="0.05 GB",
    versions={"propolis": "0.1.0"},
    caches_dropped=True,
    rounds=3,
)
ONE = Measurement(
    round=1,
    place="folder",
    operation="full",
    tool="propolis",
    seconds=2.0,
    unsynced=1.5,
    cpu=1.0,
    peak=100 * MIB,
    size=1000,
    server_cpu=0.0,
    others_cpu=0.1,
)
