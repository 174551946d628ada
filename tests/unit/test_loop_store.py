"""The store of escalated bakes: nothing accepted is lost, nothing is there twice or by half, and old things go."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_scene import PICTURE, TASK, bake_id, bake_row, cloud
from typer.testing import CliRunner

from edge.loop import row_log
from edge.loop.store import Store
from edge.purge import app
from shared.errors import BadInputError
from shared.retention import Limits
from shared.task import load_task


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.begin(tmp_path / "store", TASK)


def ids(store: Store) -> list[str]:
    return [row["id"] for row in store.bakes(["id"])]


def words(store: Store) -> list[tuple[str, str, str | None]]:
    return [(row.id, row.by, row.label) for row in store.labels()]


def test_a_bake_comes_back_as_it_went_in(store: Store) -> None:
    assert store.add_bake(bake_row(1), [PICTURE, PICTURE])
    again = Store.open(store.folder)
    assert again.bakes() == [{name: getattr(bake_row(1), name) for name in bake_row(1).__struct_fields__}]
    assert [path.read_bytes() for path in again.frame_files(bake_id(1))] == [PICTURE, PICTURE]


def test_an_id_is_kept_once(store: Store) -> None:
    assert store.add_bake(bake_row(1), [PICTURE])
    assert not store.add_bake(bake_row(1), [PICTURE])
    assert not Store.open(store.folder).add_bake(bake_row(1), [PICTURE])
    assert ids(store) == [bake_id(1)]


def test_the_first_word_of_the_cloud_counts_and_only_on_its_clip(store: Store) -> None:
    store.add_bake(bake_row(1, clip_sha256="11"), [PICTURE])
    other = Store.open(store.folder)  # another process
    assert not store.add_cloud(bake_id(2), cloud("dark"), "", 1)
    assert not store.add_cloud(bake_id(1), cloud("dark"), "22", 1)
    assert store.add_cloud(bake_id(1), cloud("dark"), "11", 1)
    assert not other.add_cloud(bake_id(1), cloud("burnt"), "11", 2)
    assert words(store) == [(bake_id(1), "cloud", "dark")]


def test_people_are_asked_by_the_beginning_of_an_id(store: Store) -> None:
    store.add_bake(bake_row(1), [PICTURE])
    store.add_bake(bake_row(2), [PICTURE])
    assert store.add_review(bake_id(2)[:6], "burnt", "ann", 5) == bake_id(2)
    assert words(store) == [(bake_id(2), "person", "burnt")]
    for wrong, label in (("", "burnt"), ("zz", "burnt"), (bake_id(1), "crisp")):
        with pytest.raises(BadInputError):
            store.add_review(wrong, label, "ann", 5)


def test_many_small_files_become_few(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_log, "MERGED_FILES", 4)
    for number in range(70):
        store.add_bake(bake_row(number), [PICTURE])
    assert ids(store) == [bake_id(number) for number in range(70)]
    assert len(list((store.folder / "bakes").iterdir())) <= 3 * 4


def test_a_store_belongs_to_one_task(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="a store of task pizza"):
        Store.begin(store.folder, load_task("elpv"))
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "store.json.4711.partial").write_bytes(b"{")  # killed as it began
    assert Store.begin(tmp_path / "half", TASK).bakes() == []
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(PICTURE)
    with pytest.raises(BadInputError, match="holds other files"):
        Store.begin(tmp_path / "photos", TASK)
    with pytest.raises(BadInputError, match="no store"):
        Store.open(tmp_path / "nothing")
    with pytest.raises(BadInputError, match="of task elpv"):
        store.add_bake(bake_row(1, task="elpv"), [PICTURE])


def test_a_damaged_table_is_named(store: Store) -> None:
    store.add_bake(bake_row(1), [PICTURE])
    file = store.folder / "bakes" / "000000001.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(BadInputError, match=r"000000001\.parquet: not a table of this store"):
        store.bakes()


def test_the_oldest_bakes_go_with_pictures_rows_and_words(store: Store) -> None:
    for number in range(6):
        store.add_bake(bake_row(number), [PICTURE, PICTURE])
        store.add_cloud(bake_id(number), cloud("dark"), "", 1)
    size = store.purge(Limits(), 0.0).kept_bytes // 6
    now_s = 1_000_000_000.0
    assert store.purge(Limits(max_bytes=2 * size + 1), now_s, dry_run=True).files == 4
    assert len(ids(store)) == 6
    assert store.purge(Limits(max_bytes=2 * size + 1), now_s) == (4, 4 * size, 2, 2 * size)
    assert ids(store) == [bake_id(4), bake_id(5)]
    assert [word[0] for word in words(store)] == [bake_id(4), bake_id(5)]
    assert not store.frame_files(bake_id(3))
    assert len(store.frame_files(bake_id(4))) == 2
    assert not store.add_cloud(bake_id(3), cloud("dark"), "", 1)
    store.add_bake(bake_row(9), [PICTURE])  # numbers go on after a purge
    assert ids(Store.open(store.folder)) == [bake_id(4), bake_id(5), bake_id(9)]
    result = CliRunner().invoke(app, [str(store.folder), "--days", "30"])
    assert "deleted 3 files" in result.output
    assert ids(store) == []


class Killed(BaseException):
    """The process ends here."""


@contextlib.contextmanager
def killed_at(step: int) -> Iterator[None]:
    """From the `step`-th change of the disk on, nothing is changed any more."""
    real = {name: getattr(os, name) for name in ("replace", "unlink", "mkdir", "rmdir", "fsync")}
    done = 0

    def counted(name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            done += 1
            if done > step:
                raise Killed
            return None if name == "fsync" else real[name](*arguments, **options)  # no power is cut here

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in real:
            patch.setattr(os, name, counted(name))
        patch.setattr(row_log, "MERGED_FILES", 3)
        with contextlib.suppress(Killed):
            yield


STEPS = st.lists(
    st.tuples(st.sampled_from(["bake", "cloud", "review", "purge"]), st.integers(0, 5)), min_size=2, max_size=14
)


@settings(max_examples=100, deadline=None)
@given(steps=STEPS, kill=st.integers(0, 45))
def test_whatever_kills_the_writer_nothing_accepted_is_lost(steps: list[tuple[str, int]], kill: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        store = Store.begin(path, TASK)
        kept: list[str] = []
        said: list[tuple[str, str, str | None]] = []
        doing: tuple[str, int] | None = None
        with killed_at(kill):
            for doing in steps:
                kind, number = doing
                i = bake_id(number)
                if kind == "bake" and store.add_bake(bake_row(number), [PICTURE, PICTURE]):
                    kept.append(i)
                elif kind == "cloud" and store.add_cloud(i, cloud("dark"), "", 1):
                    said.append((i, "cloud", "dark"))
                elif kind == "review" and i in kept:
                    store.add_review(i, "raw", "ann", 1)
                    said.append((i, "person", "raw"))
                elif kind == "purge":
                    one = store.purge(Limits(), 0.0).kept_bytes // max(1, len(kept))
                    newest = sorted(kept, key=lambda i: next(n for n in range(6) if bake_id(n) == i))[-2:]
                    gone = set(kept) - set(newest)
                    store.purge(Limits(max_bytes=2 * one + 1), 0.0)
                    kept = [i for i in kept if i not in gone]
                    said = [word for word in said if word[0] not in gone]
            doing = None
        again = Store.open(path)
        assert not [p for p in path.rglob("*") if p.name.endswith(".partial")]
        assert not list((path / "incoming").iterdir())
        found, heard = ids(again), words(again)
        assert len(set(found)) == len(found)
        for i in found:  # whole, whatever happened; a purge takes pictures first
            purging = doing is not None and doing[0] == "purge"
            assert len(again.frame_files(i)) == 2 or (purging and not again.frame_files(i))
        if doing is None:
            assert (found, heard) == (kept, said)
        elif doing[0] != "purge":  # only what was being done may be there or not
            assert found[: len(kept)] == kept
            assert found[len(kept) :] in ([], [bake_id(doing[1])])
            assert heard[: len(said)] == said
            assert len(heard) <= len(said) + 1
        again.purge(Limits(max_bytes=0), 0.0)
        assert ids(again) == words(again) == []
        assert not list(path.rglob("*.jpg"))


CHILD = """
import itertools, sys
from pathlib import Path
from store_scene import PICTURE, TASK, bake_id, bake_row, cloud
from edge.loop.store import Store
store = Store.begin(Path(sys.argv[1]), TASK)
for number in itertools.count():
    store.add_bake(bake_row(number), [PICTURE, PICTURE])
    print(number, flush=True)
"""


def test_kill_9_loses_nothing_accepted(tmp_path: Path) -> None:
    path = os.pathsep.join(sys.path)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "store")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(100)]  # past the first merge
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    child.wait()
    child.stdout.close()
    accepted = int(lines[-1]) + 1
    store = Store.open(tmp_path / "store")
    assert ids(store) in ([bake_id(n) for n in range(accepted)], [bake_id(n) for n in range(accepted + 1)])
    assert all(len(store.frame_files(i)) == 2 for i in ids(store))
    assert not list(store.folder.rglob("*.partial")) + list((store.folder / "incoming").iterdir())
