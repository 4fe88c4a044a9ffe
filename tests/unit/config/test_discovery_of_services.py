"""Cortex and MinIO are found where they are this host's and can be followed; else a warning says what is left out."""

from pathlib import Path

import pytest

from propolis.config import sample
from propolis.config.load import load
from propolis.config.schema import CortexConfig, MinioConfig
from unit.config.stack_files import APPLICATION, INDEX, S3, look

SERVERS = """
cortex.servers = [
  { name = local, url = "http://127.7.0.1:9001", auth { type = "bearer", key = "k" } }
]
"""
CORTEX = """
search { index = mycortex, uri = "http://127.7.0.1:9201" }
job.directory = "/opt/cortex/jobs"
http.address = "127.7.0.1"
"""


def lay_cortex(root: Path, text: str = CORTEX, servers: str = SERVERS) -> Path:
    """Add Cortex to a stack's files; gives its configuration folder."""
    (root / "etc/thehive/application.conf").write_text(APPLICATION + servers)
    folder = root / "etc/cortex"
    folder.mkdir()
    (folder / "application.conf").write_text(text)
    return folder


def test_a_cortex_that_thehive_names_is_found_with_its_indices_in_thehives(root: Path) -> None:
    folder = lay_cortex(root)
    found = look(root)
    assert found.problems == ()
    assert found.config is not None
    assert found.config.cortex == CortexConfig(
        url="http://127.7.0.1:9001", config=folder, jobs=Path("/opt/cortex/jobs"), prefix="mycortex"
    )
    file = root / "propolis.yaml"
    file.write_text(sample.render(found.config, found.notes))
    assert load(file) == found.config


def test_jobs_in_the_folder_of_everybodys_temporary_files_are_left_out(root: Path) -> None:
    lay_cortex(root, CORTEX.replace("/opt/cortex/jobs", "/tmp"))
    found = look(root)
    assert found.config is not None
    assert found.config.cortex is not None
    assert found.config.cortex.jobs is None


def test_an_index_of_cortexs_own_is_found_in_the_folder_that_is_named(root: Path) -> None:
    lay_cortex(root, CORTEX.replace("9201", "9301") + 'search { user = cortex, password = "hidden" }\n')
    without = look(root)
    assert without.config is not None
    assert without.config.cortex is None
    assert any("--config-folder cortex-index=FOLDER" in warning for warning in without.warnings)
    own = root / "etc/cortex-index"
    own.mkdir()
    (own / "elasticsearch.yml").write_text(INDEX.replace("9201", "9301").replace("lib/elastic", "lib/cortex-elastic"))
    found = look(root, folders={"cortex-index": own})
    assert found.problems == ()
    assert found.config is not None
    assert found.config.cortex is not None
    index = found.config.cortex.index
    assert index is not None
    assert (index.url, index.config, index.data) == (
        *("http://127.7.0.1:9301", own, Path("/var/lib/cortex-elasticsearch")),
    )
    assert index.username == "cortex"
    assert "hidden" not in sample.render(found.config, found.notes)


@pytest.mark.parametrize(
    ("servers", "text", "warning"),
    [
        ("", CORTEX, "does not name this Cortex"),
        (SERVERS.replace("127.7.0.1", "192.0.2.1"), CORTEX, "192.0.2.1:9001 is not on this host"),
        (SERVERS, CORTEX.replace("127.7.0.1:9201", "192.0.2.1:9201"), "is not one server on this host"),
    ],
)
def test_a_cortex_that_cant_be_followed_is_left_out_and_that_is_said(
    root: Path, servers: str, text: str, warning: str
) -> None:
    lay_cortex(root, text, servers)
    found = look(root)
    assert found.config is not None
    assert found.config.cortex is None
    assert any(warning in told for told in found.warnings)


def test_a_stack_without_cortex_is_told_nothing_of_it(root: Path) -> None:
    assert not [warning for warning in look(root).warnings if "ortex" in warning]


def lay_bucket(root: Path) -> None:
    (root / "etc/thehive/application.conf").write_text(APPLICATION + S3)


def test_minio_of_this_host_is_found_by_its_description(root: Path) -> None:
    lay_bucket(root)
    (root / "etc/services/minio.yaml").write_text(
        "command: [/opt/minio, server, --quiet, --address, '127.7.0.1:9100', '/srv/disk{1...2}']\n"
    )
    (root / "etc/minio").mkdir()
    found = look(root)
    assert found.problems == ()
    assert found.config is not None
    assert found.config.minio == MinioConfig(
        url="http://127.7.0.1:9100", data=(Path("/srv/disk1"), Path("/srv/disk2")), config=root / "etc/minio"
    )


def test_minio_of_this_host_is_found_by_its_packages_file(root: Path) -> None:
    lay_bucket(root)
    (root / "etc/default").mkdir()
    package = root / "etc/default/minio"
    package.write_text('MINIO_VOLUMES="/srv/minio"\nMINIO_ROOT_PASSWORD="hidden"\n')
    found = look(root)
    assert found.config is not None
    assert found.config.minio == MinioConfig(
        url="http://127.7.0.1:9100", data=(Path("/srv/minio"),), environment=package
    )
    assert "hidden" not in sample.render(found.config, found.notes)


def test_a_bucket_whose_servers_folders_are_not_known_stays_a_bucket(root: Path) -> None:
    lay_bucket(root)
    found = look(root)
    assert found.config is not None
    assert found.config.minio is None
    (root / "etc/services/minio.yaml").write_text("command: [minio, server, 'http://node{1...4}/disk']\n")
    found = look(root)
    assert found.config is not None
    assert found.config.minio is None
    assert any("are not all folders of this host" in warning for warning in found.warnings)
