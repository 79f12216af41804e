import pytest

from unreel.methods.method import Method, MethodConfig


def test_a_method_must_say_how_it_looks_computes_and_goes_on() -> None:
    with pytest.raises(TypeError, match=r"abstract"):
        Method()  # type: ignore[abstract]


def test_a_configuration_must_say_what_it_builds() -> None:
    with pytest.raises(TypeError, match="build"):
        MethodConfig()  # type: ignore[abstract, call-arg]
