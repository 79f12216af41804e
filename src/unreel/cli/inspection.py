"""What this machine has, what is missing for the main job, and how to get it.

Nothing here raises: whatever cannot be found out becomes a finding or is left empty.
"""

import importlib
import platform
import re
import shutil
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from unreel import __version__
from unreel.machine import count_cores, read_memory_mb

REQUIRED = ("torch", "av", "numpy", "pyarrow", "safetensors", "tensorboardX", "tyro", "rich", "matplotlib")
"""Packages without which the main job cannot run."""

DECODERS = {
    "H.264": ("h264",),
    "HEVC": ("hevc",),
    "AV1": ("libdav1d", "libaom-av1"),
    "VP9": ("vp9",),
    "VP8": ("vp8",),
    "MPEG-4": ("mpeg4",),
    "MPEG-2": ("mpeg2video",),
    "MJPEG": ("mjpeg",),
    "FLV": ("flv",),
    "WMV": ("wmv3",),
    "GIF": ("gif",),
}
"""Kind of video -> FFmpeg's software decoders for it, any of which will do."""

_MB = 1024 * 1024
_LITTLE_MEMORY_MB = 4 * 1024
_LITTLE_SHARED_MEMORY_MB = 1024
_LITTLE_DISK_MB = 2 * 1024


@dataclass(frozen=True)
class Finding:
    """Something that the user should know, and what to do about it."""

    level: Literal["problem", "warning", "note"]
    """A problem stops the main job, a warning slows it or threatens it, a note is good to know."""
    text: str
    remedy: str


@dataclass(frozen=True)
class Device:
    """Something that can train a network."""

    name: str
    """As ``train.device`` takes it."""
    model: str
    memory_mb: int
    """0 when unknown."""


@dataclass(frozen=True)
class Machine:
    """Everything that ``unreel doctor`` shows. Sizes are in MiB, 0 when unknown."""

    unreel: str
    python: str
    platform: str
    versions: dict[str, str]
    """Package -> version, "not installed" or why it does not load; FFmpeg is the one inside PyAV."""
    devices: tuple[Device, ...]
    num_cores: int
    torch_threads: int
    memory_mb: int
    shared_memory_mb: int
    free_disk_mb: int
    decoders: dict[str, bool]
    missing_extras: dict[str, list[str]]
    """Extra -> packages of it that are not installed."""
    findings: tuple[Finding, ...]

    @property
    def is_ready(self) -> bool:
        """Whether the main job can run: no finding is a problem."""
        return all(finding.level != "problem" for finding in self.findings)


def inspect_machine(folder: Path, *, root: Path = Path("/")) -> Machine:
    """Look at the machine; takes about as long as importing torch.

    Args:
        folder: where catalogs and runs would be written.
        root: of the file system in which the limits of the machine stand.
    """
    findings: list[Finding] = []
    modules, versions = _load_packages(findings)
    torch, av = modules.get("torch"), modules.get("av")
    machine = Machine(
        unreel=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        versions=versions,
        devices=_list_devices(torch, root, findings) if torch else (),
        num_cores=count_cores(root),
        torch_threads=torch.get_num_threads() if torch else 0,
        memory_mb=read_memory_mb(root),
        shared_memory_mb=_read_total_mb(root / "dev" / "shm"),
        free_disk_mb=_read_free_mb(folder),
        decoders=_probe_decoders(av, findings) if av else {},
        missing_extras=_find_missing_extras(),
        findings=(),
    )
    findings += _judge(machine) + _judge_folder(folder)
    order = ("problem", "warning", "note")
    ordered = tuple(sorted(findings, key=lambda finding: order.index(finding.level)))
    return Machine(**{**vars(machine), "findings": ordered})


def _load_packages(findings: list[Finding]) -> tuple[dict[str, ModuleType], dict[str, str]]:
    modules, versions = {}, {}
    for name in REQUIRED:
        try:
            modules[name] = importlib.import_module(name)
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "unknown"
        except Exception as error:  # a package may fail to load in any way
            is_missing = isinstance(error, ModuleNotFoundError) and error.name == name
            versions[name] = "not installed" if is_missing else f"does not load: {_one_line(error)}"
            findings.append(
                Finding("problem", f"{name}: {versions[name]}", f"pip install --force-reinstall {name}")
            )
    if "av" in modules:
        versions["FFmpeg"] = str(getattr(modules["av"], "ffmpeg_version_info", "unknown"))
    return modules, versions


def _list_devices(torch: Any, root: Path, findings: list[Finding]) -> tuple[Device, ...]:  # noqa: ANN401
    devices = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(index)
        devices.append(Device(f"cuda:{index}", properties.name, properties.total_memory // _MB))
    if torch.backends.mps.is_available():
        devices.append(Device("mps", "Apple GPU", 0))
    if (root / "proc" / "driver" / "nvidia" / "version").exists() and not torch.cuda.is_available():
        build = f"torch {torch.__version__} is built for CUDA {torch.version.cuda or 'not at all'}"
        findings.append(
            Finding(
                "warning",
                f"an NVIDIA driver is loaded but torch sees no GPU ({build})",
                "install the torch that fits the driver; the installation page of torch has the command",
            )
        )
    devices.append(Device("cpu", platform.processor() or platform.machine(), 0))
    return tuple(device for device in devices if _computes(torch, device, findings))


def _computes(torch: Any, device: Device, findings: list[Finding]) -> bool:  # noqa: ANN401
    try:
        right = (
            float((torch.ones(8, 8, device=device.name) @ torch.ones(8, 8, device=device.name)).sum()) == 512
        )
        reason = "" if right else "a product came out wrong"
    except Exception as error:  # a driver may fail in any way
        reason = _one_line(error)
    if reason:
        level: Literal["problem", "warning"] = "problem" if device.name == "cpu" else "warning"
        remedy = "update the driver or the torch build; --train.device picks another device"
        findings.append(Finding(level, f"{device.name} ({device.model}) does not compute: {reason}", remedy))
    return not reason


def _probe_decoders(av: Any, findings: list[Finding]) -> dict[str, bool]:  # noqa: ANN401
    decoders = {kind: any(_has_decoder(av, name) for name in names) for kind, names in DECODERS.items()}
    if missing := [kind for kind, is_there in decoders.items() if not is_there]:
        findings.append(
            Finding(
                "problem" if "H.264" in missing else "note",
                f"no decoder for {', '.join(missing)}: `unreel scan` will reject such videos",
                "pip install --force-reinstall av  (its wheels carry all of these decoders)",
            )
        )
    return decoders


def _has_decoder(av: Any, name: str) -> bool:  # noqa: ANN401
    try:
        av.Codec(name, "r")
    except Exception:  # PyAV has raised different classes for this over the years
        return False
    return True


def _read_total_mb(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).total // _MB
    except OSError:
        return 0


def _read_free_mb(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free // _MB
    except OSError:
        return 0


def _find_missing_extras() -> dict[str, list[str]]:
    """Return what the extras named in the package's own metadata lack."""
    missing: dict[str, list[str]] = {}
    try:
        requirements = metadata.requires("unreel") or []
    except metadata.PackageNotFoundError:
        return missing
    for requirement in requirements:
        if found := re.match(r"([\w.-]+).*;.*\bextra == ['\"](\w+)['\"]", requirement):
            package, extra = found[1], found[2]
            try:
                metadata.version(package)
            except metadata.PackageNotFoundError:
                missing.setdefault(extra, []).append(package)
    return missing


def _judge(machine: Machine) -> list[Finding]:
    findings = []
    if machine.torch_threads > machine.num_cores:
        text = f"torch uses {machine.torch_threads} threads on {machine.num_cores} cores, which slows it down"
        findings.append(Finding("warning", text, f"export OMP_NUM_THREADS={machine.num_cores}"))
    if 0 < machine.memory_mb < _LITTLE_MEMORY_MB:
        text = f"{machine.memory_mb} MiB of memory is little for training"
        remedy = "use the *.small recipes, --data.num-workers 1 and a small --train.batch-size"
        findings.append(Finding("warning", text, remedy))
    if 0 < machine.shared_memory_mb < _LITTLE_SHARED_MEMORY_MB:
        text = f"/dev/shm has {machine.shared_memory_mb} MiB; loader processes hand their batches over in it"
        remedy = "start the container with --shm-size=8g, or train with --data.num-workers 0"
        findings.append(Finding("warning", text, remedy))
    if 0 < machine.free_disk_mb < _LITTLE_DISK_MB:
        text = f"{machine.free_disk_mb} MiB are free on this disk; a run keeps two checkpoints"
        findings.append(Finding("warning", text, "write the run to another disk with --run"))
    if machine.devices and machine.devices[0].name == "cpu":
        text = "no GPU: the *.small recipes are made for this, the papers' own are not"
        findings.append(Finding("note", text, "unreel recipes"))
    return findings


def _judge_folder(folder: Path) -> list[Finding]:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return []
    except OSError as error:
        text = f"{folder} cannot be written to: {_one_line(error)}"
        return [Finding("problem", text, "change to a folder of your own")]


def _one_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
