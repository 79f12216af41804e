"""Work for the worker processes of tests; imports little, since every worker imports it."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

THIS = "tests.data.worker_jobs"


def media_row(**changes: Any) -> dict[str, Any]:
    """Return what reading a file of 4 frames at 25 frames per second tells."""
    row: dict[str, Any] = {
        "seconds": 0.16,
        "fps": 25.0,
        "frames": 4,
        "height": 16,
        "width": 24,
        "rotation": 0,
        "codec": "h264",
        "container": "mp4",
        "is_variable_frame_rate": False,
        "note": "",
        "check": "decode",
        "first_pts": 0,
        "pts_step_num": 512,
        "pts_step_den": 1,
        "frame_pts": [],
        "key_frames": [0],
        "time_base_num": 1,
        "time_base_den": 12800,
    }
    return row | changes


def double(job: Mapping[str, Any]) -> Mapping[str, Any]:
    sys.stdout.write("a library that chatters\n")
    sys.stdout.flush()
    return {"double": 2 * job["number"], "process": os.getpid()}


def misbehave(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Do what the job or the name of its file says."""
    order = job.get("order") or Path(job["path"]).stem
    if order == "hang":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        time.sleep(60)
    elif order == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif order == "exhaust":
        os.kill(os.getpid(), signal.SIGKILL)
    elif order == "leave":
        os._exit(3)
    elif order == "raise":
        raise ArithmeticError("the sum is wrong")
    return {"row": media_row(), "process": os.getpid()}


def believe_content(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Accept the files that say that they are good."""
    if Path(job["path"]).read_bytes() == b"good":
        return {"row": media_row()}
    return {"reason": "the file says that it is bad", "is_lasting": True}


def forbid(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Stand in for reading a file where none must be read."""
    raise AssertionError(f"{job} was read again")


def describe_worker(job: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "threads": os.environ["OMP_NUM_THREADS"],
        "torch": "torch" in sys.modules,
        "main": getattr(sys.modules["__main__"], "__file__", None),
        "interrupt_ignored": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
    }


def measure_or_misbehave(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Measure motion, unless the name of the file says what else to do."""
    from unreel.data.motion_probe import measure_file

    is_order = Path(job["path"]).stem in ("hang", "crash")
    return misbehave(job) if is_order else measure_file(job)


def copy_or_misbehave(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Copy a video, unless the name of the file says what else to do."""
    from unreel.data.prepare_copy import copy_file

    is_order = Path(job["path"]).stem in ("hang", "crash")
    return misbehave(job) if is_order else copy_file(job)


def copy_slowly(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Copy a video, and leave time to be killed in the middle of the next."""
    from unreel.data import prepare_copy

    write = prepare_copy.CopyWriter.add

    def dawdle(self: Any, *args: Any) -> None:
        time.sleep(0.02)
        write(self, *args)

    prepare_copy.CopyWriter.add = dawdle  # type: ignore[method-assign]
    try:
        return prepare_copy.copy_file(job)
    finally:
        prepare_copy.CopyWriter.add = write  # type: ignore[method-assign]
