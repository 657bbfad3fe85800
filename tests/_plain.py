"""What the tests of cores share: parameters, networks in numpy, gradients checked."""

import numpy as np
import pytest
import torch


def parameters(core, width):
    """Return parameters in float64, none of them at a special value."""
    g = torch.Generator().manual_seed(0)
    params = core.init(g)
    fixed = {"within": 0.5, "between": 0.7, "row_scale": 1.3}
    params |= {k: v * torch.ones(width) for k, v in fixed.items()}
    return {
        k: v.double() + 0.1 * torch.rand(v.shape, generator=g, dtype=torch.float64)
        for k, v in params.items()
    }


def drawn(width, n_tasks=2, n_support=5, n_query=4):
    """Return the rows of supports and of queries."""
    rng = np.random.default_rng(2)
    support = rng.normal(size=(n_tasks, n_support, width))
    return support, rng.normal(size=(n_tasks, n_query, width))


def plain(params):
    return {name: value.detach().numpy() for name, value in params.items()}


def mlp(p, x, n_layers, prefix):
    for i in range(n_layers):
        x = x @ p[f"{prefix}weight{i}"] + p[f"{prefix}bias{i}"]
        x = np.maximum(x, 0) if i < n_layers - 1 else x
    return x


def check_gradients(loss, params, names, of=None):
    """Compare gradients with central differences, at three entries of each parameter.

    `of(name)` gives the function of all parameters that is to have the gradient, where
    this is not `loss`.
    """
    leaves = {name: params[name].clone().requires_grad_() for name in names}
    grads = torch.autograd.grad(
        loss({**params, **leaves}), list(leaves.values()), allow_unused=True
    )
    step, rng = 1e-6, np.random.default_rng(0)
    for name, grad in zip(names, grads, strict=True):
        grad = torch.zeros_like(params[name]) if grad is None else grad
        for _ in range(min(3, grad.numel())):
            at = tuple(rng.integers(n) for n in grad.shape)
            moved = []
            for sign in (1, -1):
                value = params[name].clone()
                value[at] += sign * step
                # Inner loops differentiate, so that all have to be leaves.
                probe = {**params, **leaves, name: value.requires_grad_()}
                moved.append((of(name) if of else loss)(probe).item())
            want = (moved[0] - moved[1]) / (2 * step)
            assert grad[at].item() == pytest.approx(want, abs=1e-7, rel=1e-4), name
