import json
import statistics

import pytest

from unreel.evaluate.low_shot import LowShotConfig, LowShotCurve, LowShotPoint, LowShotResult, measure_curves


def build_result(first: list[float], second: list[float]) -> LowShotResult:
    curves = (
        LowShotCurve(name, tuple(LowShotPoint(0.1 * (n + 1), (5,), (own,)) for n, own in enumerate(values)))
        for name, values in (("scvrl", first), ("cvrl", second))
    )
    return LowShotResult(tuple(curves), {"by": "label"}, 2.0)


def test_the_relative_gain_is_that_of_the_printed_table() -> None:
    """SCVRL, Table 7: 1, 5, 10, 25, 50 and 100 % of the labels of Something-Something-v2."""
    scvrl = [0.061, 0.194, 0.263, 0.344, 0.430, 0.468]
    cvrl = [0.044, 0.154, 0.233, 0.310, 0.401, 0.453]
    found = build_result(scvrl, cvrl).relative_gains["cvrl"]
    assert [round(100 * (own or 0), 1) for own in found] == [27.9, 20.6, 11.4, 9.9, 6.7, 3.2]
    assert build_result([0.5, 0.0, 0.25], [0.25, 0.5, 0.5]).relative_gains == {"cvrl": [0.5, None, -1.0]}


def test_mean_and_deviation_are_over_the_seeds() -> None:
    point = LowShotPoint(0.1, (4, 4, 4), (0.25, 0.5, 0.375))
    assert point.mean == 0.375
    assert point.deviation == pytest.approx(statistics.stdev([0.25, 0.5, 0.375])) == 0.125
    assert LowShotPoint(0.1, (4,), (0.25,)).deviation == 0


def test_every_encoder_share_and_seed_is_measured_from_few_to_many() -> None:
    asked: list[tuple[int, float, int]] = []
    told: list[tuple[int, int, str]] = []

    def measure(number: int, fraction: float, seed: int) -> tuple[int, float]:
        asked.append((number, fraction, seed))
        return round(100 * fraction), fraction / (1 + number) + seed

    config = LowShotConfig(fractions=(0.5, 0.1), seeds=(7, 3))
    curves = measure_curves(["a", "b"], config, measure, progress=lambda *now: told.append(now))
    assert asked == [(n, f, s) for f in (0.1, 0.5) for n in (0, 1) for s in (7, 3)]
    assert curves == (
        LowShotCurve("a", (LowShotPoint(0.1, (10, 10), (7.1, 3.1)), LowShotPoint(0.5, (50, 50), (7.5, 3.5)))),
        LowShotCurve(
            "b", (LowShotPoint(0.1, (10, 10), (7.05, 3.05)), LowShotPoint(0.5, (50, 50), (7.25, 3.25)))
        ),
    )
    assert told[0] == (0, 8, "a, 10 % of the labels, seed 7")
    assert [done for done, _, _ in told] == list(range(9))


def test_the_result_is_plain_json() -> None:
    values = json.loads(json.dumps(build_result([0.5, 0.75], [0.25, 0.5]).to_json()))
    assert values["protocol"] == "low-shot"
    assert values["curves"][1] == {
        "name": "cvrl",
        "points": [
            {"fraction": 0.1, "videos": [5], "values": [0.25], "mean": 0.25, "deviation": 0.0},
            {"fraction": 0.2, "videos": [5], "values": [0.5], "mean": 0.5, "deviation": 0.0},
        ],
    }
    assert values["relative_gains"] == {"cvrl": [0.5, pytest.approx(1 / 3)]}
    assert (values["settings"], values["seconds"]) == ({"by": "label"}, 2.0)


def test_one_encoder_has_nothing_to_gain_on() -> None:
    one = build_result([0.5], [0.25])
    assert LowShotResult(one.curves[:1], {}, 0).relative_gains == {}


@pytest.mark.parametrize(
    ("fractions", "seeds", "message"),
    [
        ((), (0,), "fractions must be one or more shares"),
        ((0.5, 0.0), (0,), r"shares above 0 and at most 1, got \[0.5, 0.0\]"),
        ((1.5,), (0,), "shares above 0 and at most 1"),
        ((float("nan"),), (0,), "shares above 0 and at most 1"),
        ((0.5, 0.5), (0,), "fractions must be one or more, each different"),
        ((0.5,), (), "seeds must be one or more, each different"),
        ((0.5,), (1, 1), "seeds must be one or more, each different"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    fractions: tuple[float, ...], seeds: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LowShotConfig(fractions, seeds)


@pytest.mark.parametrize("names", [[], ["a", "a"]])
def test_names_must_differ(names: list[str]) -> None:
    with pytest.raises(ValueError, match="encoders must be one or more with different names"):
        measure_curves(names, LowShotConfig(), lambda *_: (0, 0.0))
