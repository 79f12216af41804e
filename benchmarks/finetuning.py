"""Fine-tune networks that learned without labels, and one that did not, on a small labelled corpus.

All have the same network and see clips of the same size; each learns from the training videos alone.

    unreel scan jhmdb/split1.csv --out jhmdb.parquet
    python benchmarks/finetuning.py jhmdb.parquet --out finetuning --seeds 0 1 2 --at-once 2
"""

import argparse
import json
from pathlib import Path
from typing import Any

from experiments import Features, add_options, call, is_finished, print_results, read_options, run_all, train

WIDTH = 0.25
SIZES = (
    *("--method.backbone.width", str(WIDTH), "--method.augmentation.size-px", "44"),
    *("--data.height", "48", "--data.width", "64"),
)
CLIPS = ("--method.clips.num-frames", "8", "--method.clips.frame-stride", "2")
METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "V-MoCo": ("moco.small", CLIPS),
    "CCL": ("ccl.small", ("--method.clips.num-frames", "8", "--method.clips.span-frames", "16")),
    "CACL": ("cacl.small", (*CLIPS, "--method.frame-weights", "random")),
    "SCVRL": ("scvrl.small", (*CLIPS, "--method.visual-weight", "0.1", "--train.optimizer.lr", "0.001")),
}
SCRATCH = "from scratch"


def finetune(run: Path, catalog: Path, seed: int, start: tuple[object, ...], flags: tuple[str, ...]) -> Any:  # noqa: ANN401
    """Fine-tune, or go on with it, and return the result on the test split."""
    if not (run / "recognition.json").exists():
        words: tuple[object, ...] = ("finetune.small", "--run", run, *start, "--data.catalog", catalog)
        if (run / "recipe.json").exists():
            words = ("--resume", run)
        else:
            words = (*words, "--train.seed", seed, "--method.augmentation.flip-prob", "0.5", *flags)
        call(run.parent, "finetune", *words)
    return json.loads((run / "recognition.json").read_text())


def run_row(out: Path, catalog: Path, seed: int, title: str, flags: tuple[str, ...]) -> dict[str, float]:
    """Pre-train, fine-tune and probe one row of the table."""
    folder = out / f"seed{seed}"
    name = Features(title, Path()).name
    start: tuple[object, ...]
    if title == SCRATCH:
        input_flags = ("--method.input-from", "recipe", "--method.clips.num-frames", "8")
        start = ("--backbone", "c3d", *input_flags, "--method.clips.frame-stride", "2", *SIZES)
    else:
        recipe, own = METHODS[title]
        backbone = ("--backbone", "c3d", *SIZES, "--train.steps", "600")
        encoder = train(folder / f"{name}_pretrained", recipe, catalog, seed, (*backbone, *own))
        start = ("--encoder", encoder)
    run = folder / f"{name}_finetuned"
    result = finetune(run, catalog, seed, start, flags)
    assert is_finished(run)
    values = {"fine-tuned": 100 * result["top1"], "mean of classes": 100 * result["mean_class"]}
    if title != SCRATCH:
        values["linear probe"] = probe(folder, name, encoder, catalog, "none")
    else:
        values["linear probe"] = probe(folder, name, run / "encoder", catalog, "untrained")
    return values


def probe(folder: Path, name: str, encoder: Path, catalog: Path, baseline: str) -> float:
    """Return the accuracy of a linear layer on the features of a frozen encoder, in percent."""
    table, out = folder / f"{name}.parquet", folder / f"{name}.linear.json"
    if not table.exists():
        words = ("--encoder", encoder, "--catalog", catalog, "--out", table)
        call(folder, "extract", *words, "--baseline", baseline, "--clips-per-video", 10)
    if not out.exists():
        lrs = ("--lrs", 0.1, 1, 10, "--batch-norm")
        call(folder, "evaluate", "linear", "--features", table, *lrs, "--out", out)
    return 100 * float(json.loads(out.read_text())["levels"]["video"]["top1"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("catalog", type=Path, help="catalog with labels and the splits train and test")
    parser.add_argument("--methods", nargs="+", default=[SCRATCH, *METHODS], choices=[SCRATCH, *METHODS])
    add_options(parser, out="finetuning")
    options = read_options(parser)
    rows = [
        (options.out, options.catalog, seed, title, tuple(options.flags))
        for seed in options.seeds
        for title in options.methods
    ]
    print_results(str(options.catalog), [row[3] for row in rows], run_all(run_row, rows, options))


if __name__ == "__main__":
    main()
