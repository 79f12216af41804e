"""A machine without this or that is described, never crashed on, and every finding says what to do."""

import sys
import types
from importlib import metadata
from pathlib import Path

import pytest
import torch

from unreel.cli import inspection
from unreel.cli.inspection import REQUIRED, Finding, Machine, inspect_machine

Patch = pytest.MonkeyPatch


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with plenty of everything, as far as its files tell."""
    for folder in ("sys/fs/cgroup", "proc/driver/nvidia", "dev/shm"):
        (tmp_path / "root" / folder).mkdir(parents=True)
    (tmp_path / "root" / "proc/meminfo").write_text("MemTotal: 33554432 kB\n")
    return tmp_path / "root"


@pytest.fixture
def inspect(root: Path, tmp_path: Path, monkeypatch: Patch) -> "Inspect":
    monkeypatch.setattr(inspection, "_read_total_mb", lambda folder: 8192)
    monkeypatch.setattr(inspection, "_read_free_mb", lambda folder: 100_000)
    return Inspect(root, tmp_path)


class Inspect:
    """Inspect the made-up machine."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder

    def __call__(self) -> Machine:
        machine = inspect_machine(self.folder, root=self.root)
        assert all(finding.text and finding.remedy for finding in machine.findings)
        return machine


def find(machine: Machine, words: str) -> Finding:
    return next(finding for finding in machine.findings if words in finding.text)


def test_this_machine_is_ready(inspect: Inspect) -> None:
    machine = inspect()
    assert machine.is_ready
    assert set(machine.versions) == {*REQUIRED, "FFmpeg"}
    assert machine.versions["torch"] == metadata.version("torch")
    assert machine.versions["FFmpeg"][0].isdigit()
    assert machine.devices[-1].name == "cpu"
    assert machine.num_cores >= 1
    assert machine.memory_mb == 32768
    assert machine.decoders["H.264"]
    assert {finding.level for finding in machine.findings} <= {"note"}


def test_the_real_files_are_read() -> None:
    machine = inspect_machine(Path.cwd())
    assert machine.free_disk_mb > 0
    assert machine.memory_mb > 0


@pytest.mark.parametrize("name", ["torch", "av", "pyarrow"])
def test_a_missing_package_is_a_problem_not_a_crash(name: str, inspect: Inspect, monkeypatch: Patch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    real = inspection.importlib.import_module

    def import_module(wanted: str) -> types.ModuleType:
        if wanted == name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(wanted)

    monkeypatch.setattr(inspection.importlib, "import_module", import_module)
    machine = inspect()
    assert not machine.is_ready
    assert machine.versions[name] == "not installed"
    assert find(machine, name).level == "problem"
    assert find(machine, name).remedy == f"pip install --force-reinstall {name}"
    assert machine.findings[0].level == "problem"


def test_a_package_that_does_not_load_is_a_problem_with_its_reason(
    inspect: Inspect, monkeypatch: Patch
) -> None:
    def import_module(name: str) -> types.ModuleType:
        raise OSError("libcudart.so.12: cannot open shared object file\nmore")

    monkeypatch.setattr(inspection.importlib, "import_module", import_module)
    machine = inspect()
    assert not machine.is_ready
    assert machine.versions["torch"] == "does not load: libcudart.so.12: cannot open shared object file"
    assert machine.devices == ()
    assert machine.decoders == {}
    assert "FFmpeg" not in machine.versions


def test_a_package_without_metadata_is_of_unknown_version(inspect: Inspect, monkeypatch: Patch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(inspection.metadata, "version", version)
    machine = inspect()
    assert machine.is_ready
    assert machine.versions["rich"] == "unknown"


class Gpu:
    name = "H200"
    total_memory = 140 * 1024**3


def give_gpus(monkeypatch: Patch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Gpu)


def test_gpus_come_first_with_their_memory(inspect: Inspect, monkeypatch: Patch) -> None:
    give_gpus(monkeypatch, 2)
    monkeypatch.setattr(inspection, "_computes", lambda torch, device, findings: True)
    machine = inspect()
    assert [device.name for device in machine.devices] == ["cuda:0", "cuda:1", "cpu"]
    assert machine.devices[0].model == "H200"
    assert machine.devices[0].memory_mb == 140 * 1024
    assert machine.findings == ()


def test_a_gpu_that_does_not_compute_is_left_out_with_a_warning(inspect: Inspect, monkeypatch: Patch) -> None:
    # This torch may have no CUDA at all, so that computing on "cuda:0" fails by itself.
    give_gpus(monkeypatch, 1)
    real = torch.ones

    def ones(*sizes: int, device: str = "cpu") -> torch.Tensor:
        if device != "cpu":
            raise RuntimeError("no kernel image is available")
        return real(*sizes)

    monkeypatch.setattr(torch, "ones", ones)
    machine = inspect()
    assert [device.name for device in machine.devices] == ["cpu"]
    assert find(machine, "cuda:0 (H200) does not compute: no kernel image is available").level == "warning"
    assert machine.is_ready


def test_a_cpu_that_computes_wrongly_is_a_problem(inspect: Inspect, monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch, "ones", torch.zeros)
    machine = inspect()
    assert not machine.is_ready
    assert "a product came out wrong" in find(machine, "cpu").text


def test_an_apple_gpu_is_listed(inspect: Inspect, monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(inspection, "_computes", lambda torch, device, findings: True)
    assert [device.name for device in inspect().devices] == ["mps", "cpu"]


def test_a_driver_without_a_gpu_in_torch_is_a_warning(inspect: Inspect, monkeypatch: Patch) -> None:
    give_gpus(monkeypatch, 0)
    (inspect.root / "proc/driver/nvidia/version").write_text("NVRM version: 570\n")
    finding = find(inspect(), "an NVIDIA driver is loaded but torch sees no GPU")
    assert finding.level == "warning"
    assert torch.__version__ in finding.text


def test_without_a_gpu_the_small_recipes_are_recommended(inspect: Inspect, monkeypatch: Patch) -> None:
    give_gpus(monkeypatch, 0)
    assert find(inspect(), "no GPU").level == "note"


@pytest.mark.parametrize(("codec", "kind", "level"), [("h264", "H.264", "problem"), ("vp9", "VP9", "note")])
def test_a_missing_decoder_is_named(
    codec: str, kind: str, level: str, inspect: Inspect, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(inspection, "_has_decoder", lambda av, name: name != codec)
    machine = inspect()
    assert not machine.decoders[kind]
    assert find(machine, f"no decoder for {kind}").level == level


def test_a_decoder_nobody_wrote_is_not_there() -> None:
    import av

    assert inspection._has_decoder(av, "h264")
    assert not inspection._has_decoder(av, "surely-not-a-codec")


def test_more_threads_than_cores_are_warned_about(inspect: Inspect, monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    (inspect.root / "sys/fs/cgroup/cpu.max").write_text("100000 100000\n")
    finding = find(inspect(), "torch uses 64 threads on 1 cores")
    assert (finding.level, finding.remedy) == ("warning", "export OMP_NUM_THREADS=1")


@pytest.mark.parametrize(
    ("function", "size_mb", "words", "remedy"),
    [
        ("_read_total_mb", 64, "/dev/shm has 64 MiB", "--shm-size=8g"),
        ("_read_free_mb", 300, "300 MiB are free on this disk", "--run"),
        ("read_memory_mb", 2048, "2048 MiB of memory", "small"),
    ],
)
def test_too_little_space_is_warned_about(
    function: str, size_mb: int, words: str, remedy: str, inspect: Inspect, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(inspection, function, lambda path: size_mb)
    machine = inspect()
    assert find(machine, words).level == "warning"
    assert remedy in find(machine, words).remedy
    assert machine.is_ready


def test_unknown_sizes_warn_about_nothing(inspect: Inspect, monkeypatch: Patch) -> None:
    for function in ("_read_total_mb", "_read_free_mb", "read_memory_mb"):
        monkeypatch.setattr(inspection, function, lambda path: 0)
    assert {finding.level for finding in inspect().findings} <= {"note"}


def test_a_folder_that_is_not_there_has_no_size(tmp_path: Path) -> None:
    assert inspection._read_total_mb(tmp_path / "none") == 0
    assert inspection._read_free_mb(tmp_path / "none") == 0


def test_a_folder_that_cannot_be_written_to_is_a_problem(inspect: Inspect) -> None:
    inspect.folder = inspect.folder / "missing"
    machine = inspect()
    assert not machine.is_ready
    assert "cannot be written to: " in find(machine, "missing").text


def test_extras_name_the_packages_that_they_lack(inspect: Inspect, monkeypatch: Patch) -> None:
    requirements = [
        "torch>=2",
        'rich>=13; extra == "web"',
        "surely-missing>=1; python_version > '3' and extra == 'web'",
        'also.missing; extra == "scale"',
    ]
    monkeypatch.setattr(inspection.metadata, "requires", lambda name: requirements)
    assert inspect().missing_extras == {"web": ["surely-missing"], "scale": ["also.missing"]}


def test_a_package_that_was_not_installed_has_no_extras(inspect: Inspect, monkeypatch: Patch) -> None:
    def requires(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(inspection.metadata, "requires", requires)
    assert inspect().missing_extras == {}
