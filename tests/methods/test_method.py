import pytest

from unreel.methods.method import Method, MethodConfig
from unreel.methods.moco import MoCo
from unreel.models.c3d import C3DConfig


def test_a_method_must_say_how_it_looks_computes_and_goes_on() -> None:
    with pytest.raises(TypeError, match=r"abstract"):
        Method()  # type: ignore[abstract]


def test_a_configuration_must_say_what_it_builds() -> None:
    with pytest.raises(TypeError, match="build"):
        MethodConfig()  # type: ignore[abstract, call-arg]


def test_a_method_starts_from_no_file_unless_it_says_so() -> None:
    method = MoCo.Config(backbone=C3DConfig(width=0.125), queue_length=8).build()
    assert method.load_initial_weights() == {}


def test_settings_give_no_cause_for_caution_unless_they_say_so() -> None:
    assert MoCo.Config().cautions() == ()
