"""What a server serves, to whom, and how much of the machine its visitors may use."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from unreel.data.opening import check_time_limit

_SECRET_LENGTH = 16


@dataclass(frozen=True)
class QueryLimits:
    """How large a video may be that a visitor searches with.

    Raises:
        ValueError: a limit is not positive.
    """

    max_upload_mb: int = 256
    """Largest file, in MiB."""
    max_sec: float = 1800.0
    """Longest video."""
    max_frames: int = 200_000
    """Most frames."""
    max_frame_px: int = 3840 * 2176
    """Most pixels of a frame."""
    upload_time_limit_sec: float = 120.0
    """Time within which a file must have arrived."""
    idle_time_limit_sec: float = 10.0
    """Time within which the next piece of a file must arrive."""
    decode_time_limit_sec: float = 30.0
    """Time after which reading a video counts as failed."""
    memory_mb: int = 2048
    """Memory of the process that reads it, in MiB."""
    max_uploads: int = 16
    """Files that may arrive at the same time."""
    max_waiting: int = 8
    """Videos that may wait for the network while another is being computed."""
    max_kept: int = 1000
    """Vectors of queries that are kept; the oldest are forgotten."""
    kept_sec: float = 3600.0
    """Time for which the vector of a query is kept."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name.endswith("time_limit_sec"):
                check_time_limit(value, name=name)
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} must be above 0, got {value}")


@dataclass(frozen=True)
class ConversionLimits:
    """What is made of videos that browsers cannot play, and how much of it is kept.

    Raises:
        ValueError: a limit is not positive.
    """

    height_px: int = 720
    """Most lines of a converted video."""
    time_limit_sec: float = 600.0
    """Time after which a conversion counts as failed."""
    memory_mb: int = 3072
    """Memory of the process that converts, in MiB."""
    max_waiting: int = 8
    """Videos that may wait for their conversion."""
    cache_mb: int = 4096
    """Converted videos that are kept, in MiB; those not played for longest are removed."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} must be above 0, got {value}")


@dataclass(frozen=True)
class ServeSettings:
    """What a server serves, and to whom.

    Raises:
        ValueError: others than this machine could connect without a token, or a number makes no sense.
    """

    index: Path
    """File that `unreel index` wrote."""
    qdrant: str = ""
    """Where a mirror of the index is searched instead; see `VideoIndex`."""
    encoder: Path | None = None
    """Folder of the encoder that made the index; None takes the one that the index names, if it is there."""
    runs: Path | None = None
    """Folder of runs to show; None shows none."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8420
    """Port to listen on; 0 takes any free one."""
    token: str = ""
    """What a visitor must know; "" lets everyone in who can connect."""
    allowed_hosts: tuple[str, ...] = ()
    """Names, besides those of this machine, by which browsers may call the server."""
    device: str = "auto"
    """Where the network computes."""
    max_requests: int = 128
    """Requests that are answered at the same time."""
    query: QueryLimits = QueryLimits()
    """How large a video may be that is searched with."""
    conversion: ConversionLimits = ConversionLimits()
    """What is made of videos that browsers cannot play."""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise ValueError(f"port must be between 0 and 65535, got {self.port}")
        if self.token and (len(self.token) < _SECRET_LENGTH or not _is_plain(self.token)):
            raise ValueError(
                f"token must be {_SECRET_LENGTH} or more letters, digits, '-' or '_' of ASCII, got "
                f"{len(self.token)} characters; leave --token out to have one made"
            )
        if not self.token and not is_local(self.host):
            raise ValueError(f"host {self.host!r} lets other machines connect; give a token, too")


def _is_plain(token: str) -> bool:
    return token.isascii() and token.replace("-", "").replace("_", "").isalnum()


def is_local(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
