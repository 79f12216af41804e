"""Measure how good a representation is, without training the network any further."""

from unreel.cli.subcommands import CommandGroup

PROTOCOLS = {
    "retrieval": ("evaluate_retrieval", "recall@k: does a query find its class among its k nearest?"),
    "knn": ("evaluate_knn", "k-NN accuracy: do the k nearest vote for the right class?"),
    "svm": (
        "evaluate_svm",
        "linear SVM: can the class of a video be read from its vector by weighted sums?",
    ),
    "linear": (
        "evaluate_linear",
        "linear probe: how well does one layer, trained by SGD on frozen features, tell the classes?",
    ),
    "recognition": (
        "evaluate_recognition",
        "a fine-tuned classifier: does it tell the class of videos that it has not seen?",
    ),
    "cycle": (
        "evaluate_cycle",
        "CCL's tasks: do frames find their clip, clips their frames, both their class?",
    ),
    "similarity": (
        "evaluate_similarity",
        "CACL's pairs: how near are the embeddings of two networks and two views?",
    ),
    "degree": (
        "evaluate_degree",
        "CACL's shuffle degree: how well is it told how far a clip was shuffled?",
    ),
    "shuffle-sensitivity": (
        "evaluate_shuffle_sensitivity",
        "SCVRL's question: how much is lost when the frames of test clips come in random order?",
    ),
    "motion-gain": (
        "evaluate_motion_gain",
        "SCVRL's question: does one encoder gain on another where there is much motion?",
    ),
    "low-shot": (
        "evaluate_low_shot",
        "few labels: how well do classes become known from a part of the training videos?",
    ),
    "average": (
        "evaluate_average",
        "mean over splits: what do results of one protocol, one per split, say together?",
    ),
}
"""Protocol -> (module of this package, what it asks). Modules are imported only when their protocol is
run."""


def main(argv: list[str]) -> None:
    """Run one protocol; without one, list them and leave with 2."""
    CommandGroup(
        name="evaluate",
        description=__doc__ or "",
        kind="protocol",
        members=PROTOCOLS,
        example="unreel evaluate retrieval --features features.parquet --out retrieval.json",
    ).run(argv)
