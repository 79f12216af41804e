"""What the papers' tables are about, and which of their fields stand side by side as columns."""

from collections.abc import Mapping
from dataclasses import dataclass

from unreel.report.paper_results import find_paper, find_table

TITLES: Mapping[str, str] = {
    "CACL": "Cross-Architecture Self-supervised Video Representation Learning",
    "VCLR": "Video Contrastive Learning with Global Context",
    "SCVRL": "SCVRL: Shuffled Contrastive Video Representation Learning",
    "CCL": "Cycle-Contrast for Self-Supervised Video Representation Learning",
}
"""Paper -> title."""


@dataclass(frozen=True)
class Topic:
    """What a table is about.

    Attributes:
        text: in a few words.
        across: fields whose values stand side by side; all others make the rows.
        remarks: what a reader should know who compares the table with another, or with the text.
    """

    text: str
    across: tuple[str, ...] = ("metric",)
    remarks: tuple[str, ...] = ()


_ABLATION = (
    "the caption says linear evaluation, section 4.6 fine-tuning; the values are near those of fine-tuning, "
    "and own results are compared as such (decision S12)",
)
_RANDOM = (
    "linear values of Rand Init differ between tables: 13.4 on UCF101 and 9.5 on Diving-48 in Table 2, "
    "18.7 in Table 5 and 6.9 in Table 4; they are as printed",
)

_TOPICS: Mapping[tuple[str, str], Topic] = {
    ("CACL", "1"): Topic("retrieval with parts of the method: shuffle degree (SDP), V-MoCo, transformer (T)"),
    ("CACL", "2"): Topic("retrieval with one to four kinds of positive pairs"),
    ("CACL", "3"): Topic("mean cosine of the four kinds of positive pairs"),
    ("CACL", "4"): Topic("retrieval, compared with other methods"),
    ("CACL", "5"): Topic(
        "fine-tuning, compared with other methods",
        remarks=(
            "with R(2+1)D on HMDB51 VideoMoCo (49.2, from Kinetics-400) is above CACL (48.8, from UCF101)",
        ),
    ),
    ("VCLR", "1"): Topic("linear SVM on Kinetics-400, compared with other methods"),
    ("VCLR", "2"): Topic("fine-tuning on UCF101 and HMDB51, compared with other methods"),
    ("VCLR", "3"): Topic("fine-tuning on Something-Something, as TSN and as TSM", ("task", "metric")),
    ("VCLR", "4"): Topic("retrieval, compared with other methods"),
    ("VCLR", "5"): Topic("ActivityNet: classes, and proposals of a BMN", ("task", "metric")),
    ("VCLR", "6"): Topic(
        "linear SVM with parts of the loss", remarks=("the row with L_intra alone has no number",)
    ),
    ("VCLR", "7"): Topic("linear SVM by number of segments"),
    ("VCLR", "8"): Topic(
        "VCLR's losses added to a 3D network on clips (CoCLR's first stage)", ("task", "metric")
    ),
    ("VCLR", "9"): Topic("VCLR's losses added to DPC"),
    ("VCLR", "10"): Topic("pre-training on HACS, fine-tuning on UCF101 and HMDB51"),
    ("VCLR", "11"): Topic(
        "UCF101 and HMDB51, with sound, text and flow, frozen or fine-tuned", ("task", "metric")
    ),
    ("SCVRL", "2"): Topic(
        "linear evaluation with test frames as they are and shuffled",
        ("task", "metric"),
        (
            "CVRL on Diving-48 has 12.0 here and 12.1 in Table 4",
            *_RANDOM,
        ),
    ),
    ("SCVRL", "3"): Topic(
        "gain over CVRL of the five classes that gain most and least, beside their motion",
        ("method", "metric"),
    ),
    ("SCVRL", "4"): Topic(
        "Diving-48, fine-tuned and linear",
        ("task", "metric"),
        ("CVRL's linear 12.1 is 12.0 in Table 2", *_RANDOM),
    ),
    ("SCVRL", "5"): Topic("UCF101 and HMDB51, fine-tuned and linear", ("task", "metric"), _RANDOM),
    ("SCVRL", "6"): Topic(
        "Something-Something, fine-tuned and linear",
        ("task", "metric"),
        ("Rand Init fine-tuned has 38.7 here and 40.0 in Table 7",),
    ),
    ("SCVRL", "7"): Topic(
        "fine-tuning with few labels of Something-Something",
        ("task",),
        (
            "relative gains are shares of SCVRL's accuracy, not of CVRL's",
            "Rand Init with all labels has 40.0 here and 38.7 in Table 6",
        ),
    ),
    ("SCVRL", "8a"): Topic("sharpness of targeted sampling", remarks=_ABLATION),
    ("SCVRL", "8b"): Topic("one head for both losses, or two", remarks=_ABLATION),
    ("SCVRL", "8c"): Topic("contrast with shuffles, or a classifier of shuffles", remarks=_ABLATION),
    ("SCVRL", "8d"): Topic("class token, or the mean of all others", remarks=_ABLATION),
    ("SCVRL", "8e"): Topic("temporal kernel of the projection of cubes", remarks=_ABLATION),
    ("CCL", "2"): Topic("frames find their clips, and clips their frames", ("task", "metric")),
    ("CCL", "3"): Topic("retrieval of frames by frames, and of clips by clips, of the same class"),
    ("CCL", "4"): Topic("fine-tuning, compared with other methods"),
    ("CCL", "4-5"): Topic("parameters of the networks, in millions"),
    ("CCL", "5"): Topic("linear evaluation, compared with other methods"),
    ("CCL", "6"): Topic(
        "F-measure on MMAct, across sessions and across subjects",
        remarks=("the text says 3.9 over random weights across sessions; 65.1 - 62.2 is 2.9",),
    ),
    ("CCL", "7"): Topic("fine-tuning with parts of the loss"),
}


def find_topic(paper: str, table: str) -> Topic:
    """Return what a table is about.

    Raises:
        ValueError: there is no such paper or table; the message lists those that there are.
    """
    return _TOPICS[find_paper(paper), find_table(paper, table)[0].number]
