"""The benchmark's data: the same bytes everywhere, changed and put back."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from bench import corpus as bench_corpus
from bench.corpus import Corpus, changed, make, make_small_files

GIGABYTES = 0.05


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make(tmp_path_factory.mktemp("corpus"), GIGABYTES)


def sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.rglob("*") if path.is_file()]


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_bytes_are_the_same_on_every_machine(corpus: Corpus) -> None:
    # Other bytes would not be comparable with former results: raise GENERATION with these.
    assert (corpus.files, corpus.bytes, corpus.digest) == (185, 48_465_808, "c2f7dd64fb033eac")


def test_it_holds_what_it_says(corpus: Corpus) -> None:
    found = sizes(corpus.folder)
    assert (len(found), sum(found)) == (corpus.files, corpus.bytes)
    assert sum(sizes(corpus.folder / "database")) == 30_000_000
    assert sum(sizes(corpus.folder / "index")) == 10_000_000
    attachments = sizes(corpus.folder / "files")
    assert min(attachments) >= 1_000
    assert max(attachments) < 1_000_000


def test_large_files_do_not_compress_and_rows_do_by_a_little(corpus: Corpus) -> None:
    def ratios(name: str) -> list[float]:
        contents = [path.read_bytes() for path in (corpus.folder / name).iterdir()]
        return [len(content) / len(zstandard.compress(content, 1)) for content in contents if len(content) > 1e5]

    assert max(ratios("database")) < 1.01
    assert min(ratios("index")) > 1.2
    assert max(ratios("index")) < 2


def test_data_made_before_is_taken_again_and_unfinished_data_is_not(tmp_path: Path) -> None:
    first = make_small_files(tmp_path, 30)
    inodes = {name: inode for name, (inode, _, _) in snapshot(first.folder).items()}
    assert make_small_files(tmp_path, 30) == first
    assert {name: inode for name, (inode, _, _) in snapshot(first.folder).items()} == inodes
    (tmp_path / "files-30.json").unlink()
    (first.folder / "left-over").write_text("of a run that was killed")
    assert make_small_files(tmp_path, 30) == first
    assert len(sizes(first.folder)) == 30


def test_small_files_lie_in_folders_of_a_thousand(tmp_path: Path) -> None:
    made = make_small_files(tmp_path, 1_001)
    assert [len(sizes(folder)) for folder in sorted(made.folder.iterdir())] == [1_000, 1]
    assert min(sizes(made.folder)) >= 200
    assert max(sizes(made.folder)) <= 2_000


def test_a_change_replaces_a_twentieth_and_is_put_back(corpus: Corpus) -> None:
    before = snapshot(corpus.folder)
    with changed(corpus) as new:
        during = snapshot(corpus.folder)
    assert new == corpus.bytes // 20
    added = {name for name in during if name not in before}
    gone = {name for name in before if name not in during}
    assert sum(len(during[name][2]) for name in added) == new
    assert 0.02 * corpus.bytes < sum(len(before[name][2]) for name in gone) <= new
    assert all(before[name] == during[name] for name in before.keys() & during.keys())
    assert snapshot(corpus.folder) == before
    assert not corpus.aside.exists()


def by_the_next_change(corpus: Corpus) -> None:
    with changed(corpus):
        pass


def by_the_next_run(corpus: Corpus) -> None:
    make(corpus.folder.parent, GIGABYTES)


@pytest.mark.parametrize("put_back", [by_the_next_change, by_the_next_run])
def test_a_killed_run_s_change_is_put_back(corpus: Corpus, put_back: Callable[[Corpus], None]) -> None:
    before = snapshot(corpus.folder)
    script = (
        "import os, sys; from pathlib import Path; from bench.corpus import changed, make\n"
        f"with changed(make(Path(sys.argv[1]), {GIGABYTES})): os._exit(9)"
    )
    root = str(Path(bench_corpus.__file__).parent.parent)
    killed = subprocess.run(
        [sys.executable, "-c", script, str(corpus.folder.parent)], check=False, env={**os.environ, "PYTHONPATH": root}
    )
    assert killed.returncode == 9
    assert snapshot(corpus.folder) != before
    put_back(corpus)
    assert snapshot(corpus.folder) == before
