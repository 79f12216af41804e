"""Work for the tests of processes that can be killed."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def work(job: Mapping[str, Any]) -> dict[str, Any]:
    """Do what a job says."""
    kind = job["kind"]
    if kind == "sleep":
        time.sleep(job["seconds"])
    elif kind == "crash":
        os.abort()
    elif kind == "raise":
        raise ValueError("a fault of the work")
    elif kind == "allocate":
        return {"bytes": len(bytearray(job["mb"] << 20))}
    elif kind == "write":
        Path(job["out"]).write_bytes(bytes(job["mb"] << 20))
    elif kind == "spin":
        while True:
            pass
    return {"process": os.getpid(), "kind": kind}
