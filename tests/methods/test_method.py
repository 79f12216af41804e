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


def test_all_weights_move_alike_unless_the_method_says_otherwise() -> None:
    method = MoCo.Config(backbone=C3DConfig(width=0.125), queue_length=8).build()
    (group,) = method.parameter_groups()
    assert [id(each) for each in group.parameters] == [id(each) for each in method.parameters()]
    assert (group.lr_factor, group.decay_factor, group.fixed_lr) == (1.0, 1.0, 0.0)


def test_videos_need_no_labels_unless_the_settings_say_so() -> None:
    assert not MoCo.Config().needs_labels
