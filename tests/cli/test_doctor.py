"""The doctor prints what a person, or a program, needs; its exit code says whether the main job can run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from unreel import __version__
from unreel.cli import doctor
from unreel.cli.inspection import Device, Finding, Machine
from unreel.cli.main import run

Capture = pytest.CaptureFixture[str]

HEALTHY = Machine(
    unreel=__version__,
    python="3.12.1",
    platform="Linux",
    versions={"torch": "2.13.0", "FFmpeg": "8.1"},
    devices=(Device("cuda:0", "H200", 143_360), Device("cpu", "x86_64", 0)),
    num_cores=16,
    torch_threads=16,
    memory_mb=131_072,
    shared_memory_mb=512,
    free_disk_mb=0,
    decoders={"H.264": True, "VP9": False},
    missing_extras={"web": ["fastapi", "uvicorn"]},
    findings=(Finding("warning", "/dev/shm has 512 MiB", "start with --shm-size=8g"),),
)
SICK = replace(
    HEALTHY, devices=(), findings=(Finding("problem", "torch: not installed", "pip install torch"),)
)


def diagnose(machine: Machine, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(doctor, "inspect_machine", lambda folder: machine)
    return run(["doctor", *words])


def test_a_healthy_machine_is_shown_and_exits_with_0(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert diagnose(HEALTHY, monkeypatch) == 0
    out = capsys.readouterr().out
    for line in (
        f"unreel {__version__}",
        "  Python          3.12.1 on Linux",
        "  devices         cuda:0 (H200, 140.0 GiB), cpu (x86_64)",
        "  shared memory   512 MiB",
        "  free disk here  unknown",
        "  decoders        H.264",
        "  missing extras  web (pip install fastapi uvicorn)",
        "warning: /dev/shm has 512 MiB",
        "  remedy  start with --shm-size=8g",
        "Ready.",
        "  unreel scan videos/ --out catalog.parquet",
    ):
        assert line in out.splitlines()


def test_a_sick_machine_is_shown_and_exits_with_1(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert diagnose(SICK, monkeypatch) == 1
    out = capsys.readouterr().out
    assert "problem: torch: not installed\n  remedy  pip install torch\n" in out
    assert "Not ready" in out
    assert "  devices         none" in out


@pytest.mark.parametrize(("machine", "code"), [(HEALTHY, 0), (SICK, 1)])
def test_json_holds_everything_and_nothing_else_is_printed(
    machine: Machine, code: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert diagnose(machine, monkeypatch, "--json") == code
    report = json.loads(capsys.readouterr().out)
    assert report["is_ready"] is (code == 0)
    assert report["versions"]["torch"] == "2.13.0"
    assert report["findings"][0]["remedy"] == machine.findings[0].remedy
    assert report["missing_extras"] == {"web": ["fastapi", "uvicorn"]}


def test_this_machine_runs_the_main_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["decoders"]["H.264"] is True
    assert list(tmp_path.iterdir()) == []
