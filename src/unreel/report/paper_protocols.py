"""What the papers' columns measure, in the words of `unreel evaluate`, and how the papers measured it."""

from collections.abc import Mapping
from typing import NamedTuple

from unreel.report.paper_results import PaperResult


class Measure(NamedTuple):
    """A kind of number: equal for a column of a paper and a number of a result where they may stand together.

    Attributes:
        task: what is done with the network, such as "retrieval".
        number: what is counted, such as "top5".
    """

    task: str
    number: str


TASKS: Mapping[str, str] = {
    "retrieval": "retrieval of videos",
    "frame_to_video": "frames that find their clip",
    "video_to_frame": "clips that find their frames",
    "frame_to_frame": "retrieval of frames",
    "video_to_video": "retrieval of clips",
    "svm": "linear SVM",
    "linear": "linear evaluation",
    "finetune": "fine-tuning",
    "finetune tsm": "fine-tuning as TSM",
    "f-measure": "F-measure",
    "low-shot": "fine-tuning with few labels",
    "shuffle": "test frames as they are and shuffled",
    "similarity": "cosine of pairs",
    "proposals": "proposals in time",
}
"""Task -> what it is, in words."""

_PICTURES = ("", "V")
_BY_START: tuple[tuple[str, str], ...] = (
    ("retrieval task A", "frame_to_video"),
    ("retrieval task B", "video_to_frame"),
    ("retrieval task C frame", "frame_to_frame"),
    ("retrieval task C video", "video_to_video"),
    ("video retrieval", "retrieval"),
    ("linear SVM", "svm"),
    ("linear, ", "shuffle"),
    ("linear", "linear"),
    ("frozen backbone", "linear"),
    ("low-shot", "low-shot"),
    ("fine-tune TSM", "finetune tsm"),
    ("fine-tune", "finetune"),
    ("full fine-tune", "finetune"),
    ("ablation", "finetune"),  # decision S12
    ("cross-", "f-measure"),
    ("average positive-pair", "similarity"),
    ("BMN proposals", "proposals"),
)
_OF_SHUFFLE = {"normal": "normal", "shuffled": "shuffled", "shuffling": "drop"}


def identify(result: PaperResult) -> Measure | None:
    """Return what a number of a paper counts; None where no command of unreel counts the same.

    Networks that see or hear more than pictures are none of unreel's.
    """
    if result.modality not in _PICTURES:
        return None
    task = next((task for start, task in _BY_START if result.task.startswith(start)), None)
    if task is None:
        return None
    if task == "shuffle":
        return Measure(task, _OF_SHUFFLE[result.task.split()[-1]])
    if task == "low-shot":
        share = result.task.partition("% of train")[0].split()[-1]
        return Measure(task, f"{share}%") if result.metric == "top1" else None
    if task == "similarity":
        pair = result.metric.removeprefix("sim(").removesuffix(")")
        return Measure(task, pair.lower().replace(",", "_"))
    is_recall = result.metric.startswith("R@")
    return Measure(task, f"top{result.metric[2:]}" if is_recall else result.metric)


class Published(NamedTuple):
    """The size of a data set by its authors.

    Attributes:
        classes: how many.
        tested: labelled videos that the papers test on; 0 where that is not one number.
        learned: those that they learn from or search.
    """

    classes: int
    tested: int = 0
    learned: int = 0


_DATASETS: Mapping[str, Published] = {
    "UCF101 split1": Published(101, 3783, 9537),
    "UCF101 test split1": Published(101, 3783),
    "UCF101": Published(101),
    "HMDB51 split1": Published(51, 1530, 3570),
    "HMDB51": Published(51),
    "Kinetics-400": Published(400),
    "Something-Something-v2": Published(174, 24777, 168913),
    "Diving-48": Published(48, 1970, 15027),
    "ActivityNet v1.3": Published(200),
    "MMAct": Published(37),
}


def find_published(dataset: str) -> Published | None:
    """Return the size of a data set of the papers, as far as it is known."""
    return _DATASETS.get(dataset)


_CACL = {"frames": "16", "input": "112 x 112"}
_FRAMES_30 = {
    "level": "video",
    "pooling": "average",
    "clips per video": "30",
    "frames": "1",
    "input": "224 x 224",
}
_TSN = {
    "level": "video",
    "clips per video": "1",
    "frames": "25 (8 on HMDB51 and Something-Something)",
    "input": "256 x 256 (224 x 224 on Something-Something)",
}
_S3D = {"frames": "32", "input": "128 x 128"}
_DPC = {"frames": "5 per block", "input": "128 x 128"}
_MVIT = {
    "level": "video",
    "pooling": "class_token",
    "clips per video": "10, of 3 crops each",
    "frames": "16",
    "input": "224 x 224",
}
_CCL = {"level": "video", "clips per video": "10", "frames": "8", "input": "112 x 112"}
_UNKNOWN: Mapping[str, str] = {}

_SETTINGS: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("CACL", "retrieval"): {**_CACL, "level": "video", "pooling": "conv5_max", "clips per video": "10"},
    ("CACL", "finetune"): {**_CACL, "level": "video", "clips per video": "10", "splits averaged": "3"},
    ("CACL", "similarity"): _CACL,
    ("VCLR", "svm"): _FRAMES_30,
    ("VCLR", "retrieval"): _FRAMES_30,
    ("VCLR", "finetune"): _TSN,
    ("VCLR", "finetune tsm"): _TSN,
    ("VCLR", "proposals"): {"features": "class scores of a fine-tuned TSN, every 16 frames"},
    ("CCL", "frame_to_video"): {**_CCL, "level": "clip"},
    ("CCL", "video_to_frame"): {**_CCL, "level": "clip"},
    ("CCL", "frame_to_frame"): {**_CCL, "level": "clip"},
    ("CCL", "video_to_video"): {**_CCL, "level": "clip"},
    ("CCL", "finetune"): _CCL,
    ("CCL", "linear"): _CCL,
    ("CCL", "f-measure"): _CCL,
    **{("SCVRL", task): _MVIT for task in ("linear", "finetune", "low-shot")},
    ("SCVRL", "shuffle"): {**_MVIT, "classifier": "linear layer"},
}
_SETTINGS_OF_TABLES: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("VCLR", "8"): _S3D,
    ("VCLR", "9"): _DPC,
    ("VCLR", "10"): _UNKNOWN,
}


def find_settings(paper: str, table: str, task: str) -> Mapping[str, str]:
    """Return how a paper tested its own method, by name of the setting; what it leaves open is not there.

    Args:
        paper: its name.
        table: number of the table.
        task: one of `TASKS`.
    """
    return _SETTINGS_OF_TABLES.get((paper, table), _SETTINGS.get((paper, task), _UNKNOWN))


FRESH_WEIGHTS = "fresh weights"
_ROWS: Mapping[str, tuple[str, ...]] = {
    "cacl": ("CACL", "CACL* (Kinetics-400)", "SDP+V-MoCo+T", "(Gq,Gk),(Gq,Tq),(Gq,Tk),(Tq,Tk)"),
    "ccl": ("CCL", "CCL(FC)", "CCL(E2E)", "L_v + L_f + P"),
    "cvrl": ("CVRL", "CVRL [38]"),
    "dpc": ("DPC",),
    "moco": ("V-MoCo",),
    "pace": ("Pace Pred", "PacePred"),
    "scvrl": ("SCVRL", "SCVRL separate heads", "SCVRL CLS", "SCVRL k_t=2", "beta = 5"),
    "seco": ("SeCo",),
    "vclr": ("VCLR", "all four", "3 segments"),
    "vclrclips": ("L_clip + L_video + L_order",),
    "vclrdpc": ("DPC + L_video + L_order",),
    "vince": ("VINCE",),
    FRESH_WEIGHTS: ("Rand Init", "Random init."),
}


def find_rows(method: str) -> tuple[str, ...]:
    """Return the names by which the papers' rows call a method of unreel; none where no table has it.

    Args:
        method: in small letters, as `RunRecord.method` has it, or `FRESH_WEIGHTS`.
    """
    return _ROWS.get(method, ())
