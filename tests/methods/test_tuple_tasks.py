import math

import pytest
import torch

from tests.losses.test_contrastive import cosine
from tests.methods.batches import make_batch
from unreel.methods.tuple_tasks import OrderQuestion, TupleOrder, VideoContrast, ask_for_order

# Orders of three members: time, and the four that are neither time nor its reverse.


def question_of(anchor: list[list[int]], positive: list[list[int]], answer: list[int]) -> OrderQuestion:
    return OrderQuestion(torch.tensor(anchor), torch.tensor(positive), torch.tensor(answer))


def unit(values: list[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def test_the_answer_counts_which_tuples_are_shuffled() -> None:
    """0: none, 1: the anchor, 2: the positive, 3: both; each of a quarter of the videos."""
    question = ask_for_order(make_batch(800), 3)
    anchor, positive = (
        (order != torch.arange(3)).any(dim=1).long()
        for order in (question.anchor_order_BN, question.positive_order_BN)
    )
    assert torch.equal(question.answer_B, anchor + 2 * positive)
    counts = torch.bincount(question.answer_B, minlength=4)
    # Chi-square with 3 degrees of freedom exceeds 16.3 once in a thousand.
    assert ((counts - 200) ** 2 / 200).sum() < 16.3
    for order in (question.anchor_order_BN, question.positive_order_BN):
        assert len({tuple(row) for row in order.tolist()}) == 5


def test_a_question_belongs_to_its_video() -> None:
    many, few = ask_for_order(make_batch(6), 5), ask_for_order(make_batch(2), 5)
    assert torch.equal(many.answer_B[:2], few.answer_B)
    assert torch.equal(many.positive_order_BN[:2], few.positive_order_BN)


def test_the_loss_of_order_is_equations_7_to_10() -> None:
    torch.manual_seed(0)
    task = TupleOrder(3, 4)
    query, key = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    anchor, positive, answers = [[0, 1, 2], [2, 0, 1]], [[1, 0, 2], [0, 1, 2]], [2, 1]
    loss, accuracy = task(query, key, question_of(anchor, positive, answers))
    linear = task.classifier.layers[0]
    losses, hits = [], 0
    for row, answer in enumerate(answers):
        shown: list[float] = []
        for embeddings, order in ((query, anchor), (key, positive)):
            for place in order[row]:
                shown += unit(embeddings[row, place].tolist())
        logits = [
            sum(w * x for w, x in zip(weights, shown, strict=True)) + bias
            for weights, bias in zip(linear.weight.tolist(), linear.bias.tolist(), strict=True)
        ]
        losses.append(math.log(sum(math.exp(logit) for logit in logits)) - logits[answer])
        hits += max(logits) == logits[answer]
    assert loss.item() == pytest.approx(sum(losses) / 2, rel=1e-5)
    assert accuracy.item() == hits / 2


def test_the_order_gives_no_gradient_to_the_keys() -> None:
    query, key = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 3, 4, requires_grad=True)
    TupleOrder(3, 4)(query, key, ask_for_order(make_batch(2), 3))[0].backward()
    assert key.grad is None
    assert query.grad is not None


def test_the_classifier_of_the_paper_has_3076_weights() -> None:
    assert sum(weight.numel() for weight in TupleOrder(3, 128).parameters()) == 2 * 3 * 128 * 4 + 4 == 3_076


def test_the_loss_of_videos_is_equation_6() -> None:
    torch.manual_seed(0)
    task = VideoContrast(5, 4, temperature=0.1, exclude_own=True)
    assert task.negatives.queue is not None
    task.negatives.queue.owners_K[:2] = torch.tensor([0, 1])
    query, key, owners = torch.randn(2, 4), torch.randn(2, 4), torch.arange(2)
    loss, accuracy = task(query, key, owners)
    expected = 0.0
    for row in range(2):
        pull = math.exp(cosine(query[row].tolist(), key[row].tolist()) / 0.1)
        push = sum(
            math.exp(cosine(query[row].tolist(), other) / 0.1)
            for place, other in enumerate(task.negatives.queue.keys_KD.tolist())
            if place != row  # which holds an earlier key of this video
        )
        expected -= math.log(pull / (pull + push)) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    similarity = [[cosine(q, k) for k in key.tolist()] for q in query.tolist()]
    assert accuracy.item() == sum(max(row) == row[place] for place, row in enumerate(similarity)) / 2
    task.store()
    assert task.negatives.queue.owners_K.tolist() == [0, 1, -1, -1, -1]
    assert task.negatives.queue.position.item() == 2
