"""The default listener hears nothing and says nothing."""

import pytest

from unreel.progress import Progress, ignore_progress


def test_ignoring_progress_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    listener: Progress = ignore_progress
    listener(1, 2, "half")
    assert capsys.readouterr() == ("", "")
