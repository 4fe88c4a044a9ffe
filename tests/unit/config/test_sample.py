"""What is written for people reads back as the same configuration."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propolis.config import sample
from propolis.config.load import load
from propolis.config.schema import Config
from propolis.errors import ConfigError

texts = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=30)
paths = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=20).map(
    lambda name: f"/x/{name}y"
)
secrets = st.one_of(
    paths.map(lambda path: {"file": path}), texts.map(lambda name: {"env": name}), st.just({"hocon": "/a#b.c"})
)


@st.composite
def configurations(draw: st.DrawFn) -> Config:
    """Any configuration that the schema allows."""
    login: dict[str, Any] = draw(
        st.one_of(st.just({}), st.fixed_dictionaries({"username": texts, "password": secrets}))
    )
    files = draw(
        st.one_of(
            st.fixed_dictionaries({"kind": st.just("folder"), "folder": paths}),
            st.fixed_dictionaries(
                {"kind": st.just("s3"), "bucket": texts, "access_key": secrets, "secret_key": secrets},
                optional={"region": texts, "prefix": texts},
            ),
        )
    )
    cassandra = {
        "host": draw(texts),
        "port": draw(st.integers(1, 65535)),
        "cluster_name": draw(texts),
        "config": "/c",
        "data": draw(st.lists(paths, min_size=1, max_size=3)),
        "commitlog": draw(paths),
        "hints": draw(paths),
        "saved_caches": draw(paths),
        "cdc_raw": draw(st.one_of(st.none(), paths)),
        **login,
    }
    server = {"url": "https://es:9200", "prefix": draw(texts), "config": "/e", "data": draw(paths)}
    return Config.model_validate(
        {
            "name": draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True)),
            "state": draw(paths),
            "platform": {"services": draw(paths)},
            "thehive": {"url": "http://127.0.0.1:9000", "config": draw(paths)},
            "database": draw(st.sampled_from([cassandra, {"kind": "berkeleyje", "folder": "/d"}])),
            "index": draw(st.sampled_from([server, {"kind": "lucene", "folder": "/i"}])),
            "files": files,
            "repository": {"url": draw(paths), "host_key": draw(paths)},
            "timeouts": {"stop": draw(st.floats(0.1, 1e6)), "start": draw(st.integers(1, 9999))},
        }
    )


@settings(deadline=None)
@given(config=configurations(), notes=st.dictionaries(st.sampled_from(["name", "database.host", "index"]), texts))
def test_what_is_rendered_loads_as_the_same_configuration(
    config: Config, notes: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "rendered.yaml"
    file.write_text(sample.render(config, notes), encoding="utf-8")
    assert load(file) == config


def test_every_key_of_the_schema_is_in_the_sample() -> None:
    text = sample.sample()
    for name, definition in json.loads(sample.json_schema())["$defs"].items():
        if name in ("SecretRef", "S3Files"):
            continue
        for key in definition["properties"]:
            assert f"{key}:" in text, f"{name}.{key}"


def test_notes_say_where_a_value_was_found() -> None:
    text = sample.render(Config.model_validate(sample._EXAMPLE), {"database.host": "/etc/cassandra.yaml:7"})
    lines = text.splitlines()
    at = lines.index("  host: 127.0.0.1")
    assert "from /etc/cassandra.yaml:7" in lines[at - 1]


def test_the_json_schema_refuses_unknown_keys() -> None:
    schema = json.loads(sample.json_schema())
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"name", "platform", "repository"}  # the others: test_hosts.py


def test_the_written_file_is_closed_to_others_and_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "etc/propolis.yaml"
    sample.write(file, "name: a\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match="already exists"):
        sample.write(file, "name: b\n")
    assert file.read_text() == "name: a\n"
