"""Run folders as training leaves them, without training: only what a report reads."""

import json
from pathlib import Path
from typing import Any

from unreel.config import config_to_dict
from unreel.recipes.find import find_recipe_of
from unreel.train.recipe import TrainingRecipe

HASH = "0123456789abcdef"
OTHER_HASH = "fedcba9876543210"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def write_json(path: Path, values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
    return path


def line(step: int, **changes: Any) -> dict[str, Any]:
    """Return a line of metrics: the loss falls, its one term is half of it."""
    loss = 10.0 / step
    return {
        "step": step,
        "epoch": step / 4,
        "loss": loss,
        "contrast": loss / 2,
        "batch_accuracy": 1 - 1 / step,
        "lr": 0.01,
        "videos_per_sec": 50.0,
        "data_wait_fraction": 0.25,
        **changes,
    }


def write_metrics(run: Path, lines: list[Any], *, end: str = "") -> None:
    run.mkdir(parents=True, exist_ok=True)
    (run / "metrics.jsonl").write_text("".join(json.dumps(own) + "\n" for own in lines) + end)


def write_export(run: Path, kind: str = "encoder", *, digits: str = HASH, **origin: Any) -> None:
    """Write the description of an exported network, without its weights."""
    provenance = {
        "method": "MoCo",
        "recipe": "moco.small",
        "run": run.name,
        "step": 20,
        "num_steps": 20,
        **origin,
    }
    write_json(
        run / kind / f"{kind}.json", {"format": f"unreel-{kind}", "hash": digits, "provenance": provenance}
    )


def write_run(
    run: Path, *, recipe: str = "moco.small", exported: str = "encoder", digits: str = HASH, **changes: Any
) -> Path:
    """Write a finished run of 20 steps; ``changes`` are settings of its training, such as ``seed``."""
    settings = config_to_dict(find_recipe_of(TrainingRecipe, "moco.small" if ":" in recipe else recipe)())
    settings["train"].update({"steps": 20, **changes})
    write_json(run / "recipe.json", {"recipe": recipe, "settings": settings})
    part = {
        "first_step": 0,
        "unreel": "0.1.0",
        "packages": {"torch": "2.13.0"},
        "command": ["unreel", "pretrain", "a name"],
        "commit": "",
        "seed": settings["train"]["seed"],
        "videos": 300,
        "cautions": ["mind the gap"],
    }
    write_json(run / "provenance.json", {"parts": [part]})
    write_metrics(run, [line(step) for step in (5, 10, 15, 20)])
    (run / "rejected.csv").write_text("path,kind,reason\n")
    if exported:
        write_export(run, exported, digits=digits)
    return run


def retrieval(
    digits: str = HASH, *, recall: float = 0.5, by: str = "label", **features: Any
) -> dict[str, Any]:
    """Return a result of `evaluate retrieval` on 8 queries."""
    return {
        "protocol": "retrieval",
        "settings": {"by": by, "query_split": "test", "gallery_split": "train", "is_centered": False},
        "features": {
            "encoder_hash": digits,
            "encoder": "run/encoder",
            "pooling": "average",
            "clips_per_video": 10,
            "catalog_hash": "c" * 16,
            **features,
        },
        "levels": {
            "video": {
                "queries": 8,
                "gallery": 24,
                "recall": {"1": recall, "5": 1.0},
                "chance": {"1": 0.125, "5": 0.5},
                "recall_by_class": {"up": {"1": 1.0}},
            }
        },
        "seconds": 0.5,
    }


def recognition(digits: str = HASH, *, confusion: Any = None, **model: Any) -> dict[str, Any]:
    """Return a result of `evaluate recognition`."""
    return {
        "protocol": "recognition",
        "queries": 4,
        "classes": 2,
        "top1": 0.75,
        "top5": None,
        "chance": 0.5,
        "accuracy_by_class": {"up": 1.0},
        "confusion": confusion or {"up": {"up": 2}, "down": {"up": 1, "down": 1}},
        "rejected": [],
        "is_training": False,
        "model": {"name": "run/classifier", "hash": digits, "network_hash": "n" * 16, **model},
        "settings": {"split": "test", "views": {"clips": 10}, "catalog_hash": "c" * 16},
        "seconds": 1.0,
    }
