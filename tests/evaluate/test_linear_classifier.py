import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from unreel.errors import WeightsError
from unreel.evaluate.linear_classifier import LinearClassifier, normalize_rows

METADATA = "unreel.linear_classifier"
DESCRIPTION = {"format_version": 1, "classes": ["a", "b"], "encoder_hash": "0" * 16, "pooling": "average"}
WEIGHTS = np.array([[1.0, 2.0, 0.0], [0.0, -1.0, 0.5]], dtype=np.float32)


def build(*, bias: list[float] | None = None) -> LinearClassifier:
    bias_C = None if bias is None else np.array(bias, dtype=np.float32)
    return LinearClassifier(("a", "b"), WEIGHTS, bias_C, encoder_hash="0" * 16, pooling="average")


@given(
    seed=st.integers(0, 1000),
    num_classes=st.integers(2, 5),
    num_features=st.integers(1, 6),
    num_vectors=st.integers(0, 4),
    has_bias=st.booleans(),
)
def test_a_score_is_the_sum_of_products_and_the_bias(
    seed: int, num_classes: int, num_features: int, num_vectors: int, has_bias: bool
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(num_classes, num_features)).astype(np.float32)
    bias = rng.normal(size=num_classes).astype(np.float32) if has_bias else None
    features = rng.normal(size=(num_vectors, num_features)).astype(np.float32)
    names = tuple(f"class {number}" for number in range(num_classes))
    scores = LinearClassifier(names, weights, bias, "", "average").scores(features)
    assert scores.shape == (num_vectors, num_classes)
    assert scores.dtype == np.float32
    for x in range(num_vectors):
        for c in range(num_classes):
            expected = sum(float(features[x, d]) * float(weights[c, d]) for d in range(num_features))
            assert scores[x, c] == pytest.approx(expected + (bias[c] if has_bias else 0), abs=1e-5)


def test_scores_by_hand() -> None:
    # (1, 1, 2) with (1, 2, 0) gives 3, with (0, -1, 0.5) gives 0.
    assert build().scores(np.array([[1, 1, 2]], dtype=np.float32)).tolist() == [[3, 0]]
    assert build(bias=[-4, 0.5]).scores(np.array([[1, 1, 2]], dtype=np.float32)).tolist() == [[-1, 0.5]]


def test_vectors_are_brought_to_length_1_where_the_classifier_was_fitted_so() -> None:
    normalizing = replace(build(bias=[-4, 0.5]), is_l2_normalized=True)
    # (0, 3, 4) / 5 = (0, 0.6, 0.8); with (1, 2, 0): 1.2 - 4; with (0, -1, 0.5): -0.2 + 0.5.
    scores = normalizing.scores(np.array([[0, 3, 4], [0, 0, 0]], dtype=np.float32))
    np.testing.assert_allclose(scores, [[-2.8, 0.3], [-4, 0.5]], rtol=1e-6)
    assert scores.dtype == np.float32


@given(seed=st.integers(0, 1000), exponent=st.integers(-37, 37), num_features=st.integers(1, 6))
def test_lengths_are_1_at_any_scale_and_zero_stays_zero(seed: int, exponent: int, num_features: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=(3, num_features)) * 10.0**exponent).astype(np.float32)
    vectors[1] = 0
    unit = normalize_rows(vectors)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), [1, 0, 1], atol=1e-5)
    own = vectors[0].astype(np.float64)
    np.testing.assert_allclose(unit[0], own / np.linalg.norm(own), rtol=1e-4, atol=1e-6)
    assert normalize_rows(np.empty((0, 2), dtype=np.float32)).shape == (0, 2)


def test_a_file_keeps_the_normalisation_and_programs_of_old_refuse_it(tmp_path: Path) -> None:
    replace(build(), is_l2_normalized=True).save(tmp_path / "c.safetensors")
    assert LinearClassifier.load(tmp_path / "c.safetensors").is_l2_normalized
    with safe_open(tmp_path / "c.safetensors", framework="numpy") as file:
        assert json.loads(file.metadata()[METADATA])["format_version"] == 2
    build().save(tmp_path / "c.safetensors")
    assert not LinearClassifier.load(tmp_path / "c.safetensors").is_l2_normalized
    with safe_open(tmp_path / "c.safetensors", framework="numpy") as file:
        assert json.loads(file.metadata()[METADATA]) == DESCRIPTION | {"encoder_hash": "0" * 16}


@pytest.mark.parametrize("bias", [None, [0.25, -3.0]])
def test_a_file_gives_back_what_was_saved(tmp_path: Path, bias: list[float] | None) -> None:
    saved = replace(build(bias=bias), classes=("Kopfstand", "läuft, schnell"), pooling="conv5_max")
    saved.save(tmp_path / "new" / "classifier.safetensors")
    loaded = LinearClassifier.load(tmp_path / "new" / "classifier.safetensors")
    assert (loaded.classes, loaded.encoder_hash, loaded.pooling) == (
        saved.classes,
        saved.encoder_hash,
        saved.pooling,
    )
    assert np.array_equal(loaded.weights_CD, saved.weights_CD)
    if bias is None:
        assert loaded.bias_C is None
    else:
        assert loaded.bias_C is not None
        assert loaded.bias_C.tolist() == bias
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["classifier.safetensors"]


def test_the_file_can_be_read_without_unreel(tmp_path: Path) -> None:
    build(bias=[1, 2]).save(tmp_path / "c.safetensors")
    tensors = load_file(tmp_path / "c.safetensors")
    assert tensors.keys() == {"weights", "bias"}
    assert tensors["weights"].tolist() == WEIGHTS.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ("a",), "weights_CD": WEIGHTS[:1]}, "two or more different names, got .'a'."),
        ({"classes": ("a", "a")}, "two or more different names"),
        ({"weights_CD": WEIGHTS[:1]}, r"a row for each of 2 classes, got shape \(1, 3\)"),
        ({"weights_CD": WEIGHTS[0]}, r"a row for each of 2 classes, got shape \(3,\)"),
        ({"bias_C": np.zeros(3, dtype=np.float32)}, r"a number for each of 2 classes, got shape \(3,\)"),
        ({"weights_CD": np.full((2, 3), np.nan, dtype=np.float32)}, "must be finite"),
        ({"bias_C": np.array([0, np.inf], dtype=np.float32)}, "must be finite"),
    ],
)
def test_what_is_no_classifier_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(build(), **change)


@pytest.mark.parametrize("shape", [(2, 4), (3,)])
def test_vectors_of_another_encoder_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"vectors of 3 numbers, got shape .*encoder 0000000000000000"):
        build().scores(np.zeros(shape, dtype=np.float32))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent.safetensors cannot be read as a linear classifier"):
        LinearClassifier.load(tmp_path / "absent.safetensors")
    with pytest.raises(WeightsError, match=f"{tmp_path} is a folder; give the file that `unreel evaluate"):
        LinearClassifier.load(tmp_path)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    build().save(path)
    content = path.read_bytes()
    for length in (0, 4, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="cannot be read as a linear classifier"):
            LinearClassifier.load(path)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    save_file({"weights": WEIGHTS}, tmp_path / "c.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="a safetensors file but no linear classifier"):
        LinearClassifier.load(tmp_path / "c.safetensors")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        (json.dumps({**DESCRIPTION, "format_version": 3}), "format version 3 .* reads 1 and 2; update"),
        (json.dumps({**DESCRIPTION, "is_l2_normalized": 1}), "is_l2_normalized must be true or false, got 1"),
        (json.dumps({"format_version": 1}), "is no linear classifier"),
        (json.dumps({**DESCRIPTION, "classes": ["a"]}), "is no linear classifier .*two or more"),
        (json.dumps({**DESCRIPTION, "classes": 3}), "is no linear classifier .*a list of names, got 3"),
        (json.dumps({**DESCRIPTION, "classes": "ab"}), "a list of names, got 'ab'"),
        (json.dumps({**DESCRIPTION, "classes": [1, 2]}), r"a list of names, got \[1, 2\]"),
        (json.dumps({**DESCRIPTION, "encoder_hash": 0}), "its encoder_hash must be a word, got 0"),
        (json.dumps({**DESCRIPTION, "pooling": ["frame"]}), "its pooling must be a word"),
        (json.dumps({**DESCRIPTION, "pooling": "max"}), r"c\.safetensors is no .*pooling must be .*'max'"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    save_file({"weights": WEIGHTS}, tmp_path / "c.safetensors", metadata={METADATA: text})
    with pytest.raises(WeightsError, match=message):
        LinearClassifier.load(tmp_path / "c.safetensors")


def test_a_file_without_weights_is_refused(tmp_path: Path) -> None:
    save_file(
        {"bias": WEIGHTS[:, 0].copy()},
        tmp_path / "c.safetensors",
        metadata={METADATA: json.dumps(DESCRIPTION)},
    )
    with pytest.raises(WeightsError, match=r"is no linear classifier .'weights'"):
        LinearClassifier.load(tmp_path / "c.safetensors")


@pytest.mark.parametrize("kind", [np.int64, np.bool_, np.float64, np.float16])
@pytest.mark.parametrize("name", ["weights", "bias"])
def test_numbers_of_another_kind_are_refused(tmp_path: Path, kind: type[np.generic], name: str) -> None:
    # The float64 may be too large for float32, which would otherwise be a warning and infinity.
    tensors: dict[str, Any] = {"weights": WEIGHTS, "bias": WEIGHTS[:, 0].copy()}
    tensors[name] = tensors[name].astype(kind) * (1e300 if kind is np.float64 else True)
    save_file(tensors, tmp_path / "c.safetensors", metadata={METADATA: json.dumps(DESCRIPTION)})
    with pytest.raises(WeightsError, match=rf"c\.safetensors is no .*its {name} must be float32, got"):
        LinearClassifier.load(tmp_path / "c.safetensors")
