import pytest
from hypothesis import given
from hypothesis import strategies as st

from unreel.models.width import scale_channels


@pytest.mark.parametrize("channels", [8, 64, 128, 256, 512, 2048])
def test_width_one_is_the_published_network(channels: int) -> None:
    assert scale_channels(channels, 1.0) == channels


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [
        (64, 0.25, 16),
        (64, 0.3, 16),  # 19.2 is nearer to 16 than to 24
        (64, 0.35, 24),  # 22.4 is nearer to 24
        (64, 0.01, 8),  # never below 8
        (512, 2.0, 1024),
    ],
)
def test_channels_are_rounded_to_the_nearest_multiple_of_8(
    channels: int, width: float, expected: int
) -> None:
    assert scale_channels(channels, width) == expected


@given(st.sampled_from([64, 128, 256, 512]), st.floats(0.01, 4), st.floats(0.01, 4))
def test_a_wider_network_never_has_fewer_channels(channels: int, one: float, other: float) -> None:
    narrow, wide = sorted((one, other))
    assert 8 <= scale_channels(channels, narrow) <= scale_channels(channels, wide)
    assert scale_channels(channels, narrow) % 8 == 0
    assert abs(scale_channels(channels, wide) - channels * wide) <= 8


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan")])
def test_a_width_that_is_not_positive_is_refused(width: float) -> None:
    with pytest.raises(ValueError, match=rf"width must be positive, got {width!r}"):
        scale_channels(64, width)
