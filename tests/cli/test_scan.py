import json
from pathlib import Path

import pytest

from tests.data.scan_samples import run_jobs_here, write_clip
from unreel.cli.main import run
from unreel.cli.scan import describe_summary
from unreel.data import scan
from unreel.data.catalog import Catalog, Segment
from unreel.data.scan_summary import ScanSummary


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two videos, one broken file and a text; the current folder of the test."""
    monkeypatch.setattr(scan, "run_jobs", run_jobs_here)
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "videos" / "jump" / "a.mp4", 3)
    write_clip(tmp_path / "videos" / "run" / "b.mp4", 4)
    (tmp_path / "videos" / "broken.mp4").touch()
    (tmp_path / "videos" / "notes.txt").touch()
    return tmp_path


def test_a_scan_prints_what_became_of_every_file_and_what_comes_next(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["scan", "videos", "--labels", "from-folders"]) == 0
    text = capsys.readouterr().out
    assert "3 = 2 accepted + 1 rejected" in text
    assert "1 x the file is empty (0 bytes)" in text
    assert "1 file (.txt 1)" in text
    assert "unreel pretrain moco.small --data.catalog catalog.parquet" in text
    assert Catalog.load(folder / "catalog.parquet").label_names == ["jump", "run"]


def test_every_flag_reaches_the_scan(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "v.csv").write_text("path,class,part,film\njump/a.mp4,x,train,f\nrun/b.mp4,y,test,g\n")
    columns = "--label-column class --split-column part --group-column film"
    numbers = "--check packets --num-workers 1 --time-limit-sec 9"
    command = f"scan v.csv --out o/c.parquet --rejected r.csv --root videos {columns} {numbers}"
    jobs_seen = []

    def note_and_run(work: str, jobs: list[dict[str, object]], **options: float) -> object:
        jobs_seen.append((jobs, options))
        return run_jobs_here(work, jobs, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(scan, "run_jobs", note_and_run)
    assert run(command.split()) == 0
    assert run([*command.split(), "--fresh"]) == 0
    catalog = Catalog.load(folder / "o" / "c.parquet")
    assert (catalog.labels, catalog.splits, catalog.groups) == (["x", "y"], ["train", "test"], ["f", "g"])
    assert catalog.root == folder / "videos"
    assert (folder / "r.csv").exists()
    assert [len(jobs) for jobs, _ in jobs_seen] == [2, 2]
    jobs, options = jobs_seen[0]
    assert options == {"num_workers": 1, "time_limit_sec": 11.0}
    assert {(job["check"], job["time_limit_sec"]) for job in jobs} == {("packets", 9.0)}


def test_lists_name_the_splits_when_asked_to(folder: Path) -> None:
    (folder / "train.txt").write_text("videos/jump/a.mp4 1\n")
    (folder / "test.txt").write_text("videos/run/b.mp4 2\n")
    assert run(["scan", "train.txt", "test.txt", "--splits", "from-lists"]) == 0
    assert Catalog.load(folder / "catalog.parquet").splits == ["train", "test"]


def test_json_is_all_there_is_on_the_standard_output(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["scan", "videos", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["scanned"], summary["accepted"], summary["rejected"]) == (3, 2, 1)
    assert summary["out"] == "catalog.parquet"


def test_warnings_go_to_the_error_stream(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "v.txt").write_text("videos/jump/a.mp4 x\nvideos/jump/a.mp4 y\n")
    assert run(["scan", "v.txt"]) == 0
    printed = capsys.readouterr()
    assert "warning: files listed again with another label" in printed.err
    assert "warning" not in printed.out


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("scan nowhere", 1, "nowhere: there is no such folder, list or video"),
        ("scan empty", 1, "no video in empty"),
        ("scan", 2, "no sources: name a folder, a list or a video"),
        ("scan videos --num-workers -3", 2, "num_workers must be at least 1"),
        ("scan bad.csv", 2, "bad.csv, line 1: the header has no column `path`"),
        ("scan videos --check glance", 2, "invalid choice 'glance'"),
        ("scan videos --layout imagenet", 2, "invalid choice 'imagenet'"),
        ("scan videos --layout ucf101", 1, "classInd.txt: there is no such annotation file in"),
        (
            "scan videos --layout ucf101 --layout-split 4",
            2,
            "layout ucf101 has no split '4' (--layout-split)",
        ),
        ("scan videos --layout-split 1", 2, "are those of a data set; name it with --layout"),
        ("scan videos --layout ucf101 --labels from-folders", 2, "leave out --labels, --splits"),
    ],
)
def test_what_goes_wrong_is_said_and_sets_the_exit_code(
    command: str, code: int, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "empty").mkdir()
    (folder / "bad.csv").write_text("file,label\na.mp4,1\n")
    assert run(command.split()) == code
    assert message in " ".join(capsys.readouterr().err.split())


def test_an_interrupted_scan_says_how_to_go_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(scan, "run_jobs", interrupt)
    assert run(["scan", "videos"]) == 130
    assert "the same command without --fresh goes on from there" in capsys.readouterr().err
    assert not (folder / "catalog.parquet").exists()


def test_the_summary_shows_the_five_most_frequent_reasons() -> None:
    summary = ScanSummary(
        out=Path("c.parquet"),
        rejected_path=Path("rejected.csv"),
        scanned=40,
        accepted=12,
        rejected=28,
        reused=5,
        dropped=3,
        duplicates=0,
        other_files={".jpg": 2},
        reasons={f"reason {letter}": count for letter, count in zip("gfedcba", range(7, 0, -1), strict=True)},
        frames=300,
        seconds_of_video=7200.0,
        labels=3,
        splits={"": 2, "train": 10},
        segments=21,
        segment_labels=4,
        notes=("first", "second"),
        warnings=(),
        seconds=61.0,
    )
    assert describe_summary(summary) == {
        "scanned": "40 = 12 accepted + 28 rejected",
        "rejected": "listed in rejected.csv",
        "reason 1": "7 x reason g",
        "reason 2": "6 x reason f",
        "reason 3": "5 x reason e",
        "reason 4": "4 x reason d",
        "reason 5": "3 x reason c",
        "more reasons": "2 more in the list",
        "not video by name": "2 files (.jpg 2)",
        "unchanged": "5 not read again",
        "dropped": "3 of the earlier catalog are gone",
        "video": "2 h 0 min, 300 frames",
        "labels": "3 classes",
        "segments": "21 in 4 classes",
        "splits": "none 2, train 10",
        "note 1": "first",
        "note 2": "second",
        "time": "1 min 1 s",
    }


def test_a_data_set_is_scanned_by_its_layout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "lists").mkdir()
    for number, (first, second) in {1: (1, 2), 2: (2, 1)}.items():
        (folder / "lists" / f"jump_test_split{number}.txt").write_text(f"a.avi {first}\ngone.avi {second}\n")
        (folder / "lists" / f"run_test_split{number}.txt").write_text(f"b.avi {second}\n")
    command = "scan videos --layout hmdb51 --annotations lists"
    assert run(command.split()) == 0
    printed = capsys.readouterr()
    assert "3 = 2 accepted + 1 rejected" in printed.out
    assert "1 x missing: the annotations name it for test, no file has this name" in printed.out
    warnings = " ".join(printed.err.split())
    assert "warning: videos that the annotations name are not on the disk (test: 1 of 2 missing" in warnings
    assert Catalog.load(folder / "catalog.parquet").splits == ["train", "test"]
    assert run([*command.split(), "--layout-split", "2"]) == 0
    assert Catalog.load(folder / "catalog.parquet").splits == ["test", "train"]


def test_columns_of_stretches_are_named_by_flags(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "v.csv").write_text("path,label,from,to\nvideos/jump/a.mp4,up,0,0.1\n")
    assert run(["scan", "v.csv", "--start-column", "from", "--end-column", "to"]) == 0
    printed = capsys.readouterr().out
    assert "1 in 1 classes" in printed
    assert "labels    1 classes" in printed
    assert "unreel localize features --encoder RUN/encoder --catalog catalog.parquet" in printed
    assert "pretrain" not in printed
    assert Catalog.load(folder / "catalog.parquet").video(0).segments == (Segment(0.0, 0.1, "up"),)


def test_stretches_of_several_classes_are_no_label_of_the_video(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "videos/jump/a.mp4,up,0,0.05\nvideos/jump/a.mp4,down,0.05,0.1\n"
    (folder / "v.csv").write_text(f"path,label,start_sec,end_sec\n{rows}")
    assert run(["scan", "v.csv"]) == 0
    printed = capsys.readouterr().out
    assert "labels    none of whole videos" in printed
    assert "segments  2 in 2 classes" in printed


def test_help_names_every_layout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scan", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("ucf101", "hmdb51", "kinetics400", "something-v2", "mmact"))


def test_the_next_command_can_be_copied_whatever_the_catalog_is_called(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["scan", "videos", "--out", str(folder / "my list.parquet")]) == 0
    assert f"--data.catalog '{folder}/my list.parquet' --run" in capsys.readouterr().out
