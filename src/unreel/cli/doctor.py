"""Say what this machine has, what is missing for the main job, and how to get it.

Leaves with 0 when videos can be scanned, learned from and searched here, with 1 when not.
"""

import json as json_format
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unreel.cli.inspection import Machine, inspect_machine
from unreel.cli.terminal import parse_arguments, print_summary
from unreel.config import config_to_dict


@dataclass(frozen=True)
class Arguments:
    """Flags of ``unreel doctor``."""

    json: bool = False
    """Print everything as JSON."""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    arguments = parse_arguments(
        Arguments, argv, command="doctor", description=__doc__ or "", example="unreel doctor --json"
    )
    machine = inspect_machine(Path.cwd())
    if arguments.json:
        report = {"is_ready": machine.is_ready, **config_to_dict(machine)}
        print(json_format.dumps(report, indent=2, ensure_ascii=False))  # noqa: T201 (this is where the program prints)
    else:
        _show(machine)
    if not machine.is_ready:
        sys.exit(1)


def _show(machine: Machine) -> None:
    devices = [
        f"{device.name} ({device.model}{f', {_write_size(device.memory_mb)}' if device.memory_mb else ''})"
        for device in machine.devices
    ]
    there = [kind for kind, has_decoder in machine.decoders.items() if has_decoder]
    extras = [
        f"{extra} (pip install {' '.join(packages)})" for extra, packages in machine.missing_extras.items()
    ]
    print_summary(
        f"unreel {machine.unreel}",
        {
            "Python": f"{machine.python} on {machine.platform}",
            **machine.versions,
            "devices": ", ".join(devices) or "none",
            "cores": f"{machine.num_cores}, torch uses {machine.torch_threads}",
            "memory": _write_size(machine.memory_mb),
            "shared memory": _write_size(machine.shared_memory_mb),
            "free disk here": _write_size(machine.free_disk_mb),
            "decoders": ", ".join(there) or "none",
            "missing extras": ", ".join(extras) or "none",
        },
    )
    for finding in machine.findings:
        print_summary(f"{finding.level}: {finding.text}", {"remedy": finding.remedy})
    if machine.is_ready:
        print_summary(
            "Ready.",
            {},
            next_steps=["unreel sample-data samples", "unreel scan videos/ --out catalog.parquet"],
        )
    else:
        print_summary("Not ready: see the problems above.", {})


def _write_size(size_mb: int) -> str:
    return f"{size_mb / 1024:.1f} GiB" if size_mb >= 1024 else f"{size_mb} MiB" if size_mb else "unknown"
