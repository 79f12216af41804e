"""What the papers' columns measure, in the words of `unreel evaluate`."""

from collections import Counter

import pytest

from unreel.report.paper_protocols import (
    FRESH_WEIGHTS,
    TASKS,
    Measure,
    find_published,
    find_rows,
    find_settings,
    identify,
)
from unreel.report.paper_results import PaperResult, load_paper_results


@pytest.mark.parametrize(
    ("protocol", "metric", "measure"),
    [
        ("video retrieval", "top5", ("retrieval", "top5")),
        ("video retrieval, modality V", "R@10", ("retrieval", "top10")),
        ("video retrieval, modality VF", "R@10", None),
        ("retrieval task A frame=>video", "top1", ("frame_to_video", "top1")),
        ("retrieval task B video=>frame", "top1", ("video_to_frame", "top1")),
        ("retrieval task C frame=>frame", "top50", ("frame_to_frame", "top50")),
        ("retrieval task C video=>video", "top50", ("video_to_video", "top50")),
        ("linear SVM on frozen video features", "top1", ("svm", "top1")),
        ("linear", "top1", ("linear", "top1")),
        ("linear (FC only)", "top1", ("linear", "top1")),
        ("linear probe, modality V", "top1", ("linear", "top1")),
        ("frozen backbone (linear), modality V", "top1", ("linear", "top1")),
        ("fine-tune all", "top1", ("finetune", "top1")),
        ("fine-tune all, modality VA", "top1", None),
        ("full fine-tune", "top1", ("finetune", "top1")),
        ("fine-tune TSN", "top1", ("finetune", "top1")),
        ("fine-tune TSM", "top1", ("finetune tsm", "top1")),
        ("fine-tune TSN, classification", "top1", ("finetune", "top1")),
        ("ablation (caption: linear; Sec. 4.6: fine-tune)", "top1", ("finetune", "top1")),
        ("linear, test frames normal", "top1", ("shuffle", "normal")),
        ("linear, test frames shuffled", "top1", ("shuffle", "shuffled")),
        ("linear, printed drop under shuffling", "top1 drop", ("shuffle", "drop")),
        ("low-shot full fine-tune, 5% of train", "top1", ("low-shot", "5%")),
        ("low-shot full fine-tune, 5% of train", "relative gain % (SCVRL-CVRL)/SCVRL", None),
        ("average positive-pair cosine similarity", "sim(Gq,Tk)", ("similarity", "gq_tk")),
        ("BMN proposals", "AR@100", ("proposals", "AR@100")),
        ("cross-subject", "F-measure", ("f-measure", "F-measure")),
        ("parameter count", "M params", None),
        ("per-class, linear: Uncovering sth", "delta top1", None),
    ],
)
def test_a_protocol_is_known_by_its_words(
    protocol: str, metric: str, measure: tuple[str, str] | None
) -> None:
    assert identify(PaperResult(protocol=protocol, metric=metric)) == measure


def test_nearly_all_numbers_on_pictures_count_what_unreel_counts() -> None:
    results = [own for own in load_paper_results() if own.modality in ("", "V")]
    unknown = Counter(own.metric for own in results if identify(own) is None)
    assert unknown == {
        "normalised motion": 10,
        "delta top1": 10,
        "M params": 7,
        "relative gain % (SCVRL-CVRL)/SCVRL": 6,
    }


def test_every_task_is_in_words() -> None:
    found = {measure.task for own in load_paper_results() if (measure := identify(own)) is not None}
    assert found == set(TASKS)


def test_measures_can_be_sorted_and_looked_up() -> None:
    assert {Measure("retrieval", "top1"): 1.0}[Measure("retrieval", "top1")] == 1.0
    assert min(Measure("svm", "top1"), Measure("retrieval", "top5")).task == "retrieval"


def test_sizes_are_those_of_the_splits() -> None:
    published = find_published("UCF101 split1")
    assert published is not None
    assert published.classes == 101
    assert published.tested + published.learned == 13320
    hmdb = find_published("HMDB51 split1")
    assert hmdb is not None
    assert (hmdb.tested, hmdb.learned) == (51 * 30, 51 * 70)
    assert find_published("sample videos") is None


def test_every_data_set_of_the_papers_has_a_size() -> None:
    names = {own.dataset for own in load_paper_results()} - {"-"}
    assert [name for name in names if find_published(name) is None] == []


def test_settings_are_of_a_task_and_sometimes_of_a_table() -> None:
    assert find_settings("CACL", "4", "retrieval")["pooling"] == "conv5_max"
    assert find_settings("VCLR", "4", "retrieval")["clips per video"] == "30"
    assert find_settings("VCLR", "8", "retrieval")["frames"] == "32"
    assert find_settings("VCLR", "10", "finetune") == {}
    assert find_settings("CCL", "4-5", "nothing") == {}


def test_rows_of_a_method_are_rows_of_the_papers() -> None:
    methods = {own.method for own in load_paper_results()}
    known = ["cacl", "ccl", "cvrl", "dpc", "moco", "pace", "scvrl", "seco", "vclr", "vclrclips", "vclrdpc"]
    for method in (*known, "vince", FRESH_WEIGHTS):
        assert find_rows(method)
        assert set(find_rows(method)) <= methods
    assert find_rows("frame-moco") == ()
    assert find_rows("") == ()
