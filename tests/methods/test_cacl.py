import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.methods.batches import make_batch
from unreel.augment.compose import ClipAugmentation
from unreel.augment.shuffle import ShuffleConfig
from unreel.augment.shuffle_degree import shuffle_degree
from unreel.data.batch import VideoBatch
from unreel.data.clips import RandomClips
from unreel.errors import WeightsError
from unreel.features.encoder import Encoder
from unreel.features.encoder_files import EncoderConfig
from unreel.features.input_spec import InputSpec
from unreel.losses.cross_architecture import cross_architecture_loss
from unreel.methods.cacl import CACL, CACLViews
from unreel.models.c3d import C3D, C3DConfig
from unreel.models.frame_transformer import FrameTransformerConfig
from unreel.models.resnet2d import ResNetConfig
from unreel.models.resnet3d import R3DConfig

FRAMES = 6
CONFIG = CACL.Config(
    clips=RandomClips(count=1, num_frames=FRAMES),
    augmentation=ClipAugmentation(size_px=16),
    backbone=R3DConfig(depth=10, width=0.125),
    embedding_dim=8,
    queue_length=24,
    shuffle_bn_group=0,
    degree_hidden_dim=16,
    degree_dropout_prob=0.0,
    frame_network=ResNetConfig(depth=18, width=0.125),
    frame_weights=Path("random"),
    transformer=FrameTransformerConfig(width=16, depth=2, num_heads=2),
)

FRAME_ENCODER = EncoderConfig(
    backbone=CONFIG.frame_network, input=InputSpec(mean=CONFIG.frame_mean, std=CONFIG.frame_std)
)


def build(**changes: Any) -> CACL:
    torch.manual_seed(0)
    return replace(CONFIG, **changes).build().train()


def batch_of(count: int = 4, **options: Any) -> VideoBatch:
    return make_batch(count, frames=FRAMES, **options)


def views_of(method: CACL, **options: Any) -> CACLViews:
    return method.make_views(batch_of(**options))


def test_both_views_share_one_shuffle_whose_degree_is_the_label() -> None:
    views = views_of(build())
    assert views.query_BCTHW.shape == (4, 3, FRAMES, 16, 16)
    assert views.key_BCTHW is not None
    assert views.key_BCTHW.shape == views.query_BCTHW.shape
    assert not torch.equal(views.query_BCTHW, views.key_BCTHW)
    degrees = shuffle_degree(views.order_BT.numpy())
    assert views.degree_class_B.tolist() == [max(degree - 1, 0) for degree in degrees.tolist()]
    assert len({tuple(row) for row in views.order_BT.tolist()}) > 1


def test_views_depend_on_the_key_of_the_video_alone() -> None:
    method = build()
    views, again = views_of(method), views_of(method)
    assert torch.equal(views.query_BCTHW, again.query_BCTHW)
    assert torch.equal(views.order_BT, again.order_BT)
    one = method.make_views(batch_of(1))
    assert torch.equal(one.order_BT[0], views.order_BT[0])
    assert torch.equal(one.query_BCTHW[0], views.query_BCTHW[0])


def test_two_clips_give_one_view_each() -> None:
    still = ClipAugmentation(
        crop="center", size_px=16, flip_prob=0.0, jitter_prob=0.0, grayscale_prob=0.0, blur_prob=0.0
    )
    method = build(clips=RandomClips(count=2, num_frames=FRAMES), augmentation=still)
    batch = batch_of(clips=2)
    views = method.make_views(batch)
    middle = batch.frames_BNTHWC[:, :, :, 2:18, 2:18].permute(0, 1, 5, 2, 3, 4) / 255
    torch.testing.assert_close(views.query_BCTHW, middle[:, 0])
    torch.testing.assert_close(views.key_BCTHW, middle[:, 1])


def test_the_loss_is_the_weighted_sum_of_its_two_parts() -> None:
    views = views_of(build())
    output = build(contrast_weight=0.5, degree_weight=2.0)(views)
    expected = 0.5 * output.terms["contrast"] + 2.0 * output.terms["degree"]
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-6)


def build_with_keys_apart() -> CACL:
    """Build a method whose momentum encoders are no longer what they were copied from."""
    method = build()
    with torch.no_grad():
        for key_encoder in (method.key_cnn, method.key_transformer):
            for parameter in key_encoder.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape))
    return method


def test_each_part_is_worked_out_from_the_networks_one_by_one() -> None:
    """Clip and shuffle are built by hand and pass through the networks as the paper's text says."""
    views = views_of(build())
    output = build_with_keys_apart()(views)

    method = build_with_keys_apart()
    assert views.key_BCTHW is not None
    shuffled = {
        name: torch.stack([clip[:, order] for clip, order in zip(view, views.order_BT, strict=True)])
        for name, view in (("q", views.query_BCTHW), ("k", views.key_BCTHW))
    }
    both = {"q": views.query_BCTHW, "k": views.key_BCTHW}
    embeddings = {}
    for view, cnn, transformer in (
        ("q", method.cnn, method.transformer),
        ("k", method.key_cnn.network, method.key_transformer.network),
    ):
        inputs = torch.stack([both[view], shuffled[view]], dim=1).flatten(0, 1)
        features = cnn.backbone(inputs).reshape(4, 2, -1)
        embeddings[f"g{view}"] = cnn.head(torch.cat([features[:, 0], features[:, 1]], dim=1))
        if view == "q":
            logits = method.degree_head(torch.cat([features[:, 0], features[:, 1]], dim=1))
        frames = torch.cat([method.frames(both[view]), method.frames(shuffled[view])], dim=1)
        embeddings[f"t{view}"] = transformer(frames)
    contrast = cross_architecture_loss(
        embeddings, method.queue.keys_KD, CONFIG.pairs, temperature=0.07, form="joint"
    )
    degree = F.cross_entropy(logits, views.degree_class_B)
    assert output.terms["contrast"].item() == pytest.approx(contrast.item(), rel=1e-4)
    assert output.terms["degree"].item() == pytest.approx(degree.item(), rel=1e-5)
    assert output.loss.item() == pytest.approx((contrast + degree).item(), rel=1e-5)
    for name, network in (("batch_accuracy", "g"), ("transformer_accuracy", "t")):
        queries, keys = (F.normalize(embeddings[f"{network}{view}"], dim=1) for view in "qk")
        own = (queries @ keys.T).argmax(dim=1) == torch.arange(4)
        assert output.terms[name].item() == pytest.approx(own.float().mean().item())


def test_the_frozen_network_sees_every_frame_of_a_view_once() -> None:
    method = build()
    seen = []
    method.frames.register_forward_hook(lambda _, inputs, __: seen.append(tuple(inputs[0].shape)))
    method(views_of(method))
    assert seen == [(4, 3, FRAMES, 16, 16)] * 2  # query and key, the clips without their shuffles


@pytest.mark.parametrize("is_swapped", [False, True])
def test_the_key_view_may_have_its_copy_first(is_swapped: bool) -> None:
    method = build(swap_key_order=is_swapped).eval()
    views = views_of(method)
    keys = method.embed(views)
    as_is = build().eval()
    assert torch.equal(keys["gq"], as_is.embed(views)["gq"])
    assert torch.equal(keys["gk"], as_is.embed(views)["gk"]) is not is_swapped
    assert torch.equal(keys["tk"], as_is.embed(views)["tk"]) is not is_swapped


def test_the_degree_loss_starts_at_chance() -> None:
    degree = []
    for seed in range(8):
        torch.manual_seed(seed)
        method = replace(CONFIG, pairs=()).build().train()
        degree.append(method(views_of(method, seed=seed)).terms["degree"].item())
    assert sum(degree) / 8 == pytest.approx(math.log(FRAMES), abs=0.15)


@pytest.mark.parametrize("form", ["joint", "per_pair"])
def test_the_contrast_starts_where_its_similarities_say(form: Any) -> None:
    """A transformer with fresh weights says nearly the same of every clip, so ``tq_tk`` starts near 1.

    With negatives near 0, equation 4 then starts near log(1 + K / sum of exp(s / tau)): next to nothing. It
    is chance only where all similarities are 0.
    """
    method = build(queue_length=6400, embedding_dim=128, positives=form)
    terms = method(views_of(method)).terms
    similarities = [terms[f"similarity_{pair}"].item() for pair in CONFIG.pairs]
    assert similarities[3] > 0.9
    pulls = [math.exp(similarity / 0.07) for similarity in similarities]
    spread = 6400 * math.exp(0.5 / 128 / 0.07**2)  # of 6400 random directions: exp of a normal variable
    if form == "joint":
        expected = math.log(1 + spread / sum(pulls))
    else:
        expected = sum(math.log(1 + spread / pull) for pull in pulls) / 4
    assert terms["contrast"].item() == pytest.approx(expected, rel=0.35, abs=0.02)


def test_the_contrast_is_chance_without_similarities() -> None:
    """log(6404 / 4): four orthogonal embeddings and a queue that is orthogonal to them."""
    method = build(queue_length=6400, embedding_dim=8)
    method.queue.keys_KD.copy_(torch.eye(8)[4].expand(6400, -1))
    embeddings = {name: torch.eye(8)[[place] * 4] for place, name in enumerate(("gq", "gk", "tq", "tk"))}
    loss = method._contrast(embeddings, torch.arange(4))
    assert loss.item() == pytest.approx(7.378384, abs=1e-5)


def test_gradient_reaches_the_online_networks_and_nothing_else() -> None:
    method = build()
    frozen_before = {name: value.clone() for name, value in method.frames.state_dict().items()}
    method(views_of(method)).loss.backward()
    for part in (method.cnn, method.degree_head, method.transformer):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    for part in (method.frames, method.key_cnn, method.key_transformer):
        assert all(p.grad is None for p in part.parameters())
        assert not any(p.requires_grad for p in part.parameters())
    for name, value in method.frames.state_dict().items():
        assert torch.equal(value, frozen_before[name])


@pytest.mark.parametrize(
    ("pairs", "reaches_cnn", "reaches_transformer"),
    [
        (("gq_gk",), True, None),
        (("gq_tq",), True, True),
        (("gq_tk",), True, False),
        (("tq_tk",), True, True),
        (("gq_gk", "gq_tq"), True, True),
    ],
)
def test_each_subset_of_pairs_trains_what_it_names(
    pairs: tuple[Any, ...], reaches_cnn: bool, reaches_transformer: bool | None
) -> None:
    method = build(pairs=pairs, degree_weight=0.0)
    method(views_of(method)).loss.backward()
    assert all(p.grad is not None for p in method.cnn.parameters()) is reaches_cnn
    if reaches_transformer is None:
        assert not hasattr(method, "transformer")
        assert not hasattr(method, "frames")
    else:
        is_reached = all(p.grad is not None for p in method.transformer.parameters())
        assert is_reached is reaches_transformer
        assert all(p.requires_grad is reaches_transformer for p in method.transformer.parameters())


def test_every_parameter_that_wants_gradient_gets_it() -> None:
    """Training with several processes waits for every gradient, so none may be missing."""
    for changes in (
        {},
        {"pairs": ()},
        {"contrast_weight": 0.0},
        {"degree_weight": 0.0},
        {"pairs": ("gq_tk",)},
        {"queue_length": 0},
    ):
        method = build(**changes)
        method(views_of(method)).loss.backward()
        missing = [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None]
        assert missing == [], changes


def test_shuffle_degree_alone_needs_neither_keys_nor_a_second_view() -> None:
    method = build(pairs=())
    views = views_of(method)
    assert views.key_BCTHW is None
    output = method(views)
    assert output.loss.item() == pytest.approx(output.terms["degree"].item())
    assert set(output.terms) == {"degree", "degree_accuracy"}
    for name in ("queue", "key_cnn", "key_transformer", "transformer", "frames"):
        assert not hasattr(method, name)
    method.after_step(0.5)


def test_after_a_step_both_momentum_encoders_move_by_a_thousandth() -> None:
    method = build()
    couples = [(method.key_cnn, method.cnn), (method.key_transformer, method.transformer)]
    before = [[p.clone() for p in key.parameters()] for key, _ in couples]
    with torch.no_grad():
        for _, online in couples:
            for parameter in online.parameters():
                parameter.add_(1.0)
    method.after_step(0.5)
    for olds, (key, online) in zip(before, couples, strict=True):
        for old, new, now in zip(olds, key.parameters(), online.parameters(), strict=True):
            torch.testing.assert_close(new, 0.999 * old + 0.001 * now)


def test_the_queue_takes_the_keys_of_the_cnn_and_then_those_of_the_transformer() -> None:
    method = build()
    before = method.queue.keys_KD.clone()
    views = views_of(method)
    expected = build().train()
    keys = expected.embed(views)
    method(views)
    assert torch.equal(method.queue.keys_KD, before)  # the loss of a step never sees its own keys
    method.after_step(0.5)
    assert method.queue.position.item() == 8
    torch.testing.assert_close(method.queue.keys_KD[:4], F.normalize(keys["gk"], dim=1))
    torch.testing.assert_close(method.queue.keys_KD[4:8], F.normalize(keys["tk"], dim=1))
    assert method.queue.owners_K[:9].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, -1]
    assert torch.equal(method.queue.keys_KD[8:], before[8:])


def test_every_part_of_an_accumulated_batch_enters_the_queue() -> None:
    method = build()
    for first_video in (0, 4):
        method(views_of(method, first_video=first_video))
    method.after_step(0.5)
    assert method.queue.owners_K[:16].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7]
    method.after_step(0.6)
    assert method.queue.position.item() == 16


@pytest.mark.parametrize(("exclude", "is_zero"), [(True, True), (False, False)])
def test_a_video_that_comes_round_again_is_not_its_own_negative(exclude: bool, is_zero: bool) -> None:
    method = build(queue_length=9, exclude_own_keys=exclude, momentum=1.0, degree_weight=0.0)
    views = replace(views_of(method), owners_B=torch.zeros(4, dtype=torch.long))
    method.queue.owners_K[8] = 1  # one key of another video, orthogonal to all
    method.queue.keys_KD[8] = 0.0
    method(views)
    method.after_step(0.5)
    loss = method(views).loss.item()
    assert (loss < 1e-4) is is_zero
    assert (loss > 1e-3) is not is_zero
    others = method._negatives(method.embed(views), views.owners_B)[1]
    assert (others is None) is not exclude
    if others is not None:
        assert others.tolist() == [[True] * 8 + [False]] * 4


def test_without_a_queue_the_other_videos_of_the_batch_are_the_negatives() -> None:
    method = build(queue_length=0)
    views = views_of(method)
    output = method(views)
    keys = build(queue_length=0).embed(views)
    negatives = torch.cat([keys["gk"], keys["tk"]])
    own = torch.eye(4, dtype=torch.bool).repeat(1, 2)
    expected = cross_architecture_loss(keys, negatives, CONFIG.pairs, temperature=0.07, excluded_BK=own)
    assert output.terms["contrast"].item() == pytest.approx(expected.item(), rel=1e-5)
    method.after_step(0.5)


def test_looking_at_embeddings_in_evaluation_mode_changes_nothing() -> None:
    method = build().eval()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    embeddings = method.embed(views_of(method))
    assert {name: tuple(value.shape) for name, value in embeddings.items()} == dict.fromkeys(
        ("gq", "tq", "gk", "tk"), (4, 8)
    )
    method.predict_degree(views_of(method))
    method.attention(views_of(method), block=1)
    for name, value in method.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_predicted_degree_is_what_the_loss_is_made_of() -> None:
    method = build()
    views = views_of(method)
    logits = build().predict_degree(views)
    assert logits.shape == (4, FRAMES)
    expected = F.cross_entropy(logits, views.degree_class_B)
    assert method(views).terms["degree"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_attention_is_that_of_the_online_transformer() -> None:
    method = build().eval()
    views = views_of(method)
    with torch.no_grad():
        for parameter in method.key_transformer.parameters():
            parameter.normal_()
    maps = method.attention(views, block=1)
    assert maps.shape == (4, 2, 1 + 2 * FRAMES, 1 + 2 * FRAMES)
    clips, order = views.query_BCTHW, views.order_BT
    shuffled = torch.stack([clip[:, frames] for clip, frames in zip(clips, order, strict=True)])
    tokens = torch.cat([method.frames(clips), method.frames(shuffled)], dim=1)
    torch.testing.assert_close(maps, method.transformer.attention(tokens, block=1))


def test_shuffle_bn_leaves_the_query_alone_and_changes_the_keys() -> None:
    views = views_of(build())
    plain, shuffled = build(), build(shuffle_bn_group=2)
    torch.manual_seed(0)
    a, b = plain(views), shuffled(views)
    assert a.terms["degree"].item() == pytest.approx(b.terms["degree"].item(), rel=1e-6)
    assert a.terms["contrast"].item() != pytest.approx(b.terms["contrast"].item(), rel=1e-4)


def test_the_frame_network_is_loaded_from_an_encoder_folder(tmp_path: Path) -> None:
    torch.manual_seed(5)
    trained = CONFIG.frame_network.build()
    Encoder(trained, FRAME_ENCODER).save(tmp_path / "encoder")
    method = build(frame_weights=tmp_path / "encoder")
    reports = method.load_initial_weights()
    assert reports["frame_network"].share_loaded == 1.0
    for name, value in trained.state_dict().items():
        assert torch.equal(method.frames.backbone.state_dict()[name], value)


def test_a_frame_network_of_another_size_is_refused(tmp_path: Path) -> None:
    config = ResNetConfig(depth=18, width=0.25)
    Encoder(config.build(), replace(FRAME_ENCODER, backbone=config)).save(tmp_path / "encoder")
    with pytest.raises(WeightsError, match="fit"):
        build(frame_weights=tmp_path / "encoder").load_initial_weights()


def test_a_frame_network_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    """What is not in the file would stay random for ever: the network is frozen."""
    state = CONFIG.frame_network.build().state_dict()
    torch.save({name: value for name, value in state.items() if "res5" not in name}, tmp_path / "part.pt")
    with pytest.raises(WeightsError, match="not in the file: res5"):
        build(frame_weights=tmp_path / "part.pt").load_initial_weights()


@pytest.mark.parametrize(
    ("mean", "std", "is_refused"),
    [
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), False),
        ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225), True),
        ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), False),
    ],
)
def test_pixels_are_normalised_as_the_frame_network_knows_them(
    tmp_path: Path, mean: Any, std: Any, is_refused: bool
) -> None:
    """The encoder says (0.485, ...); leaving pixels as they are is the released code's way and allowed."""
    Encoder(CONFIG.frame_network.build(), FRAME_ENCODER).save(tmp_path / "encoder")
    method = build(frame_weights=tmp_path / "encoder", frame_mean=mean, frame_std=std)
    if is_refused:
        with pytest.raises(ValueError, match=r"method.frame_mean and method.frame_std are .*0.45.*0.485"):
            method.load_initial_weights()
    else:
        assert method.load_initial_weights()["frame_network"].share_loaded == 1.0


def test_half_precision_ends_before_logits_and_similarities() -> None:
    method = build()
    views = views_of(method)
    with torch.autocast("cpu", torch.bfloat16):
        output = method(views)
        assert {value.dtype for value in output.terms.values()} == {torch.float32}
        assert output.loss.dtype == torch.float32
        embeddings = method.eval().embed(views)
        assert {name: value.dtype for name, value in embeddings.items()} == dict.fromkeys(
            embeddings, torch.float32
        )
        assert method.predict_degree(views).dtype == torch.float32


def test_a_part_of_one_video_without_a_queue_is_refused() -> None:
    method = build(queue_length=0)
    with pytest.raises(ValueError, match=r"method.queue_length = 0 takes the other videos"):
        method(method.make_views(batch_of(1)))


def test_a_missing_frame_network_is_named_with_the_way_to_get_one() -> None:
    with pytest.raises(ValueError, match=r"method.frame_weights is missing.*frame_moco"):
        build(frame_weights=Path()).load_initial_weights()
    assert build(frame_weights=Path(), pairs=("gq_gk",)).load_initial_weights() == {}


def test_the_full_network_has_the_published_sizes() -> None:
    """C3D 27,661,440 with heads of 131,200 and 533,008; transformer 44,213,120; ResNet-50 23,508,032."""
    method = CACL.Config(backbone=C3DConfig()).build()

    def count(part: torch.nn.Module) -> int:
        return sum(p.numel() for p in part.parameters())

    assert isinstance(method.backbone, C3D)
    assert count(method.cnn) == 27_661_440 + 131_200
    assert count(method.degree_head) == 533_008
    assert count(method.transformer) == 44_213_120
    assert count(method.frames) == 23_508_032
    assert method.queue.keys_KD.shape == (6400, 128)


def test_degrees_are_learned_by_a_tiny_network() -> None:
    """Twelve clips of a square that moves steadily: 80 steps leave the loss well below chance."""
    torch.manual_seed(0)
    config = replace(
        CONFIG,
        pairs=(),
        augmentation=ClipAugmentation.only_crop(16, mean=(0.5,) * 3, std=(0.25,) * 3),
        backbone=C3DConfig(width=0.0625),
        clips=RandomClips(count=1, num_frames=8),
        shuffle=ShuffleConfig(),
    )
    method = config.build().train()
    optimizer = torch.optim.AdamW(method.parameters(), lr=3e-3)
    frames = torch.zeros(12, 1, 8, 16, 16, 3, dtype=torch.uint8)
    for video in range(12):
        for time in range(8):
            frames[video, 0, time, video : video + 4, time : time + 6] = 255
    losses = []
    for step in range(80):
        batch = replace(make_batch(12, frames=8, size=16, seed=step), frames_BNTHWC=frames)
        output = method(method.make_views(batch))
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        losses.append(output.loss.item())
    assert losses[0] == pytest.approx(math.log(8), abs=0.3)
    assert sum(losses[-10:]) / 10 < 0.88 * math.log(8)


@pytest.mark.gpu
def test_a_step_on_a_gpu_agrees_with_the_cpu() -> None:
    """The same weights and videos; in half precision the loss agrees to two digits."""
    expected = build()(views_of(build())).terms
    method = build().cuda()
    views = method.make_views(batch_of().to(torch.device("cuda")))
    with torch.autocast("cuda", torch.bfloat16):
        output = method(views)
    output.loss.backward()
    method.after_step(0.5)
    for name in ("degree", "similarity_gq_gk", "similarity_gq_tq", "similarity_tq_tk"):
        assert output.terms[name].item() == pytest.approx(expected[name].item(), rel=0.05, abs=0.02)
    assert method.queue.position.item() == 8
