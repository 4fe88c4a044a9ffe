"""Elasticsearch and OpenSearch distributions from Maven artefacts, made ready for the stand-in's graph.

JanusGraph stores update scripts when it opens an index, so the server needs the painless module, which most of
these distributions lack: Elasticsearch 7.17 gets painless 7.10 (the last under the Apache licence) behind a small
plugin of our own, OpenSearch 2 its own module. Elasticsearch 8 and 9 stay plain: no painless can be had for them.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from propolis.errors import IntegrityError, UsageError
from propolis_lab.programs.building import make_once, run

Kind = Literal["elasticsearch", "opensearch"]

_HERE: Final = Path(__file__).parent
_PINS: Final = _HERE / "distributions.sha256"
_PAINLESS: Final = _HERE / "painless"
_COPY_GOAL: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"


@dataclass(frozen=True, slots=True)
class Distribution:
    """An unpacked, read-only distribution, to be run with a configuration, data and log folder of one's own."""

    kind: Kind
    version: str
    folder: Path
    java_majors: tuple[int, ...]
    """Java versions it is known to run on."""
    serves_standin: bool
    """Whether JanusGraph can open an index on it."""


@dataclass(frozen=True, slots=True)
class _Recipe:
    java_majors: tuple[int, ...]
    modules: tuple[str, ...] = ()
    """Artefacts of the painless module, `group:artifact:version`; none where there is none to be had or needed."""
    plugin_class: str = ""
    serves_standin: bool = False


def _asm(version: str) -> tuple[str, ...]:
    return tuple(
        f"org.ow2.asm:{name}:{version}" for name in ("asm", "asm-analysis", "asm-commons", "asm-tree", "asm-util")
    )


_RECIPES: Final[dict[tuple[Kind, str], _Recipe]] = {
    ("elasticsearch", "7.17.29"): _Recipe(
        java_majors=(17,),
        modules=(
            "org.codelibs.elasticsearch.module:lang-painless:7.10.2",
            "org.codelibs.elasticsearch.module:scripting-painless-spi:7.10.2",
            "org.antlr:antlr4-runtime:4.5.1-1",
            *_asm("7.2"),
        ),
        plugin_class="org.propolis.painless.UpdateScripts",
        serves_standin=True,
    ),
    ("elasticsearch", "8.19.21"): _Recipe(java_majors=(17, 25)),
    ("elasticsearch", "9.5.3"): _Recipe(java_majors=(25,)),
    ("opensearch", "2.19.6"): _Recipe(
        java_majors=(17,),
        modules=(
            "org.opensearch.plugin:lang-painless:2.19.6",
            "org.opensearch.plugin:opensearch-scripting-painless-spi:2.19.6",
            "org.antlr:antlr4-runtime:4.13.1",
            *_asm("9.7"),
        ),
        plugin_class="org.opensearch.painless.PainlessPlugin",
        serves_standin=True,
    ),
    ("opensearch", "3.6.0"): _Recipe(java_majors=(25,)),
}


def prepare(kind: Kind, version: str, cache: Path, java_home: Path) -> Distribution:
    """Fetch, check and assemble a distribution, unless the cache holds it already.

    `java_home` is a JDK for building and for Maven; the server may need another (`Distribution.java_majors`).
    Raises UsageError for an unknown version, PreflightError if fetching or building fails, IntegrityError if
    what was fetched is not what is pinned.
    """
    recipe = _RECIPES.get((kind, version))
    if recipe is None:
        known = ", ".join(f"{k} {v}" for k, v in _RECIPES)
        raise UsageError(f"No recipe for {kind} {version}", next=f"Choose one of: {known}")
    folder = cache / f"{kind}-{version}-{_fingerprint(recipe)}"

    def assemble(target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            _assemble(kind, version, recipe, target, Path(scratch), java_home)

    make_once(folder, assemble)
    return Distribution(kind, version, folder, recipe.java_majors, recipe.serves_standin)


def _fingerprint(recipe: _Recipe) -> str:
    digest = hashlib.sha256(repr(recipe).encode())
    for file in (_PINS, *sorted(_PAINLESS.iterdir())):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _assemble(kind: Kind, version: str, recipe: _Recipe, target: Path, scratch: Path, java_home: Path) -> None:
    archive = f"org.{kind}.distribution.integ-test-zip:{kind}:{version}:zip"
    jars = [f"{artefact}:jar" for artefact in recipe.modules]
    fetched = _fetch([archive, *jars], scratch, java_home)
    _unpack(fetched[archive], target)
    if recipe.modules:
        module = target / "modules" / "lang-painless"
        module.mkdir()
        for jar in jars:
            shutil.copy(fetched[jar], module)
        if kind == "elasticsearch":
            _compile_plugin(target, module, scratch, java_home)
        _describe_module(kind, version, recipe, module)
    # Servers run under users of their own.
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def _unpack(archive: Path, target: Path) -> None:
    """Unpack the archive's single top folder as `target`, with the modes recorded in it."""
    with zipfile.ZipFile(archive) as zipped:
        for entry in zipped.infolist():
            parts = Path(entry.filename).parts[1:]
            if ".." in parts:
                raise IntegrityError(f"{archive.name} holds an entry outside of itself: {entry.filename}")
            path = target.joinpath(*parts)
            if entry.is_dir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with zipped.open(entry) as source, path.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            path.chmod((entry.external_attr >> 16) & 0o777 or 0o644)


def _compile_plugin(distribution: Path, module: Path, scratch: Path, java_home: Path) -> None:
    classes = scratch / "classes"
    jars = [*distribution.glob("lib/*.jar"), *module.glob("*.jar")]
    run(
        [java_home / "bin" / "javac", "--release", "11", "-nowarn", "-proc:none", "-d", classes,
         "-cp", ":".join(map(str, jars)), *_PAINLESS.glob("*.java")],
        java_home,
    )  # fmt: skip
    shutil.copy(_PAINLESS / "primitives.txt", classes)
    run(
        [java_home / "bin" / "jar", "--create", "--file", module / "update-scripts.jar", "-C", classes, "."],
        java_home,
    )


def _describe_module(kind: Kind, version: str, recipe: _Recipe, module: Path) -> None:
    """Write what the server wants to know of a module, and the permissions that compiling scripts takes."""
    descriptor = {
        "name": "lang-painless",
        "description": "Painless scripts",
        "version": version,
        "classname": recipe.plugin_class,
        f"{kind}.version": version,
        "java.version": "11" if kind == "opensearch" else "1.8",
        "extended.plugins": "",
        "has.native.controller": "false",
    }
    (module / "plugin-descriptor.properties").write_text("".join(f"{k}={v}\n" for k, v in descriptor.items()))
    (module / "plugin-security.policy").write_text(
        "grant {\n"
        '  permission java.lang.RuntimePermission "createClassLoader";\n'
        '  permission java.lang.RuntimePermission "getClassLoader";\n'
        "};\n"
    )


def _fetch(artefacts: list[str], folder: Path, java_home: Path) -> dict[str, Path]:
    """Fetch artefacts (`group:artifact:version:type`) with Maven and check them against the pins."""
    pins: dict[str, str] = {}
    for line in _PINS.read_text().splitlines():
        digest, pinned = line.split()
        pins[pinned] = digest
    items = ""
    for artefact in artefacts:
        group, name, version, kind = artefact.split(":")
        items += (
            f"<artifactItem><groupId>{group}</groupId><artifactId>{name}</artifactId>"
            f"<version>{version}</version><type>{kind}</type></artifactItem>"
        )
    pom = folder / "pom.xml"
    pom.write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>org.propolis</groupId><artifactId>fetch</artifactId><version>1</version><packaging>pom</packaging>"
        "<build><plugins><plugin><groupId>org.apache.maven.plugins</groupId>"
        "<artifactId>maven-dependency-plugin</artifactId><version>3.8.1</version><configuration>"
        f"<outputDirectory>{folder}</outputDirectory><artifactItems>{items}</artifactItems>"
        "</configuration></plugin></plugins></build></project>"
    )
    run(["mvn", "-B", "-q", "-f", pom, _COPY_GOAL], java_home)
    fetched = {}
    for artefact in artefacts:
        _, name, version, kind = artefact.split(":")
        file = folder / f"{name}-{version}.{kind}"
        with file.open("rb") as content:
            actual = hashlib.file_digest(content, "sha256").hexdigest()
        if pins.get(artefact) != actual:
            raise IntegrityError(
                f"{artefact} has SHA-256 {actual}, pinned is {pins.get(artefact, 'none')}",
                left="Nothing was unpacked",
                next=f"Find out why before changing {_PINS.name}",
            )
        fetched[artefact] = file
    return fetched
