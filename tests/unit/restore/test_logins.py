"""What holds of this host's logins once the backup's roles and users have come with the data."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from propolis.checks import Look, Rule, require
from propolis.command.context import Context
from propolis.config import hocon
from propolis.config.fields import SecretRef
from propolis.config.load import load
from propolis.config.sample import sample
from propolis.config.schema import Config
from propolis.errors import ConfigError, PreflightError
from propolis.restore.logins import LoginAfter, Logins, checks, logins_after
from propolis.restore.preflight import rules
from propolis.restore.prepare import Restoration
from propolis.restore.request import RestoreRequest
from propolis.run import SilentObserver
from sections import cassandra, elasticsearch

BOTH = frozenset({"database", "index"})
HERE, THERE = "password-of-this-host", "password-of-the-backup"


def settings(user: str, password: str, *, index: str | None = None) -> str:
    text = f'db.janusgraph.storage {{\n  username = "{user}"\n  password = "{password}"\n}}\n'
    if index is not None:
        basic = f'{{ username = "hive-index", password = "{index}" }}'
        text += f"db.janusgraph.index.search.elasticsearch.http.auth.basic {basic}\n"
    return text


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """This host: both servers ask for a login, which TheHive's settings hold."""
    file = tmp_path / "propolis.yaml"
    file.write_text(sample())
    folders = {name: tmp_path / name for name in ("thehive", "cassandra", "elasticsearch")}
    for folder in folders.values():
        folder.mkdir()
    (folders["thehive"] / "application.conf").write_text(settings("thehive", HERE, index=HERE))
    (folders["cassandra"] / "cassandra.yaml").write_text("authenticator: PasswordAuthenticator\n")
    loaded = load(file).model_dump(mode="json")
    conf = f"{folders['thehive']}/application.conf"
    loaded["thehive"]["config"] = str(folders["thehive"])
    loaded["database"] |= {
        "config": str(folders["cassandra"]),
        "username": "thehive",
        "password": {"hocon": f"{conf}#db.janusgraph.storage.password"},
    }
    basic = "db.janusgraph.index.search.elasticsearch.http.auth.basic.password"
    loaded["index"] |= {
        "config": str(folders["elasticsearch"]),
        "username": "hive-index",
        "password": {"hocon": f"{conf}#{basic}"},
    }
    return Config.model_validate(loaded)


def after(
    config: Config,
    backed_up: str,
    *,
    stores: frozenset[str] = BOTH,
    superuser: str = "",
    settings_come: bool = False,
) -> dict[str, LoginAfter]:
    read = functools.partial(hocon.parse, backed_up, Path("backup"))
    found = logins_after(config, stores, read, superuser=superuser, settings_come=settings_come)
    return {login.service: login for login in found}


def test_equal_logins_hold(config: Config) -> None:
    found = after(config, settings("thehive", HERE, index=HERE))
    assert {login.state for login in found.values()} == {"same"}
    assert {one.result for one in checks(tuple(found.values()), set_password=False)} == {"ok"}


def test_another_password_is_refused_with_the_lines_to_change_or_set_on_request(config: Config) -> None:
    found = after(config, settings("thehive", THERE, index=THERE))
    file = config.require_thehive().config / "application.conf"
    for one in checks(tuple(found.values()), set_password=False):
        assert one.result == "fail"
        assert "--set-password" in one.hint
    database, index = checks(tuple(found.values()), set_password=False)
    assert f"set {file}:3 (db.janusgraph.storage.password) to what the backup has" in database.hint
    assert f"{file}:5 (db.janusgraph.index.search.elasticsearch.http.auth.basic.password)" in index.hint
    assert {one.result for one in checks(tuple(found.values()), set_password=True)} == {"ok"}


def test_a_person_is_asked_about_each_login_and_one_no_is_no(config: Config) -> None:
    found = tuple(after(config, settings("thehive", THERE, index=THERE)).values())
    asked: list[str] = []

    def answer(text: str, *, yes: bool) -> bool:
        asked.append(text)
        return yes

    assert Logins(found).agreed(functools.partial(answer, yes=True))
    assert ["role thehive" in asked[0], "user hive-index" in asked[1]] == [True, True]
    assert not Logins(found).agreed(functools.partial(answer, yes=False))


def test_nobody_is_asked_where_nothing_is_to_be_set(config: Config) -> None:
    def never(text: str) -> bool:
        raise AssertionError(text)

    assert not Logins(tuple(after(config, settings("thehive", HERE, index=HERE)).values())).agreed(never)
    assert not Logins(tuple(after(config, settings("hive", THERE, index=HERE)).values())).agreed(never)


def test_no_password_is_ever_told(config: Config) -> None:
    told: list[str] = []

    def hear(text: str) -> bool:
        told.append(text)
        return True

    for text in (settings("thehive", THERE, index=THERE), settings("other", THERE), "a = 1"):
        found = tuple(after(config, text).values())
        told += [repr(found), *(f"{one}" for flag in (True, False) for one in checks(found, set_password=flag))]
        Logins(found).agreed(hear)
    assert HERE not in "".join(told)
    assert THERE not in "".join(told)


def test_another_role_can_be_made_only_by_a_superuser(config: Config) -> None:
    backed_up = settings("hive", THERE, index=HERE)
    assert not after(config, backed_up)["database"].can_set
    assert not after(config, backed_up, superuser="somebody")["database"].can_set
    assert after(config, backed_up, superuser="hive")["database"].can_set
    (refused, _) = checks(tuple(after(config, backed_up).values()), set_password=True)
    assert refused.result == "fail"
    assert "--set-password" not in refused.hint
    file = config.require_thehive().config / "application.conf"
    lines = f"{file}:2 (db.janusgraph.storage.username) and {file}:3 (db.janusgraph.storage.password)"
    assert lines in refused.hint


def test_a_backup_of_a_database_without_passwords_is_refused_where_one_is_asked_for(config: Config) -> None:
    found = after(config, "a = 1")
    assert not found["database"].can_set
    assert {one.result for one in checks(tuple(found.values()), set_password=True)} == {"fail"}


def test_a_database_that_lets_everybody_in_needs_nothing(config: Config) -> None:
    assert config.cassandra is not None
    yaml = config.cassandra.config / "cassandra.yaml"
    for text in ("cluster_name: x\n", "authenticator: AllowAllAuthenticator\n",
                 "authenticator:\n  class_name: org.apache.cassandra.auth.AllowAllAuthenticator\n"):  # fmt: skip
        yaml.write_text(text)
        assert "database" not in after(config, settings("thehive", THERE))
    yaml.write_text("authenticator:\n  class_name: PasswordAuthenticator\n")
    assert after(config, settings("thehive", THERE))["database"].state == "differs"


def test_users_of_the_indexs_own_file_stay_this_hosts(config: Config) -> None:
    assert config.elasticsearch is not None
    (config.elasticsearch.config / "users").write_text("someone:$2a$10$x\nhive-index:$2a$10$y\n")
    assert "index" not in after(config, settings("thehive", HERE, index=THERE))


def test_users_of_the_backups_own_file_do_not_come_with_the_data(config: Config) -> None:
    (found,) = logins_after(
        config,
        frozenset({"index"}),
        functools.partial(hocon.parse, settings("thehive", HERE, index=THERE), Path("backup")),
        superuser="",
        settings_come=False,
        users_file=lambda: "admin:$2a$10$x\nhive-index:$2a$10$y\n",
    )
    assert (found.state, found.backed_up) == ("unknown", None)
    (told,) = checks((found,), set_password=True)
    assert told.result == "warn"
    assert "in a file of its configuration" in told.message


def test_stores_that_are_not_restored_keep_their_logins(config: Config) -> None:
    assert after(config, settings("thehive", THERE), stores=frozenset({"files"})) == {}


def test_settings_that_are_restored_bring_their_login_along(config: Config) -> None:
    found = after(config, settings("thehive", THERE, index=HERE), settings_come=True)["database"]
    assert found.state == "comes along"
    assert found.backed_up == ("thehive", THERE)
    assert [one.result for one in checks((found,), set_password=False)] == ["warn"]


def test_a_role_of_propolis_own_is_no_reason_to_refuse(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROPOLIS_PASSWORD", "password-of-propolis")
    own = cassandra(config).model_copy(
        update={"username": "propolis", "password": SecretRef(env="PROPOLIS_PASSWORD")}
    )
    found = after(config.model_copy(update={"database": own}), settings("thehive", HERE, index=HERE))["database"]
    assert (found.state, found.name, found.own) == ("same", "thehive", ("propolis", "password-of-propolis"))
    results = [one.result for one in checks((found,), set_password=False)]
    assert sorted(results) == ["ok", "warn"]


def test_a_thehive_that_shows_no_password_to_the_index_is_equal_to_one_that_shows_none(config: Config) -> None:
    (config.require_thehive().config / "application.conf").write_text(settings("thehive", HERE))
    index = elasticsearch(config).model_copy(
        update={"password": SecretRef(file=config.require_thehive().config / "p")}
    )
    (config.require_thehive().config / "p").touch(0o600)
    (config.require_thehive().config / "p").write_text("password-of-propolis")
    found = after(config.model_copy(update={"index": index}), settings("thehive", HERE))["index"]
    assert (found.state, found.here) == ("same", None)
    assert [one.result for one in checks((found,), set_password=False)] == ["warn", "ok"]


def test_variables_of_thehives_service_count_on_this_host(config: Config) -> None:
    root = config.require_thehive().config.parent
    (root / "etc/services").mkdir(parents=True)
    (root / "etc/services/thehive.yaml").write_text(f'environment: {{CASSANDRA_PASSWORD: "{HERE}"}}\n')
    folder = root / "etc/thehive"
    folder.mkdir()
    text = 'db.janusgraph.storage { username = "thehive", password = ${CASSANDRA_PASSWORD} }\n'
    (folder / "application.conf").write_text(text)
    here = config.model_copy(update={"thehive": config.require_thehive().model_copy(update={"config": folder})})
    assert after(here, settings("thehive", HERE))["database"].state == "same"
    assert after(here, settings("thehive", THERE))["database"].state == "differs"


def test_what_can_not_be_compared_is_said_and_does_not_refuse(config: Config) -> None:
    def unreadable() -> hocon.Hocon:
        raise ConfigError("The backup holds no application.conf")

    found = logins_after(config, BOTH, unreadable, superuser="", settings_come=False)
    told = list(checks(found, set_password=True))
    assert {one.result for one in told} == {"warn"}
    assert "holds no application.conf" in told[0].message


def test_the_preflight_refuses_before_anything_is_touched(config: Config) -> None:
    logins = Logins(tuple(after(config, settings("thehive", THERE, index=HERE)).values()))
    look = Look(config, "restore", running=())
    with pytest.raises(PreflightError, match="Nothing was changed"):
        require(rules_of(config, logins), look)
    require(rules_of(config, replace(logins, set_password=True)), look)


def rules_of(config: Config, logins: Logins) -> list[Rule[Look]]:
    """The rules of logins: they look at neither the repository nor the manifest."""
    restoration = Restoration(
        request=RestoreRequest(config, config, "latest"),
        repository=cast(Any, None),
        manifest=cast(Any, None),
        in_place=(),
        beside=(),
        logins=logins,
        settings=None,
    )
    with Context(config, SilentObserver(), "run") as context:
        return [rule for rule in rules(context, restoration, ()) if rule.name == "logins"]
