import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from unreel.models import clip_chunks
from unreel.models.backbone import Backbone, limit_clips
from unreel.models.batch_norm import draw_order, synchronize_batch_norm
from unreel.models.clip_chunks import forward_in_chunks
from unreel.models.mvit import MViTConfig
from unreel.models.r3d_plus1 import R3DPlus1Config

MVIT = MViTConfig(width=0.125, depths=(1, 1, 1, 1), num_frames=4, size_px=16)


class Tiny(Backbone):
    """Two convolutions with batch normalisation between them; keeps how many clips it sees at a time."""

    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm3d(4)
        self.conv2 = nn.Conv3d(4, 4, 3, padding=1)
        self.seen: list[Tensor] = []

    def forward_map(self, clips_BCTHW: Tensor) -> Tensor:
        self.seen.append(clips_BCTHW)
        map_BDTHW: Tensor = self.conv2(self.norm(self.conv1(clips_BCTHW)).relu())
        return map_BDTHW


def build_tiny(*, is_synchronized: bool = False, dtype: torch.dtype = torch.float64) -> Tiny:
    torch.manual_seed(0)
    network = Tiny()
    if is_synchronized:
        synchronize_batch_norm(network)
    return network.to(dtype)


def draw_clips(num: int, *, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    clips = torch.randn(num, 3, 4, 16, 16, generator=generator).to(dtype)
    return clips.to(memory_format=torch.channels_last_3d)


def contrast(features_BD: Tensor) -> Tensor:
    """A loss of every clip against every other, which parts of a batch would change."""
    return (features_BD @ features_BD.T).softmax(dim=1).diagonal().log().sum()


def collect_gradients(network: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


@pytest.mark.parametrize("build", [MVIT.build, R3DPlus1Config(width=0.125).build, build_tiny])
def test_without_batch_statistics_loss_and_gradients_are_those_of_the_whole(
    build: Callable[[], Backbone],
) -> None:
    torch.manual_seed(0)
    network, clips = build().double().eval(), draw_clips(5)
    results = []
    for chunk_clips in (0, 2):
        limit_clips(
            network.requires_grad_(False), chunk_clips
        )  # two are few for weights of a norm that learn
        network.requires_grad_(True).zero_grad()
        frames_BTD, video_BD = network.forward_frames_and_video(clips)
        map_BDTHW = network.forward_map(clips)
        loss = contrast(network(clips)) + contrast(video_BD) + contrast(frames_BTD.flatten(1))
        loss = loss + map_BDTHW.square().mean()
        loss.backward()
        results.append((loss.detach(), collect_gradients(network), map_BDTHW.detach()))
    for chunked, whole in zip(*results, strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("is_synchronized", [False, True])
def test_batch_statistics_are_those_of_a_plain_pass_over_the_chunks(is_synchronized: bool) -> None:
    clips = draw_clips(8, dtype=torch.float32)
    chunked, plain = (build_tiny(is_synchronized=is_synchronized, dtype=torch.float32) for _ in range(2))
    limit_clips(chunked, 3)
    torch.manual_seed(7)
    contrast(chunked(clips)).backward()
    torch.manual_seed(7)
    order_B = draw_order(8, clips.device)
    chunks = [plain(clips[rows]) for rows in order_B.tensor_split(3)]
    contrast(torch.cat(chunks)[torch.argsort(order_B)]).backward()
    # Forward, and once more in the backward pass, the last chunk first.
    assert [len(rows) for rows in chunked.seen] == [3, 3, 2, 2, 3, 3]
    assert chunked.norm.num_batches_tracked.item() == 3
    for name, buffer in plain.named_buffers():
        assert torch.equal(chunked.get_buffer(name), buffer), name
    torch.testing.assert_close(collect_gradients(chunked), collect_gradients(plain), rtol=1e-5, atol=1e-5)


def test_running_statistics_are_spared_in_every_backward_pass_and_stay_the_networks_own() -> None:
    network = build_tiny()
    limit_clips(network, 3)
    kept = dict(network.named_buffers())
    loss = contrast(network(draw_clips(6)))
    state = {name: buffer.clone() for name, buffer in kept.items()}
    loss.backward(retain_graph=True)
    loss.backward()
    assert all(network.get_buffer(name) is buffer for name, buffer in kept.items())
    assert all(torch.equal(kept[name], value) for name, value in state.items())
    assert state["norm.running_mean"].abs().sum() > 0


def test_batch_normalisation_gets_clips_that_were_dealt_at_random_and_results_come_home() -> None:
    network, clips = build_tiny(), torch.arange(8.0)[:, None].requires_grad_()
    companies = set()
    for seed in range(5):
        seen: list[list[int]] = []

        def remember(chunk: Tensor, seen: list[list[int]] = seen) -> Tensor:
            seen.append(sorted(chunk.flatten().int().tolist()))
            return 2 * chunk

        torch.manual_seed(seed)
        doubled = forward_in_chunks(remember, clips, network=network, chunk_clips=4)
        assert torch.equal(doubled, 2 * clips)
        assert sorted(seen[0] + seen[1]) == list(range(8))
        companies.add(tuple(seen[0]))
    assert len(companies) > 1


@pytest.mark.parametrize(
    ("num_clips", "chunk_clips", "sizes"), [(9, 4, [3, 3, 3]), (8, 3, [3, 3, 2]), (4, 3, [2, 2])]
)
def test_chunks_are_as_equal_as_can_be_and_none_is_a_single_clip(
    num_clips: int, chunk_clips: int, sizes: list[int]
) -> None:
    network = build_tiny().eval()
    limit_clips(network, chunk_clips)
    with torch.no_grad():
        network(draw_clips(num_clips))
    assert [len(chunk) for chunk in network.seen] == sizes
    assert all(chunk.is_contiguous(memory_format=torch.channels_last_3d) for chunk in network.seen)


def test_chunks_that_were_dealt_keep_their_layout_in_memory() -> None:
    network = build_tiny()
    limit_clips(network, 3)
    network(draw_clips(6))
    assert all(chunk.is_contiguous(memory_format=torch.channels_last_3d) for chunk in network.seen)


def test_without_gradient_batch_statistics_are_of_all_clips_that_shuffle_bn_put_together() -> None:
    network, clips = build_tiny(), draw_clips(6)
    limit_clips(network, 3)
    with torch.no_grad():
        features = network(clips)
    assert [len(chunk) for chunk in network.seen] == [6]
    assert torch.equal(features, build_tiny()(clips))
    assert network.norm.num_batches_tracked.item() == 1


def test_as_many_clips_as_the_limit_are_run_as_they_are() -> None:
    network, clips = build_tiny(), draw_clips(3)
    limit_clips(network, 3)
    network(clips)
    assert network.seen[0] is clips


@contextmanager
def count_saved_bytes(total: list[int], clips: Tensor) -> Iterator[None]:
    """Add up what is kept for the backward pass, each storage once and without the clips."""
    seen = {clips.untyped_storage().data_ptr()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            total[0] += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield


@pytest.mark.parametrize("has_statistics", [True, False])
def test_what_is_kept_for_the_backward_pass_does_not_grow_with_the_activations(has_statistics: bool) -> None:
    network = build_tiny(dtype=torch.float32).train(has_statistics)
    clips = draw_clips(12, dtype=torch.float32)
    kept = []
    for chunk_clips in (0, 3):
        limit_clips(network, chunk_clips)
        total = [0]
        with count_saved_bytes(total, clips):
            loss = contrast(network(clips))
        kept.append(total[0])
        loss.backward()
    activations = 12 * 4 * 4 * 16 * 16 * 4  # clips, channels, frames, rows, columns, bytes: of one layer
    assert kept[0] > 2 * activations
    assert kept[1] < 0.02 * activations


def test_a_second_run_drops_what_the_first_one_dropped() -> None:
    """The loss is linear in the weight, so its gradient is loss / weight if both runs drop alike."""
    network, clips = nn.Dropout(0.5), torch.randn(8, 50).double()
    weight = nn.Parameter(torch.tensor(3.0, dtype=torch.float64))
    result = forward_in_chunks(lambda rows: network(rows * weight), clips, network=network, chunk_clips=3)
    num_dropped = int((result == 0).sum())
    following = torch.rand(1)
    loss = result.sum()
    loss.backward()
    assert 100 < num_dropped < 300
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(loss.item() / 3, rel=1e-9)
    assert not torch.equal(following, torch.rand(1))


def test_half_precision_is_that_of_the_first_run() -> None:
    """The backward pass runs outside of autocast, as in the loop."""
    torch.manual_seed(0)
    network, rows = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4)), torch.randn(6, 8)
    types: list[torch.dtype] = []
    network[0].register_forward_hook(lambda _module, _inputs, output: types.append(output.dtype))
    gradients = []
    for chunk_clips in (6, 2):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            features = forward_in_chunks(network, rows, network=network, chunk_clips=chunk_clips)
        contrast(features.float()).backward()
        gradients.append(collect_gradients(network))
    assert types == [torch.bfloat16] * (2 + 6)
    assert (gradients[1] - gradients[0]).norm() < 0.02 * gradients[0].norm()


def train_half(rank: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    clip_chunks.draw_order = lambda length, device: torch.arange(length, device=device)
    network = build_tiny(is_synchronized=True, dtype=torch.float32)
    limit_clips(network, 3)
    model = DistributedDataParallel(network)
    model(draw_clips(12, dtype=torch.float32)[6 * rank : 6 * rank + 6]).square().sum().backward()
    torch.save({"grads": collect_gradients(network), "state": network.state_dict()}, folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_normalise_and_learn_from_their_chunks_together(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=train_half, args=(rank, port, tmp_path)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    network, clips = (
        build_tiny(is_synchronized=True, dtype=torch.float32),
        draw_clips(12, dtype=torch.float32),
    )
    together = ([0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11])  # the first chunks of both, then the second ones
    (torch.stack([network(clips[rows]).square().sum() for rows in together]).sum() / 2).backward()
    for rank in (0, 1):
        half = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(half["grads"], collect_gradients(network), rtol=1e-4, atol=1e-3)
        for name, value in network.state_dict().items():
            torch.testing.assert_close(half["state"][name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
def test_a_gpu_steps_in_chunks_and_drops_alike() -> None:
    network, clips = nn.Dropout(0.5), torch.randn(8, 50, device="cuda")
    weight = nn.Parameter(torch.tensor(3.0, device="cuda"))
    result = forward_in_chunks(lambda rows: network(rows * weight), clips, network=network, chunk_clips=3)
    loss = result.sum()
    loss.backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(loss.item() / 3, rel=1e-4)
