"""The written-out gradient of dense inner loops, by differences in double precision."""

import numpy as np
import pytest
import torch

from skmetaad.core import products
from skmetaad.core.dense_loop import dense_inner_loop
from skmetaad.core.dense_step import Loss
from skmetaad.core.forms import LowRank, Own, Spanned, detached, whole
from skmetaad.core.nets import init_mlp, mlp

T, K, Q = 2, 2, 3
NARROW, WIDE = (5, 4, 3, 4, 5), (24, 4, 3, 4, 24)


def drawn(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def problem(sizes, n_steps=2, each_element=False):
    params = init_mlp(sizes, torch.Generator().manual_seed(1))
    params = {
        name: (value.double() + 0.1 * drawn(*value.shape, seed=2)).requires_grad_()
        for name, value in params.items()
    }
    shape = lambda v: v.shape if each_element else ()  # noqa: E731
    rates = {
        name: (0.05 + 0.01 * drawn(n_steps, *shape(v), seed=3)).requires_grad_()
        for name, v in params.items()
    }
    rows = drawn(T, K, sizes[0], seed=4).requires_grad_()
    return params, rates, rows, (rows.detach() + 0.1).requires_grad_()


def adapted(params, rates, rows, target, **options):
    loss = Loss(
        torch.tensor([[0.5, 0.5], [1.0, 0.0]], dtype=torch.float64),
        torch.tensor([[0.0, 0.0], [0.0, 1.0]], dtype=torch.float64),
        target.shape[2],
        options.pop("activation", "tanh"),
        options.pop("clip", None),
    )
    n_layers = len(params) // 2
    return dense_inner_loop(
        params, rows, target, loss, rates, prefix="", n_layers=n_layers, **options
    )


def outcome(params, rates, rows, target, activation="tanh", **options):
    """Return what depends on all adapted weights, and on what they make of rows."""
    query, total = drawn(T, Q, rows.shape[2], seed=5), 0.0
    options["activation"] = activation
    for net in adapted(params, rates, rows, target, **options):
        net = params | net
        found = mlp(net, query, len(params) // 2, activation=activation)
        dense = sum(value.square().sum() for value in whole(net).values())
        total = total + found.sin().sum(dim=(1, 2)) + 0.1 * dense
    return total


@pytest.mark.parametrize("sizes", [NARROW, WIDE])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": "silu"},
        {"clip": 0.1},
        {"clip": 0.1, "each": True},
        {"each": True},
        {"checkpoint": True},
        {"checkpoint": True, "each": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("each_element", [False, True])
def test_gradients_equal_differences(sizes, options, each_element):
    data = problem(sizes, n_steps=3, each_element=each_element)
    params, rates = data[:2]
    names, tensors = list(params), [*params.values(), *rates.values(), *data[2:]]

    def function(*tensors):
        n = len(names)
        params = dict(zip(names, tensors[:n], strict=True))
        rates = dict(zip(names, tensors[n : 2 * n], strict=True))
        return outcome(params, rates, *tensors[2 * n :], **options)

    assert torch.autograd.gradcheck(function, tensors, fast_mode=True)


@pytest.mark.parametrize("sizes", [NARROW, WIDE])
def test_rates_alone_have_the_same_gradient(sizes):
    params, rates, rows, target = problem(sizes)
    expected = torch.autograd.grad(
        outcome(params, rates, rows, target).sum(), list(rates.values())
    )
    params = {name: value.detach() for name, value in params.items()}
    alone = outcome(params, rates, rows.detach(), target.detach()).sum()
    found = torch.autograd.grad(alone, list(rates.values()))
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10)


def test_wide_layers_are_not_written_down():
    (narrow,) = adapted(*problem(NARROW))
    (wide,) = adapted(*problem(WIDE))
    assert {type(narrow[f"weight{i}"]) for i in range(4)} == {Own}
    kinds = [type(wide[f"weight{i}"]) for i in range(4)]
    assert kinds == [LowRank, Own, Own, Spanned]


@pytest.mark.parametrize("sizes", [NARROW, WIDE])
@pytest.mark.parametrize("order", [1, 2])
def test_forms_apply_as_the_weights_they_stand_for(sizes, order):
    data = problem(sizes)
    query = drawn(T, Q, sizes[0])
    (net,) = adapted(*data, order=order)
    found = mlp(net, query, 4, activation="tanh")
    expected = mlp(whole(net), query, 4, activation="tanh")
    np.testing.assert_allclose(found.detach(), expected.detach(), rtol=1e-10)
    assert not any(v.requires_grad for v in whole(detached(net)).values())


def test_first_order_gradients_are_those_at_the_end():
    data = problem(WIDE)
    (net,) = adapted(*data, order=1)
    dense = whole(net)
    value = sum((i + 1) * v.sin().sum() for i, v in enumerate(dense.values()))
    found = torch.autograd.grad(value, list(data[0].values()), retain_graph=True)
    ends = torch.autograd.grad(value, list(dense.values()))
    ends = dict(zip(dense, ends, strict=True))
    for (name, _), gradient in zip(data[0].items(), found, strict=True):
        np.testing.assert_allclose(gradient, ends[name].sum(dim=0), rtol=1e-10)


@pytest.mark.parametrize("has_onednn", sorted({False, products.HAS_ONEDNN}))
@pytest.mark.parametrize("start", [False, True])
def test_products_are_those_of_matrices(has_onednn, start, monkeypatch):
    monkeypatch.setattr(products, "HAS_ONEDNN", has_onednn)
    g = torch.Generator().manual_seed(0)
    x = torch.randn(4, 120, 80, generator=g, requires_grad=True)
    weight = torch.randn(80, 70, generator=g, requires_grad=True)
    assert x.numel() * 70 > products.WORTHWHILE
    added = torch.randn(4, 120, 70, generator=g) if start else None
    expected = x @ weight if added is None else x @ weight + added
    with torch.no_grad():
        found = products.multiply(x, weight, added)
    torch.testing.assert_close(found, expected)
    away = torch.randn(4, 120, 70, generator=g)
    own = torch.autograd.grad(products.product(x, weight), (x, weight), away)
    for got, want in zip(
        own, torch.autograd.grad(x @ weight, (x, weight), away), strict=True
    ):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
