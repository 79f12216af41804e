import json
import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

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
from unreel.report.evaluation_files import read_evaluations
from unreel.report.html_report import collect_results, name_runs, write_report
from unreel.report.run_record import read_run_record

VOID = {"meta", "img", "br", "link", "input", "hr", "rect", "line", "circle", "polyline"}


class Page(HTMLParser):
    """The words, tags and attributes of a page; whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.tags, self.attributes, self.open = (
            "",
            list[str](),
            list[tuple[str, str]](),
            list[str](),
        )
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += f" {data.strip()}" if data.strip() else ""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = write_run(tmp_path / "cacl")
    write_json(run / "evaluations" / "retrieval.json", retrieval(recall=0.439))
    return run


def read(path: Path) -> Page:
    page = Page(path.read_text(encoding="utf-8"))
    assert page.open == []
    return page


def test_a_page_about_one_run_tells_all_of_it(run: Path, tmp_path: Path) -> None:
    summary = write_report([run], tmp_path / "report.html")
    page = read(tmp_path / "report.html")
    for words in (
        "Run cacl",
        "moco.small",
        "finished, 20 steps",
        HASH,
        "Retrieval by label",
        "43.9",
        "chance 12.5",
        "learning rate",
        "Other than in the recipe:",
        "train.steps",
        "unreel pretrain 'a name'",
        "mind the gap",
    ):
        assert words in page.text
    assert summary.num_bytes == (tmp_path / "report.html").stat().st_size
    assert summary.num_curves == 6
    assert summary.runs_without_results == {}
    assert [result.name for result in summary.results] == ["cacl"]
    assert summary.notes == ()


def test_runs_stand_beside_each_other_and_what_is_none_of_them_says_so(run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "moco", digits=OTHER_HASH, seed=1)
    write_json(other / "retrieval.json", retrieval(OTHER_HASH, recall=0.25))
    pixels = write_json(tmp_path / "pixels.json", retrieval("pixels-1", encoder="pixels"))
    summary = write_report([run, other], tmp_path / "report.html", results=[pixels])
    text = read(tmp_path / "report.html").text
    assert "2 runs: cacl, moco" in text
    assert "What differs between the runs: setting cacl moco train.seed 0 1" in text
    assert "pixels none of the runs, pixels-1" in text
    assert [(result.name, result.run) for result in summary.results] == [
        ("cacl", 0),
        ("moco", 1),
        ("pixels", None),
    ]


def test_a_further_result_goes_to_the_run_whose_hash_it_names(run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "moco", digits=OTHER_HASH)
    path = write_json(tmp_path / "elsewhere.json", retrieval(OTHER_HASH))
    summary = write_report([run, other], tmp_path / "report.html", results=[path])
    assert [(result.name, result.run) for result in summary.results] == [("cacl", 0), ("moco", 1)]


def test_the_page_loads_nothing_and_runs_no_script(run: Path, tmp_path: Path) -> None:
    (run / "figures").mkdir()
    (run / "figures" / "a.png").write_bytes(PNG)
    write_report([run], tmp_path / "report.html")
    page = read(tmp_path / "report.html")
    assert not {"script", "link", "iframe", "object", "base", "form"} & set(page.tags)
    addresses = [value for name, value in page.attributes if name in ("src", "href", "srcset", "action")]
    assert all(address.startswith(("#", "data:image/")) for address in addresses)
    assert sum(address.startswith("data:image/png;base64,") for address in addresses) == 1
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"]
    policy = (tmp_path / "report.html").read_text()
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in policy
    assert "@import" not in policy
    assert "url(" not in policy


def test_links_in_the_page_lead_to_its_sections(run: Path, tmp_path: Path) -> None:
    write_report([run], tmp_path / "report.html")
    page = read(tmp_path / "report.html")
    targets = {value.removeprefix("#") for name, value in page.attributes if name == "href"}
    assert targets
    assert targets <= {value for name, value in page.attributes if name == "id"}


def test_everything_from_files_is_text(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'\x07"
    run = write_run(tmp_path / "run <b>", digits=bad)
    write_json(run / "recipe.json", {"recipe": bad, "settings": {bad: bad, "train": {bad: [bad]}}})
    write_json(
        run / "provenance.json", {"parts": [{"command": [bad], "cautions": [bad], bad: bad, "videos": bad}]}
    )
    write_metrics(run, [line(5, **{bad: 1.0}), line(10)])
    (run / "rejected.csv").write_text('path,kind,reason\na,failed,"<script>alert(3)</script>"\n')
    write_json(run / "a.json", {**retrieval(bad, encoder=bad, pooling=bad), "protocol": bad, bad: 1.0})
    write_json(run / "b.json", {**recognition(bad, confusion={bad: {bad: 1, "b": 2}}, name=bad)})
    write_json(run / "c.json", retrieval("else", encoder=bad, pooling=bad, by=bad))
    (run / "d<script>.png").write_bytes(PNG)
    write_report([run], tmp_path / "report.html", results=[tmp_path / "missing <script>.json"])
    page = read(tmp_path / "report.html")
    assert "script" not in page.tags
    assert page.tags.count("img") == 1
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "\x07" not in (tmp_path / "report.html").read_text()
    assert "alert(1)" in page.text


@pytest.mark.parametrize("kind", ["localizer", "classifier", ""])
def test_runs_that_leave_something_else_or_nothing_have_a_page(tmp_path: Path, kind: str) -> None:
    run = write_run(
        tmp_path / "run", recipe="bmn.small" if kind == "localizer" else "finetune.small", exported=""
    )
    if kind:
        write_export(run, kind, method="Localization" if kind == "localizer" else "Supervised")
    summary = write_report([run], tmp_path / "report.html")
    text = read(tmp_path / "report.html").text
    assert f"none, but a {kind}" in text if kind else "none yet" in text
    assert "There is no result of run" in text
    commands = summary.runs_without_results["run"]
    assert all(
        command.replace("'", "&#39;") in (tmp_path / "report.html").read_text() for command in commands
    )


def test_a_run_with_nothing_but_its_recipe_has_a_page(tmp_path: Path) -> None:
    write_json(tmp_path / "run" / "recipe.json", {"recipe": "cacl.small", "settings": {}})
    summary = write_report([tmp_path / "run"], tmp_path / "report.html")
    text = read(tmp_path / "report.html").text
    assert "just begun: no step yet" in text
    assert "No numbers have been written yet." in text
    assert "Nothing says which version and machine trained this run." in text
    assert "provenance.json is not there" in text
    assert summary.num_curves == 0


def test_a_run_that_diverged_and_was_killed_has_a_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", exported="")
    write_metrics(run, [line(5), line(10, loss=math.nan)], end='{"step": 15')
    write_report([run], tmp_path / "report.html")
    text = read(tmp_path / "report.html").text
    assert "not finished: step 10 of 20" in text
    assert "1 of 2 values are no finite numbers and leave gaps" in text


def test_what_cannot_be_used_is_named_on_the_page(run: Path, tmp_path: Path) -> None:
    (run / "evaluations" / "broken.json").write_text("{")
    summary = write_report(
        [run], tmp_path / "report.html", results=[tmp_path / "no.json"], figures=[tmp_path / "no.png"]
    )
    text = read(tmp_path / "report.html").text
    assert len(summary.notes) == 3
    for name in ("broken.json", "no.json", "no.png"):
        assert name in text


def test_videos_that_were_not_used_are_counted_with_the_reason(run: Path, tmp_path: Path) -> None:
    (run / "rejected.csv").write_text(
        "path,kind,reason\na,failed,broken\nb,left out,too short\nc,left out,too short\n"
    )
    write_report([run], tmp_path / "report.html")
    text = read(tmp_path / "report.html").text
    assert "1 failed: broken" in text
    assert "2 left out: too short" in text


def test_named_figures_come_before_those_of_the_runs(run: Path, tmp_path: Path) -> None:
    (run / "own.png").write_bytes(PNG)
    (tmp_path / "named.svg").write_text("<svg/>")
    assert write_report([run], tmp_path / "report.html", figures=[tmp_path / "named.svg"]).num_figures == 2
    text = (tmp_path / "report.html").read_text()
    assert text.index("named.svg") < text.index("own.png")


def test_confusions_are_drawn_or_listed(run: Path, tmp_path: Path) -> None:
    write_json(run / "recognition.json", recognition())
    large = {f"class {number}": {f"class {number + 1}": 1} for number in range(40)}
    write_json(run / "svm.json", {**recognition(confusion=large), "protocol": "svm"})
    write_report([run], tmp_path / "report.html")
    text = read(tmp_path / "report.html").text
    assert "cacl: Recognition" in text
    assert (
        "41 classes are too many for a drawing (at most 30). Of 40 pairs that are confused, the 20 most"
        in text
    )


def test_the_papers_numbers_stand_beside_those_of_their_method(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", recipe="cacl.small", exported="")
    write_export(run, method="CACL", recipe="cacl.small")
    write_json(run / "retrieval.json", retrieval())
    summary = write_report([run], tmp_path / "report.html")
    text = read(tmp_path / "report.html").text
    assert summary.num_paper_tables > 0
    assert "They are no reproduction unless" in text
    assert "in what it differs" in text


def test_the_same_files_give_the_same_page(run: Path, tmp_path: Path) -> None:
    pages = []
    for name in ("a.html", "b.html"):
        write_report([run], tmp_path / name)
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]


def test_a_run_that_comes_twice_is_shown_once(run: Path, tmp_path: Path) -> None:
    assert len(write_report([run, run / ".." / "cacl"], tmp_path / "report.html").runs) == 1


def test_a_folder_that_is_no_run_is_refused_and_nothing_is_written(run: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"holds no run: there is no recipe\.json"):
        write_report([run, tmp_path], tmp_path / "report.html")
    with pytest.raises(TrainingError, match="a report is one of runs, got none"):
        write_report([], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_runs_of_the_same_name_are_told_by_the_folders_above(tmp_path: Path) -> None:
    names = ("seed0/cacl", "seed1/cacl", "seed1/moco")
    records = [read_run_record(write_run(tmp_path / name)) for name in names]
    assert name_runs(records) == list(names)
    assert name_runs(records[1:]) == ["cacl", "moco"]
    assert len(set(name_runs([records[0], records[0]]))) == 2


def test_runs_that_share_an_encoder_share_its_results(tmp_path: Path) -> None:
    """The backbone of a linear probe is that of the run before it."""
    records = [read_run_record(write_run(tmp_path / name)) for name in ("cacl", "linear")]
    path = write_json(tmp_path / "retrieval.json", retrieval())
    (thing,) = collect_results(records, ["cacl", "linear"], read_evaluations([path]))
    assert (thing.name, thing.run) == ("cacl, linear", 0)


def test_a_result_that_is_named_twice_counts_once(run: Path) -> None:
    record = read_run_record(run)
    further = read_evaluations([run / ".." / run.name / "evaluations" / "retrieval.json"])
    assert len(collect_results([record], ["cacl"], further)) == 1


def test_a_result_that_names_nothing_is_one_of_the_run_in_whose_folder_it_lies(
    run: Path, tmp_path: Path
) -> None:
    values = {"protocol": "average recall of temporal proposals", "proposals": {"auc": 20.0}}
    write_json(run / "recall.json", values)
    further = read_evaluations([write_json(tmp_path / "recall.json", values)])
    things = collect_results([read_run_record(run)], ["cacl"], further)
    found = [(thing.name, thing.run) for thing in things if thing.evaluation.protocol != "retrieval"]
    assert found == [("cacl", 0), ("recall", None)]


def test_a_damaged_result_never_stops_the_page(run: Path, tmp_path: Path) -> None:
    """Every value of a result in turn becomes something that it should not be."""
    whole = json.dumps(recognition(confusion={"a": {"b": 1}}))
    values = json.loads(whole)
    for name in [
        *values,
        *(f"model.{key}" for key in values["model"]),
        *(f"settings.{key}" for key in values["settings"]),
    ]:
        for wrong in (None, [], "x", {"x": {"y": 1e300}}):
            damaged = json.loads(whole)
            *group, leaf = name.split(".")
            (damaged[group[0]] if group else damaged)[leaf] = wrong
            write_json(run / "evaluations" / f"{name}-{type(wrong).__name__}.json", damaged)
    write_report([run], tmp_path / "report.html")
    assert "Recognition" in read(tmp_path / "report.html").text
