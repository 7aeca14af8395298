"""Operations whose shapes alone mislead are counted by hand-worked values, or listed."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gadprof

ROWS, KEPT = 2000, 4000


class Calls(nn.Module):
    """A module that does one thing to its inputs."""

    def __init__(self, function, **buffers) -> None:
        super().__init__()
        self.function = function
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def counted(function, *inputs, **buffers):
    trace = gadprof.count(Calls(function, **buffers), inputs)
    assert not trace.uncovered
    return trace


def sparse_matrix(layout: str) -> torch.Tensor:
    places = torch.randperm(ROWS * ROWS, generator=torch.Generator().manual_seed(0))[:KEPT]
    made = torch.sparse_coo_tensor(
        torch.stack([places // ROWS, places % ROWS]), torch.ones(KEPT), (ROWS, ROWS)
    ).coalesce()
    return made if layout == "coo" else getattr(made, f"to_sparse_{layout}")()


class Graph(nn.Module):
    def __init__(self, matrix: torch.Tensor, product) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)
        self.layer = nn.Linear(16, 8)
        self.product = product

    def forward(self, x):
        return self.product(self.matrix, self.layer(x))


@pytest.mark.parametrize("layout", ["coo", "csr", "csc"])
@pytest.mark.parametrize("product", [torch.matmul, torch.sparse.mm, lambda a, x: a @ x])
def test_a_sparse_matrix_multiplies_what_it_holds(layout, product):
    trace = gadprof.count(Graph(sparse_matrix(layout), product), (torch.randn(ROWS, 16),))
    assert trace.macs == ROWS * 16 * 8 + KEPT * 8 == 288_000
    assert not trace.uncovered


def test_other_sparse_products():
    dense = torch.tensor([[1.0, 0, 2, 0], [0, 0, 0, 3], [0, 4, 0, 0], [5, 0, 6, 0]])
    coo, x = dense.to_sparse(), torch.randn(4, 3)
    assert counted(lambda s, x: x.T @ s.a, x, a=coo).macs == 3 * 6
    assert counted(lambda s, x: s.a @ x[:, 0], x, a=coo).macs == 6
    assert counted(lambda s, x: torch.addmm(x, s.a, x), x, a=coo).flops == 2 * 6 * 3 + 12
    # k = 0: 2 elements x 2, k = 1: 1 x 1, k = 2: 2 x 1, k = 3: 1 x 2
    assert counted(lambda s: torch.sparse.mm(s.a, s.a), a=coo).macs == 4 + 1 + 2 + 2
    blocks = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)).to_sparse_bsr((2, 2))
    assert counted(lambda s, x: s.a @ x, x, a=blocks).macs == 8 * 3
    assert counted(lambda s, x: F.linear(x.T, s.a), x, a=coo).macs == 3 * 6


def test_what_has_no_rule_for_sparse_tensors_is_listed():
    matrix = torch.eye(3).to_sparse()
    trace = gadprof.count(Calls(lambda s: torch.sparse.sum(s.a * 2, 0).to_dense(), a=matrix), ())
    assert trace.flops == 3 + 0
    trace = gadprof.count(Calls(lambda s: s.a.to_dense().sort().values * s.a, a=matrix), ())
    assert trace.macs == 0


@pytest.mark.filterwarnings("ignore")
def test_dynamic_quantisation_keeps_parameters_and_products():
    from torch.ao.quantization import quantize_dynamic

    plain = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8)).eval()
    model = quantize_dynamic(plain, {nn.Linear}, torch.qint8)
    trace = gadprof.count(model, (torch.randn(3, 16),))
    assert trace.params == 16 * 32 + 32 + 32 * 8 + 8 == 808
    assert trace.param_bytes == (16 * 32 + 32 * 8) + 4 * (32 + 8)
    assert trace.macs == 3 * (16 * 32 + 32 * 8)
    assert {op.attributes["mac_dtype"] for op in trace.operations if op.macs} == {"int8"}
    assert not trace.uncovered


@pytest.mark.filterwarnings("ignore")
def test_dynamic_recurrence_multiplies_what_the_plain_one_does():
    from torch.ao.quantization import quantize_dynamic

    plain = nn.Sequential(nn.LSTM(8, 16, 2)).eval()
    x = torch.randn(5, 2, 8)
    model = quantize_dynamic(plain, {nn.LSTM}, torch.qint8)
    assert gadprof.count(model, (x,)).macs == gadprof.count(plain, (x,)).macs == 10 * 64 * 56


@pytest.mark.filterwarnings("ignore")
def test_static_convolutions_in_eight_bits():
    from torch.ao.quantization import DeQuantStub, QuantStub, convert, get_default_qconfig, prepare

    model = nn.Sequential(QuantStub(), nn.Conv2d(3, 8, 3, stride=2, padding=1), DeQuantStub())
    model.eval().qconfig = get_default_qconfig("x86")
    model, x = prepare(model), torch.randn(1, 3, 8, 8)
    model(x)
    trace = gadprof.count(convert(model), (x,))
    assert trace.params == 3 * 8 * 9 + 8
    assert trace.macs == 16 * 8 * 27
    assert not trace.uncovered


SQUARE = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(0))
SQUARE = SQUARE @ SQUARE.mT + torch.eye(6)
TALL = torch.randn(2, 8, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("function", "matrix", "each"),
    [
        (lambda s, a: torch.linalg.solve(a, a), SQUARE, 72 + 216),
        (lambda s, a: torch.linalg.solve_triangular(a, a[..., :1], upper=True), SQUARE, 18),
        (lambda s, a: torch.linalg.cholesky(a), SQUARE, 36),
        (lambda s, a: torch.cholesky_solve(a[..., :2], a), SQUARE, 72),
        (lambda s, a: torch.linalg.inv(a), SQUARE, 216),
        (lambda s, a: torch.linalg.det(a), SQUARE, 72),
        (lambda s, a: torch.linalg.lu_factor(a).LU, SQUARE, 72),
        (lambda s, a: torch.linalg.lu(a).L, TALL, 8 * 18 - 36),
        # R: 8 x 36 - 72; Q: the same again
        (lambda s, a: torch.linalg.qr(a).Q, TALL, 216 + 216),
        (lambda s, a: torch.linalg.qr(a, "r").R, TALL, 216),
        (lambda s, a: torch.linalg.qr(a, "complete").Q, TALL, 216 + 768 - 576 + 144),
        (lambda s, a: torch.linalg.eigh(a).eigenvectors, SQUARE, 972),
        (lambda s, a: torch.linalg.eigvalsh(a), SQUARE, 144),
        (lambda s, a: torch.linalg.svd(a, full_matrices=False).S, TALL, 3 * 8 * 36 + 2160),
        (lambda s, a: torch.linalg.svdvals(a), TALL, 8 * 36 + 216),
        (lambda s, a: torch.linalg.lstsq(a, a[..., :1]).solution, TALL, 216 + 60 + 18),
    ],
)
def test_dense_factorisations_cost_their_textbook_terms(function, matrix, each):
    assert counted(function, matrix).macs == 2 * each


@pytest.mark.parametrize(("mode", "flops"), [("sum", 160), ("mean", 192), ("max", 160)])
def test_bags_of_embeddings(mode, flops):
    ids = torch.zeros(4, 6, dtype=torch.long)
    assert gadprof.count(nn.EmbeddingBag(10, 8, mode=mode), (ids,)).flops == flops


def test_a_weighted_bag_multiplies_each_row():
    ids = torch.zeros(4, 6, dtype=torch.long)
    bag = nn.EmbeddingBag(10, 8, mode="sum")
    assert gadprof.count(bag, (ids, None, torch.rand(4, 6))).flops == 160 + 192 == 352


@pytest.mark.parametrize(("mode", "taps"), [("nearest", 0), ("bilinear", 4), ("bicubic", 16)])
def test_samples_of_a_grid_by_mode(mode, taps):
    x, grid = torch.randn(1, 2, 8, 8), torch.rand(1, 4, 4, 2)
    trace = counted(lambda s, x, g: F.grid_sample(x, g, mode, align_corners=False), x, grid)
    assert trace.flops == 32 * max(0, 2 * taps - 1)


@pytest.mark.parametrize(
    ("mode", "flops"),
    [("nearest", 0), ("nearest-exact", 0), ("bilinear", 7), ("bicubic", 31), ("area", 4)],
)
def test_resizing_by_mode(mode, flops):
    size = 4 if mode == "area" else 16
    trace = counted(
        lambda s, x: F.interpolate(x, size=(size, size), mode=mode), torch.zeros(1, 2, 8, 8)
    )
    assert trace.flops == 2 * size * size * flops


@pytest.mark.parametrize(
    ("p", "macs", "flops"),
    [(0.0, 0, 75 + 50), (1.0, 0, 75 + 75 + 50), (2.0, 75, 150 + 75 + 25),
     (float("inf"), 0, 75 + 75 + 50), (3.0, 0, 75 + 75 + 50 + 100)],
)  # fmt: skip
def test_distances_by_norm(p, macs, flops):
    trace = counted(lambda s, x: torch.cdist(x, x, p), torch.randn(5, 3))
    assert (trace.macs, trace.flops) == (macs, flops)


@pytest.mark.parametrize(
    ("function", "each"),
    [
        (lambda z: z.abs(), 4), (lambda z: z * z, 6), (lambda z: z * 2.0, 2), (lambda z: z + z, 2),
        (lambda z: z / z, 11), (lambda z: -z, 2), (lambda z: z.exp(), 5), (lambda z: z**2, 6),
        (lambda z: z == z.conj().clone(), 2), (lambda z: z.angle(), 2),
    ],
)  # fmt: skip
def test_complex_numbers_cost_their_real_operations(function, each):
    z = torch.randn(4, 4, dtype=torch.complex64)
    assert counted(lambda s, z: function(z), z).flops == 16 * each


def test_a_complex_function_without_a_rule_is_listed():
    trace = gadprof.count(Calls(lambda s, z: z.tan()), (torch.randn(2, dtype=torch.complex64),))
    assert dict(trace.uncovered) == {"aten.tan": 1}


def test_a_complex_product_is_four_real_ones():
    z = torch.randn(4, 4, dtype=torch.complex64)
    assert counted(lambda s, z: z @ z, z).macs == 4 * 64


def test_grouped_products_count_each_row_once():
    x, w = torch.zeros(8, 16, dtype=torch.bfloat16), torch.zeros(2, 16, 8, dtype=torch.bfloat16)
    ends = torch.tensor([3, 8], dtype=torch.int32)
    assert counted(lambda s, x, w, e: torch._grouped_mm(x, w, offs=e), x, w, ends).macs == 1024


class Holder(nn.Module):
    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(2, 2, 1), act

    def forward(self, x):
        return self.act(self.conv(x))


@pytest.mark.parametrize("fast", [True, False])
def test_a_shared_activation_works_for_whoever_calls_it(fast):
    from gadprof.counting.count import count

    act = nn.SiLU()
    model = nn.Sequential(Holder(act), Holder(act), nn.Sequential(nn.Conv2d(2, 2, 1), act)).eval()
    trace = count(model, (torch.zeros(1, 2, 4, 4),), fast=fast)
    places = [op.module for op in trace.operations if op.name == "aten.silu"]
    assert places == ["0.act", "1.act", "2.1"]
    assert [trace.modules[path].calls for path in places] == [1, 1, 1]
    assert trace.modules["0.act"].aliases == ("1.act", "2.1")
    assert sum(record.own_params for record in trace.modules.values()) == trace.params


class Chooses(nn.Module):
    """A network whose head runs on as many boxes as are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 8)

    def forward(self, x):
        x = self.body(x)
        return self.head(x[(x[:, 0] > 0).nonzero().squeeze(1)])


def test_what_depends_on_data_is_kept_apart_and_repeats():
    torch.manual_seed(0)
    model, x = Chooses(), torch.randn(50, 4)
    kept = int((model.body(x)[:, 0] > 0).sum())
    traces = [gadprof.count(model, (x,)) for _ in range(2)]
    for trace in traces:
        assert trace.device == "cpu"
        assert trace.macs == 50 * 16 + kept * 32
        assert trace.data_dependent_macs == kept * 32
        assert dict(trace.chosen_by_data) == {"aten.nonzero": kept}


def test_a_real_run_without_values_is_the_same_each_time():
    with torch.device("meta"):
        model, x = Chooses(), torch.zeros(50, 4)
    assert len({gadprof.count(model, (x,)).macs for _ in range(3)}) == 1


ENCODER = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 2).eval()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_an_encoder_counts_its_padding_with_a_mask_as_without(frozen, masked):
    mask = torch.zeros(2, 10, dtype=torch.bool)
    mask[1, 6:] = True
    model = ENCODER.requires_grad_(not frozen)
    kwargs = {"src_key_padding_mask": mask} if masked else {}
    trace = gadprof.count(model, (torch.randn(2, 10, 32),), kwargs)
    # two layers: four projections, scores and values, and the feed-forward part, for 20 rows
    assert trace.macs == 2 * (20 * 4 * 32 * 32 + 2 * 2 * 10 * 10 * 32 + 20 * 2 * 32 * 64)
    assert trace.macs == 353_280
    assert not trace.uncovered


def test_jagged_rows_are_counted_as_they_are():
    ragged = torch.nested.nested_tensor([torch.randn(3, 8), torch.randn(5, 8)], layout=torch.jagged)
    trace = gadprof.count(nn.Linear(8, 16), (ragged,))
    assert trace.macs == 8 * 8 * 16
    assert trace.input_shapes == ((2, 5, 8),)


LAZY = (nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(4))


def test_lazy_layers_take_the_shapes_that_the_input_gives_and_stay_lazy():
    model = nn.Sequential(*LAZY).eval()
    trace = gadprof.count(model, (torch.zeros(1, 3, 8, 8),))
    assert trace.macs == 36 * 8 * 27 + 8 * 36 * 4
    assert trace.params == 8 * 27 + 8 + 16 + 4 * 288 + 4
    assert type(model[0]) is nn.LazyConv2d
    assert torch.nn.parameter.is_lazy(model[0].weight)


def test_lazy_layers_that_do_not_run_are_refused_in_a_line():
    with pytest.raises(gadprof.errors.ModelFailedError, match="lazy"):
        gadprof.count(nn.Sequential(*LAZY), (torch.zeros(1, 3),))


class Loops(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.layer, self.function = nn.Linear(4, 4), function

    def forward(self, x):
        return self.function(self, x)


def _while(self, x):
    from torch._higher_order_ops.while_loop import while_loop

    return while_loop(
        lambda step, x: step < 5, lambda step, x: (step + 1, self.layer(x)), (torch.tensor(0), x)
    )


def _scan(self, x):
    from torch._higher_order_ops.scan import scan

    return scan(lambda carried, row: (carried + row, self.layer(carried)), torch.zeros(4), x)


def _map(self, x):
    from torch._higher_order_ops.map import map as mapped

    return mapped(lambda row: self.layer(row), x)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("function", "rows"), [(_while, 5 * 6), (_scan, 6), (_map, 6)])
def test_loops_count_their_bodies_as_often_as_they_run(function, rows):
    trace = gadprof.count(Loops(function), (torch.randn(6, 4),))
    assert trace.macs == rows * 16
    assert not trace.uncovered


@pytest.mark.filterwarnings("ignore")
def test_flexible_attention_counts_the_blocks_of_its_mask():
    flex = pytest.importorskip("torch.nn.attention.flex_attention")
    q = torch.randn(1, 2, 256, 16)
    mask = flex.create_block_mask(lambda b, h, i, j: i >= j, None, None, 256, 256, device="cpu")
    full = counted(lambda s, q: flex.flex_attention(q, q, q), q)
    causal = counted(lambda s, q: flex.flex_attention(q, q, q, block_mask=mask), q)
    assert full.macs == 2 * 256 * 256 * 32
    assert causal.macs == 2 * 3 * 128 * 128 * 32  # three of four blocks
    scored = counted(
        lambda s, q: flex.flex_attention(q, q, q, score_mod=lambda score, *_: score * 2 + 1), q
    )
    assert scored.flops == full.flops + 2 * 2 * 256 * 256


@pytest.mark.filterwarnings("ignore")
def test_a_rule_of_the_users_wins_for_operators_that_take_functions():
    gadprof.rule("higher_order::map_impl", macs=7)
    try:
        assert gadprof.count(Loops(_map), (torch.randn(6, 4),)).macs == 7
    finally:
        gadprof.counting.rules.registry.forget("higher_order::map_impl")


@pytest.mark.filterwarnings("ignore")
def test_what_asks_or_marks_is_no_operation_without_a_rule():
    def forward(self, x):
        with torch.profiler.record_function("part"):
            pairs = torch.sparse_coo_tensor(torch.tensor([[0, 1], [1, 0]]), torch.ones(2), (2, 2))
            return pairs @ self.layer(x)

    assert not gadprof.count(Loops(forward), (torch.zeros(2, 4),)).uncovered
    assert not gadprof.count(nn.DataParallel(nn.Linear(4, 4)), (torch.zeros(2, 4),)).uncovered


def test_a_model_may_take_gradients_by_its_inputs_in_a_real_run():
    def forward(self, x):
        scale = self.layer(x).sum()
        return torch.autograd.grad(scale * float(scale.item() > 0), x)[0]

    trace = gadprof.count(Loops(forward), (torch.ones(2, 4, requires_grad=True),))
    assert trace.macs == 2 * 2 * 16


def test_a_convolution_of_no_picture_costs_nothing():
    trace = gadprof.count(nn.Conv2d(3, 4, 3), (torch.zeros(0, 3, 8, 8),), train=False)
    assert trace.macs == 0


class JaggedAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(8, 24)

    def forward(self, x):
        parts = self.project(x).chunk(3, -1)
        q, k, v = (part.unflatten(-1, [2, 4]).transpose(1, 2) for part in parts)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2) + x


@pytest.mark.filterwarnings("ignore")
def test_attention_of_jagged_rows_is_of_each_length_with_itself():
    ragged = torch.nested.nested_tensor([torch.randn(3, 8), torch.randn(5, 8)], layout=torch.jagged)
    trace = gadprof.count(JaggedAttention(), (ragged,))
    assert trace.macs == 8 * 8 * 24 + 2 * (9 + 25) * 8
    assert not trace.uncovered


@pytest.mark.parametrize("layout", ["coo", "csr"])
def test_a_sparse_parameter_and_a_sparse_input_are_what_they_hold(layout):
    class Learnt(nn.Module):
        def __init__(self):
            super().__init__()
            dense = torch.eye(20).to_sparse()
            self.weight = nn.Parameter(dense if layout == "coo" else dense.to_sparse_csr())

        def forward(self, x):
            return torch.sparse.mm(self.weight, x)

    trace = gadprof.count(Learnt(), (torch.randn(20, 8),))
    assert (trace.macs, trace.params, trace.trainable_params) == (20 * 8, 20, 20)
    given = torch.eye(20).to_sparse()
    given = given if layout == "coo" else given.to_sparse_csr()
    trace = gadprof.count(nn.Linear(20, 4), (given,))
    assert (trace.macs, trace.flops) == (20 * 4, 2 * 20 * 4 + 20 * 4)
    assert not trace.uncovered


PARTS = 3 * 8, 5 * 8  # two sequences of 3 and of 5 rows of 8


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("module", "macs", "flops"),
    [
        (nn.Linear(8, 4), 8 * 8 * 4, 2 * 8 * 8 * 4 + 8 * 4),
        (nn.ReLU(), 0, sum(PARTS)),
        (Calls(lambda self, x: x @ x.transpose(1, 2)), (9 + 25) * 8, 2 * (9 + 25) * 8),
        (
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(),
            8 * (4 * 8 * 8 + 2 * 8 * 16) + 2 * (9 + 25) * 8,
            None,
        ),
    ],
)
def test_a_strided_nested_input_counts_each_of_its_sequences(module, macs, flops):
    given = torch.nested.nested_tensor([torch.randn(3, 8), torch.randn(5, 8)])
    before = dict(module.named_parameters())
    trace = gadprof.count(module, (given,))
    assert trace.macs == macs
    assert flops is None or trace.flops == flops
    assert not trace.uncovered
    assert trace.input_shapes == ((2, 5, 8),)
    assert all(now is before[name] for name, now in module.named_parameters())


def test_a_deformable_convolution_is_its_convolution_and_four_taps_a_sample():
    ops = pytest.importorskip("torchvision.ops")
    x, offset, mask = torch.randn(1, 4, 8, 8), torch.zeros(1, 36, 8, 8), torch.ones(1, 18, 8, 8)
    weight = torch.randn(6, 2, 3, 3)  # two groups of two channels
    plain = counted(lambda s: ops.deform_conv2d(s.x, s.o, s.w, padding=1), x=x, o=offset, w=weight)
    assert plain.macs == 64 * 2 * 9 * 6
    # four products and three sums a sample; torchvision adds a bias of zeros
    assert plain.flops - 2 * plain.macs == 64 * 4 * 9 * (4 + 3) + 64 * 6
    masked = counted(
        lambda s: ops.deform_conv2d(s.x, s.o, s.w, padding=1, mask=s.m),
        x=x, o=offset, w=weight, m=mask,
    )  # fmt: skip
    assert masked.macs == plain.macs
    assert masked.flops - plain.flops == 64 * 4 * 9  # each sample by its mask


def test_deformable_attention_without_its_kernel_is_four_projections_and_elementwise_work():
    modeling = pytest.importorskip("transformers.models.deformable_detr.modeling_deformable_detr")
    import transformers

    config = transformers.DeformableDetrConfig(
        d_model=32, encoder_attention_heads=4, num_feature_levels=2, encoder_n_points=3,
        disable_custom_kernels=True,
    )  # fmt: skip
    attention = modeling.DeformableDetrMultiscaleDeformableAttention(config, 4, 3)
    x = torch.randn(1, 20, 32)
    trace = gadprof.count(
        attention,
        (),
        {
            "hidden_states": x, "encoder_hidden_states": x,
            "reference_points": torch.rand(1, 20, 2, 2),
            "spatial_shapes": torch.tensor([[4, 4], [2, 2]]),
            "spatial_shapes_list": [(4, 4), (2, 2)],
            "level_start_index": torch.tensor([0, 16]),
        },
    )  # fmt: skip
    places = 4 * 2 * 3  # heads x levels x points
    assert trace.macs == 20 * (2 * 32 * 32 + 2 * places * 32 + places * 32)
    sampled = [item for item in trace.operations if item.name.endswith("grid_sampler")]
    assert [item.outputs[0].elements for item in sampled] == [20 * 4 * 3 * 8] * 2
    assert not trace.uncovered


def _convolution_of_steps(x: torch.Tensor) -> torch.Tensor:
    return torch.conv_tbc(x, torch.ones(3, 4, 5), torch.ones(5))


def _eight_bit_weights(x: torch.Tensor) -> torch.Tensor:
    weight = torch.ones(5, 4, dtype=torch.int8)
    return torch.ops.aten._weight_int8pack_mm(x[0].bfloat16(), weight, torch.ones(5).bfloat16())


@pytest.mark.parametrize(
    ("function", "macs", "flops"),
    [
        # 7 steps leave 5 of a kernel of 3; 2 sequences, 4 channels to 5, and a bias
        (_convolution_of_steps, 5 * 2 * 3 * 4 * 5, 2 * 600 + 50),
        # 2 rows of 4 by 5 columns, and the scale of each output
        (_eight_bit_weights, 2 * 4 * 5, 2 * 40 + 10),
        (torch.i0, 0, 56),
    ],
)
def test_products_of_packed_or_turned_operands(function, macs, flops):
    trace = gadprof.count(Calls(lambda self, x: function(x)), (torch.ones(7, 2, 4),))
    assert (trace.macs, trace.flops, dict(trace.uncovered)) == (macs, flops, {})


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_scripted_module_counts_as_the_one_it_was_made_from():
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    scripted = torch.jit.script(plain)
    x = torch.randn(1, 3, 6, 6)
    before = scripted(x)
    traces = [gadprof.count(module, (x,)) for module in (plain, scripted)]
    figures = [(item.params, item.buffers, item.macs, item.flops) for item in traces]
    assert figures[0] == figures[1] == (3 * 4 * 9 + 4 + 8, 9, 16 * 4 * 27, figures[0][3])
    assert torch.equal(scripted(x), before)


def _one_by_one(self: nn.Module, x: torch.Tensor):
    yield self.layer(x)


async def _later(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return self.layer(x)


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize(
    "forward",
    [
        _one_by_one,
        _later,
        lambda self, x: map(self.layer, [x, x]),
        lambda self, x: {"maps": (self.layer(item) for item in [x])},
    ],
)
def test_work_that_is_not_done_when_forward_returns_is_no_work_of_nothing(forward):
    module = Calls(forward)
    module.layer = nn.Linear(4, 4)
    with pytest.raises(gadprof.errors.ModelFailedError, match=r"returns .* in a list"):
        gadprof.count(module, (torch.ones(2, 4),))
