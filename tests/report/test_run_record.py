import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.features.tiny import build_frame_encoder
from tests.report.run_folders import (
    HASH,
    OTHER_HASH,
    PNG,
    line,
    recognition,
    retrieval,
    write_export,
    write_json,
    write_metrics,
    write_run,
)
from unreel.errors import TrainingError
from unreel.report.evaluation_files import parse_evaluation
from unreel.report.run_record import find_runs, read_run_record


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def evaluation(values: dict[str, Any]) -> Any:
    (found,) = parse_evaluation(Path("elsewhere.json"), values)
    return found


def test_a_finished_run_says_all_of_itself(run: Path) -> None:
    record = read_run_record(run)
    assert (record.name, record.recipe, record.method) == ("run", "moco.small", "moco")
    assert record.settings["train"]["steps"] == 20
    assert record.provenance[0]["videos"] == 300
    assert record.metrics["step"] == [5, 10, 15, 20]
    assert (record.step, record.num_steps, record.is_finished) == (20, 20, True)
    assert record.status == "finished, 20 steps"
    assert record.encoder_hash == HASH
    assert (record.num_failed, record.num_left_out) == (0, 0)
    assert record.notes == ()


def test_the_hash_is_that_which_features_of_the_encoder_name(run: Path) -> None:
    """Of an encoder that was really written: a change of the files' form shows here."""
    encoder = build_frame_encoder()
    encoder.save(run / "encoder")
    record = read_run_record(run)
    assert record.encoder_hash == encoder.hash
    assert record.status == "finished, 20 steps"  # the encoder says no step, settings and metrics do


def test_a_run_that_was_cut_off_says_how_far_it_came(run: Path) -> None:
    write_metrics(run, [line(5), line(10)], end='{"step": 15, "los')
    (run / "encoder" / "encoder.json").unlink()
    record = read_run_record(run)
    assert record.status == "not finished: step 10 of 20"
    assert not record.is_finished
    assert record.encoder_hash == ""
    assert record.hashes == frozenset()


def test_a_run_that_was_stopped_after_an_export_is_not_finished(run: Path) -> None:
    write_export(run, step=15)
    write_metrics(run, [line(5), line(10)])
    assert read_run_record(run).status == "not finished: step 15 of 20"


def test_a_run_that_has_just_begun_has_no_step(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", exported="", steps=0, epochs=3)
    (run / "metrics.jsonl").unlink()
    assert read_run_record(run).status == "just begun: no step yet"
    write_metrics(run, [])
    assert read_run_record(run).metrics == {}


@pytest.mark.parametrize(
    ("recipe", "exported", "method"),
    [("finetune.small", "classifier", "Supervised"), ("bmn.small", "localizer", "Localization")],
)
def test_classifiers_and_localisers_are_exports_too(
    tmp_path: Path, recipe: str, exported: str, method: str
) -> None:
    run = write_run(tmp_path / "run", recipe=recipe, exported="")
    write_export(run, exported, method=method)
    record = read_run_record(run)
    assert record.method == method.lower()
    assert record.is_finished
    assert record.encoder_hash == ""
    assert record.hashes == {HASH}


def test_settings_of_another_version_are_taken_as_they_are(run: Path) -> None:
    write_json(run / "recipe.json", {"recipe": "future.small", "settings": {"method": {"new": [1, {}]}}})
    record = read_run_record(run)
    assert record.settings == {"method": {"new": [1, {}]}}
    assert record.num_steps == 20


@pytest.mark.parametrize("content", ["{", "[]", '{"recipe": "a"}', '{"recipe": "a", "settings": [1]}'])
def test_a_damaged_recipe_is_an_error_that_names_the_file(run: Path, content: str) -> None:
    (run / "recipe.json").write_text(content)
    with pytest.raises(TrainingError, match=r"recipe\.json cannot be read"):
        read_run_record(run)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(TrainingError, match=r"holds no run: there is no recipe\.json"):
            read_run_record(folder)


def test_what_is_missing_or_damaged_is_noted(run: Path) -> None:
    (run / "provenance.json").unlink()
    (run / "encoder" / "encoder.json").write_text("{")
    (run / "broken.json").write_text("{")
    notes = read_run_record(run).notes
    assert len(notes) == 3
    for name, note in zip(("encoder.json", "provenance.json", "broken.json"), notes, strict=True):
        assert name in note


def test_results_of_the_run_are_told_from_those_of_something_else(run: Path) -> None:
    write_json(run / "evaluations" / "own.json", retrieval())
    write_json(run / "evaluations" / "pixels.json", retrieval("pixels-1"))
    write_json(run / "recall.json", {"protocol": "average recall of temporal proposals"})
    write_json(run / "gain.json", {"protocol": "motion-gain", "first": "a", "second": "b"})
    record = read_run_record(run)
    assert [own.path.name for own in record.evaluations] == ["recall.json", "own.json"]
    assert [own.path.name for own in record.other_evaluations] == ["gain.json", "pixels.json"]


def test_a_classifier_owns_its_results_under_other_views_too(tmp_path: Path) -> None:
    """Views are part of a classifier's hash; where its weights come from is not."""
    run = write_run(tmp_path / "run", recipe="finetune.small", exported="classifier")
    record = read_run_record(run)
    origin = record.exported["classifier"]["provenance"]
    assert record.owns(evaluation(recognition(HASH)))
    assert record.owns(evaluation(recognition(OTHER_HASH, provenance=origin)))
    assert not record.owns(evaluation(recognition(OTHER_HASH, provenance={**origin, "seed": 5})))
    assert not record.owns(evaluation(recognition(OTHER_HASH)))
    write_json(run / "classifier" / "classifier.json", {"hash": HASH})
    assert not read_run_record(run).owns(evaluation(recognition(OTHER_HASH)))


def test_a_result_of_a_whole_run_must_name_run_step_and_settings(run: Path) -> None:
    record = read_run_record(run)
    settings = {
        "run": "moved/run",
        "recipe": "moco.small",
        "step": 20,
        "weights_hash": "w",
        "method": record.settings["method"],
    }
    assert record.owns(evaluation({"protocol": "similarity", "settings": settings}))
    for change in ({"run": "other"}, {"recipe": "moco.ucf101"}, {"step": 10}, {"method": {}}):
        assert not record.owns(evaluation({"protocol": "similarity", "settings": {**settings, **change}}))


def test_videos_that_were_not_used_are_counted(run: Path) -> None:
    (run / "rejected.csv").write_text("path,kind,reason\na,failed,x\nb,failed,y\nc,left out,z\n")
    record = read_run_record(run)
    assert (record.num_failed, record.num_left_out) == (2, 1)


def test_plain_values_are_fit_for_json(run: Path) -> None:
    write_metrics(run, [line(5, loss=math.nan, contrast=math.inf), line(10)])
    write_json(run / "retrieval.json", retrieval())
    (run / "figures").mkdir()
    (run / "figures" / "a.png").write_bytes(PNG)
    plain = read_run_record(run).to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["metrics"]["loss"] == [None, 1.0]
    assert plain["metrics"]["contrast"][0] is None
    assert plain["evaluations"][0]["numbers"]["video.recall.1"] == 0.5
    assert plain["figures"] == ["a.png"]
    assert plain["status"] == "finished, 20 steps"


def test_deep_or_illegible_settings_are_fit_for_json_too(run: Path) -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    write_json(
        run / "recipe.json", {"recipe": "a\x07", "settings": {"method": {"\ud800": deep, "b": "\x1b[31m"}}}
    )
    plain = read_run_record(run).to_dict()
    assert json.dumps(plain, allow_nan=False).encode()
    assert plain["settings"]["method"]["b"] == "?[31m"
    assert plain["recipe"] == "a?"


def test_runs_are_found_in_a_folder_and_two_levels_below(tmp_path: Path) -> None:
    for name in ("", "b", "a", "seed0/cacl", "too/far/away"):
        write_json(tmp_path / name / "recipe.json", {})
    (tmp_path / "checkpoints").mkdir()
    found = [str(path.relative_to(tmp_path)) for path in find_runs(tmp_path)]
    assert found == [".", "a", "b", "seed0/cacl"]
    assert find_runs(tmp_path / "missing") == []
