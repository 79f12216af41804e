"""What every test may rely on: one thread, no variables from outside, the same random examples."""

import os

# Before torch is imported. Sums come out the same on any machine, and its cores belong to the workers.
os.environ["OMP_NUM_THREADS"] = "1"
# A terminal's width and colours, or the job scheduler that runs the tests, must not reach them.
os.environ["COLUMNS"] = "100"
os.environ["NO_COLOR"] = "1"
for _name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "MASTER_ADDR", "MASTER_PORT"):
    os.environ.pop(_name, None)
for _name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"):
    os.environ.pop(_name, None)

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402 (behind the variables on purpose)

settings.register_profile("unreel", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("unreel")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the catalog of twelve short videos, nine of them for training; nobody writes into its folder."""
    from tests.corpus import build_corpus

    return build_corpus(tmp_path_factory.mktemp("corpus"))
