"""Counting changes nothing of a model: what it holds, what it answers, what other threads see."""

from __future__ import annotations

import contextlib
import copy
import gc
import threading
import types
from collections import OrderedDict, defaultdict, deque
from typing import ClassVar

import pytest
import torch
from torch import nn

import gadprof
from gadprof.errors import GadprofError

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs",
         "_forward_pre_hooks_with_kwargs", "_forward_hooks_always_called", "_backward_hooks",
         "_backward_pre_hooks", "_state_dict_hooks", "_state_dict_pre_hooks",
         "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks")  # fmt: skip


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.change()
        return self.norm(self.layer(x))

    def change(self) -> None: ...


class HooksOnce(Base):
    """Installs hooks of every kind in its first forward, as output recorders do."""

    installed = False

    def change(self) -> None:
        if self.installed:
            return
        self.installed = True
        layer = self.layer
        layer.register_forward_hook(lambda module, args, output: output * 2)
        layer.register_forward_hook(
            lambda module, args, kwargs, output: None, with_kwargs=True, always_call=True
        )
        layer.register_forward_pre_hook(lambda module, args: None)
        layer.register_forward_pre_hook(lambda module, args, kwargs: None, with_kwargs=True)
        self.norm.register_full_backward_pre_hook(lambda module, grad_out: None)
        layer.register_full_backward_pre_hook(lambda module, grad_out: None)
        layer.register_state_dict_post_hook(lambda *args: None)
        layer.register_state_dict_pre_hook(lambda *args: None)
        layer.register_load_state_dict_pre_hook(lambda *args: None)
        layer.register_load_state_dict_post_hook(lambda *args: None)


class Nested(Base):
    def __init__(self) -> None:
        super().__init__()
        self.cache = {"a": [OrderedDict(b=deque([1])), (defaultdict(list), {1})]}
        self.config = types.SimpleNamespace(steps=[0], inner=types.SimpleNamespace(name="x"))

    def change(self) -> None:
        ordered, (default, group) = self.cache["a"]
        ordered["b"].append(2)
        ordered["c"] = 1
        default["k"].append(1)
        group.add(2)
        self.config.steps.append(1)
        self.config.inner.name = "y"
        self.config.more = 1


class ClassLevel(Base):
    calls = 0
    seen: ClassVar[list[int]] = []

    def change(self) -> None:
        ClassLevel.calls += 1
        ClassLevel.seen.append(1)
        ClassLevel.extra = True
        nn.Linear.reset = lambda self: None


class Tensors(Base):
    """Plain tensors, a module in a list, and a parameter written to."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = torch.zeros(3)
        self.hidden = [nn.Linear(2, 2)]

    def change(self) -> None:
        self.steps += 1
        with torch.no_grad():
            self.layer.weight.mul_(2)
            self.layer.weight.data.add_(1)
        self.hidden[0].bias = None
        self.extra = nn.Parameter(torch.ones(2))
        self.norm.running_mean = self.norm.running_mean + 1


class Replaces(Base):
    def change(self) -> None:
        self.norm = nn.Identity()
        self.layer.forward = lambda x: x
        self.layer.weight.requires_grad_(False)
        self.train()


MODELS = (HooksOnce, Nested, ClassLevel, Tensors, Replaces)


def state_of(model: nn.Module) -> list[object]:
    """All that a model holds, copied deeply, and its hooks by identity."""
    found: list[object] = []
    for path, module in model.named_modules():
        found.append((path, type(module), module.training, sorted(vars(module))))
        found.append([(name, list(getattr(module, name).values())) for name in HOOKS])
    found.append({key: value.clone() for key, value in model.state_dict().items()}.keys())
    found.append([(name, p.requires_grad, p.grad is None) for name, p in model.named_parameters()])
    found.append(copy.deepcopy([getattr(model, name, None) for name in ("cache", "config")]))
    found.append((ClassLevel.calls, list(ClassLevel.seen), hasattr(ClassLevel, "extra")))
    found.append((hasattr(nn.Linear, "reset"), dict(vars(nn.Module)).keys()))
    return found


def tensors_of(model: nn.Module) -> list[torch.Tensor]:
    held = [*model.state_dict().values(), getattr(model, "steps", torch.zeros(1))]
    return [tensor.clone() for tensor in held]


@pytest.mark.parametrize("way", ["meta", "cpu", "train", "fails"])
@pytest.mark.parametrize("kind", MODELS)
def test_a_model_that_changes_itself_while_it_runs_is_as_before(kind, way):
    torch.manual_seed(0)
    model, x = kind().eval(), torch.randn(2, 4)
    before, values = state_of(model), tensors_of(model)
    if way == "fails":
        model.register_forward_hook(_fail)
        before = state_of(model)
        with pytest.raises(GadprofError):
            gadprof.count(model, (x,))
    else:
        with contextlib.suppress(GadprofError):  # a model may not run; it is left as it was
            from gadprof.counting.count import count

            count(model, (x,), train=way == "train", device="cpu" if way == "cpu" else "meta")
    for earlier, now in zip(before, state_of(model), strict=True):
        assert str(earlier) == str(now)
    assert all(map(torch.equal, values, tensors_of(model)))


def _fail(module, args, output):
    raise ValueError("told to")


def test_what_a_model_answers_is_the_same_before_and_after():
    torch.manual_seed(0)
    x = torch.randn(2, 4)
    counted, plain = HooksOnce().eval(), HooksOnce().eval()
    plain.load_state_dict(counted.state_dict())
    for _ in range(3):
        gadprof.count(counted, (x,))
    for _ in range(2):
        assert torch.equal(counted(x), plain(x))


def test_output_recorders_of_transformers_stay_as_they_are():
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 32, 64], decoder_hidden_size=32
    )
    model = transformers.SegformerForSemanticSegmentation(config).eval()
    x = torch.randn(1, 3, 64, 64)
    counts = {gadprof.count(model, (x,)).macs for _ in range(2)}
    assert len(counts) == 1
    assert sum(len(module._forward_hooks) for module in model.modules()) == 0
    first = model(x).logits
    assert sum(len(module._forward_hooks) for module in model.modules()) > 0
    hooks = [list(module._forward_hooks) for module in model.modules()]
    assert gadprof.count(model, (x,)).macs in counts
    assert [list(module._forward_hooks) for module in model.modules()] == hooks
    assert torch.equal(model(x).logits, first)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("mode", [False, True])
def test_another_thread_runs_the_same_model_meanwhile(mode, train):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 5))
    model.train(mode)
    x = torch.randn(2, 3, 8, 8)
    faults: list[object] = []
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            try:
                output = model(x)
                if output.is_meta or model[1].training is not mode:
                    faults.append(output)
            except Exception as error:
                faults.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        counts = {gadprof.count(model, (x,), train=train).macs for _ in range(10)}
    finally:
        done.set()
        worker.join()
    assert not faults
    assert len(counts) == 1


def test_eight_threads_count_as_one_does():
    def models() -> list[nn.Module]:
        return [nn.Sequential(nn.Linear(4, 4 + i), HooksOnce() if i == 0 else nn.ReLU()).eval()
                for i in range(4)]  # fmt: skip

    x = torch.randn(2, 4)
    expected = [gadprof.count(model, (x,)).flops for model in models()]
    shared, answers, before = models(), [], dict(vars(nn.Module))

    def work() -> None:
        for _ in range(5):
            answers.append([gadprof.count(model, (x,)).flops for model in shared])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 40
    assert dict(vars(nn.Module)) == before


class CountsWithin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.own, self.other = nn.Linear(4, 4), nn.Linear(4, 8)
        self.inner: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        INNER.append(gadprof.count(self.other, (torch.zeros(3, 4),)).macs)
        return self.own(x)


INNER: list[int] = []


def test_a_count_within_a_forward_adds_nothing_to_the_outer_one():
    INNER.clear()
    trace = gadprof.count(CountsWithin(), (torch.zeros(1, 4),))
    assert trace.macs == 4 * 4
    assert [(op.name, op.module) for op in trace.operations] == [
        ("aten.zeros", ""),
        ("aten.linear", "own"),
    ]
    assert set(INNER) == {3 * 4 * 8}


def test_many_counts_keep_no_memory():
    import tracemalloc

    model, x = nn.Sequential(nn.Linear(4, 4), nn.Softmax(-1)).eval(), torch.zeros(1, 4)
    for _ in range(20):
        gadprof.count(model, (x,))
    gc.collect()
    tracemalloc.start()
    for _ in range(200):
        gadprof.count(model, (x,))
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 200 * 500  # 500 bytes a count would be 5 MB in ten thousand
