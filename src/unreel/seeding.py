"""Random draws as functions of what they are for, never of when or where they happen.

``derive_key(seed, "clip", epoch, video)`` names a stream of random numbers. The same parts give the same
stream in every process and on every machine, so neither the number of workers nor an interruption can change
a run.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def derive_key(*parts: int | str) -> int:
    """Turn the parts that name a draw into a 63-bit key.

    Args:
        parts: integers and words; their order and their types matter (``1`` and ``"1"`` differ).

    Raises:
        TypeError: a part is neither an integer nor a string.
    """
    text = bytearray()
    for part in parts:
        if isinstance(part, str):
            text += b"s" + part.encode() + b"\0"
        elif isinstance(part, (int, np.integer)):
            text += b"i" + str(int(part)).encode() + b"\0"
        else:
            raise TypeError(f"derive_key takes integers and strings, got {part!r} ({type(part).__name__})")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def build_generator(*parts: int | str) -> np.random.Generator:
    """Build numpy's generator for the draw that the parts name; see `derive_key`."""
    return np.random.Generator(np.random.Philox(key=derive_key(*parts)))


class RowGenerator:
    """Draw for a whole batch at once, one independent stream per row.

    Row ``b`` of every draw depends on ``keys[b]`` and on how many draws came before, on nothing else: a clip
    is augmented alike whatever batch it is in. Numbers come from the SplitMix64 sequence that starts at a mix
    of the key.

    Args:
        keys: one integer in [0, 2**63) per row, most often from `derive_key`.
    """

    def __init__(self, keys: Sequence[int] | NDArray[np.int64]) -> None:
        self._state = _mix(np.asarray(keys, dtype=np.int64).astype(np.uint64))

    @property
    def num_rows(self) -> int:
        """Number of streams."""
        return len(self._state)

    def fork(self, purpose: str) -> "RowGenerator":
        """Return generators for another purpose: independent of this one's draws, before or after."""
        fork = RowGenerator([])
        fork._state = _mix(self._state ^ np.uint64(derive_key(purpose)))
        return fork

    def repeat(self, num_copies: int) -> "RowGenerator":
        """Return ``num_copies`` independent streams per row, those of one row side by side."""
        fork = RowGenerator([])
        copies = _mix(np.arange(1, num_copies + 1, dtype=np.uint64))
        fork._state = _mix(self._state[:, None] ^ copies[None, :]).reshape(-1)
        return fork

    def uniform(self, low: float = 0.0, high: float = 1.0) -> NDArray[np.float64]:
        """Draw one number per row, uniform in [low, high)."""
        self._state = self._state + _GOLDEN
        unit = (_mix(self._state) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return low + (high - low) * unit

    def log_uniform(self, low: float, high: float) -> NDArray[np.float64]:
        """Draw one number per row whose logarithm is uniform."""
        return np.exp(self.uniform(float(np.log(low)), float(np.log(high))))

    def integers(self, num_values: int | NDArray[np.int64]) -> NDArray[np.int64]:
        """Draw one integer per row, uniform in [0, num_values); ``num_values`` may differ from row to row."""
        return np.floor(self.uniform() * num_values).astype(np.int64)

    def bernoulli(self, prob: float) -> NDArray[np.bool_]:
        """Draw one yes or no per row, yes with probability ``prob``."""
        return self.uniform() < prob

    def permutations(self, length: int) -> NDArray[np.int64]:
        """Draw one uniform permutation of ``range(length)`` per row, shape (rows, length)."""
        draws = np.stack([self.uniform() for _ in range(length)], axis=1)
        return np.argsort(draws, axis=1, kind="stable")


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Apply SplitMix64's finaliser; wraps modulo 2**64 by design."""
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return state ^ (state >> np.uint64(31))
