"""Time one outer step of MAML on an autoencoder, beside loops over tasks.

16 tasks, 10 support and 32 query rows each, mean squared error inside and outside.
First second-order MAML on a dense autoencoder of hidden widths 64, 32, 64: this
package's written-out gradient and its autograd loop (all tasks at once), torchopt's
MetaSGD and torch.func.functional_call (one task after the other). Then first-order
MAML, Reptile and ANIL on it, and all four on a convolutional one of pictures of 28 x 28
(channels 32, 64, 128, stride 2, bottleneck 128), beside functional_call in a loop and,
for second-order MAML, torchopt. Gradients of all are checked to be equal. Medians over
repetitions in which the compared calls take turns, and the share of the machine's
matrix rate that the written-out gradient reaches. With --compile, instead, how
torch.compile does on the same step in plain operations, and how long it warms up.

    python benchmarks/maml_step.py [--repeats 5] [--threads 1 2] [--compile]
"""

import argparse
import statistics
import time
from math import prod
from unittest.mock import patch

import torch
from torch.func import functional_call
from torch.nn.functional import mse_loss
from torch.utils.flop_counter import FlopCounterMode

from skmetaad.core import products
from skmetaad.core.codecs import ConvCodec
from skmetaad.core.dense_loop import dense_inner_loop
from skmetaad.core.dense_step import Loss
from skmetaad.core.forms import whole
from skmetaad.core.inner import inner_loop
from skmetaad.core.nets import init_mlp, mlp

try:
    import torchopt
except ImportError:  # an optional rival
    torchopt = None

ALGORITHMS = ("maml", "fomaml", "reptile", "anil")
CODEC = ConvCodec((1, 28, 28), (32, 64, 128), 128)
N_TASKS, N_SUPPORT, N_QUERY, RATE, N_LAYERS = 16, 10, 32, 0.1, 4


def batch_of(width):
    g = torch.Generator().manual_seed(0)
    support = torch.randn(N_TASKS, N_SUPPORT, width, generator=g)
    return support, torch.randn(N_TASKS, N_QUERY, width, generator=g)


def outer(fast, query):
    # The sum over tasks of each one's mean.
    return mse_loss(mlp(fast, query, N_LAYERS), query) * len(query)


def loss_on(support):
    """Return the mean squared error of the support's rows."""
    normal = torch.full(support.shape[:2], 1.0 / N_SUPPORT)
    return Loss(normal, None, support.shape[2], "relu")


def written_out(params, support, query, n_steps, order=2):
    rates = dict.fromkeys(params, torch.full((n_steps,), RATE))
    (fast,) = dense_inner_loop(
        params,
        support,
        support,
        loss_on(support),
        rates,
        prefix="",
        n_layers=N_LAYERS,
        order=order,
    )
    return torch.autograd.grad(outer(fast, query), list(params.values()))


def autograd_loop(params, support, query, n_steps):
    rates = dict.fromkeys(params, torch.full((n_steps,), RATE))

    def loss_of(net, given):
        return (mlp(net, support, N_LAYERS) - support).square().mean(dim=(1, 2))

    (fast,) = inner_loop(params, loss_of, rates, N_TASKS)
    return torch.autograd.grad(outer(fast, query), list(params.values()))


def explicit_loss(weights, biases, support, query, n_steps):
    """Return the outer loss in operations that torch.compile can differentiate."""
    weights = [w.expand(N_TASKS, *w.shape) for w in weights]
    biases = [b.expand(N_TASKS, *b.shape) for b in biases]

    def forward(rows):
        inputs, outputs = [rows], []
        for weight, bias in zip(weights, biases, strict=True):
            outputs.append(torch.baddbmm(bias.unsqueeze(1), inputs[-1], weight))
            inputs.append(torch.relu(outputs[-1]))
        return inputs, outputs

    for _ in range(n_steps):
        inputs, outputs = forward(support)
        change = (outputs[-1] - support) * (2.0 / support[0].numel())
        for i in range(N_LAYERS - 1, -1, -1):
            weight = weights[i]
            weights[i] = torch.baddbmm(weight, inputs[i].mT, change, alpha=-RATE)
            biases[i] = biases[i] - RATE * change.sum(dim=1)
            if i:
                change = (change @ weight.mT) * (outputs[i - 1] > 0)
    return mse_loss(forward(query)[1][-1], query) * len(query)


def compiled(width, n_steps, repeats):
    """Return cells of the third table."""
    params = init_mlp((width, 64, 32, 64, width), torch.Generator().manual_seed(1))
    params = {name: value.requires_grad_() for name, value in params.items()}
    support, query = batch_of(width)
    start, loss_of = list(params.values()), torch.compile(explicit_loss)
    parts = start[::2], start[1::2], support, query, n_steps

    def call():
        return torch.autograd.grad(loss_of(*parts), start)

    before = time.perf_counter()
    found = call()
    warm_up = time.perf_counter() - before
    for got, want in zip(
        found, written_out(params, support, query, n_steps), strict=True
    ):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-5)
    calls = {
        "compiled": call,
        "eager": lambda: torch.autograd.grad(explicit_loss(*parts), start),
        "ours": lambda: written_out(params, support, query, n_steps),
    }
    times = seconds(calls, repeats)
    ratios = [f"{times[name] / times['ours']:.2f}" for name in ("compiled", "eager")]
    return [f"{1000 * times['ours']:.2f}", *ratios, f"{warm_up:.0f} s"]


def module_of(params):
    layers = []
    for i in range(N_LAYERS):
        weight = params[f"weight{i}"]
        layers += [torch.nn.Linear(*weight.shape), torch.nn.ReLU()]
        layers[-2].weight.data.copy_(weight.t())
        layers[-2].bias.data.copy_(params[f"bias{i}"])
    return torch.nn.Sequential(*layers[:-1])


def gradients(net, total):
    """Return the gradients of the module's parameters as those of `params`."""
    found = torch.autograd.grad(total, list(net.parameters()))
    return [g.t() if g.dim() == 2 else g for g in found]


def by_functional_call(net, support, query, n_steps):
    total = 0.0
    start = dict(net.named_parameters())
    for rows, asked in zip(support, query, strict=True):
        fast = start
        for _ in range(n_steps):
            loss = mse_loss(functional_call(net, fast, (rows,)), rows)
            grads = torch.autograd.grad(loss, list(fast.values()), create_graph=True)
            fast = {
                name: value - RATE * grad
                for (name, value), grad in zip(fast.items(), grads, strict=True)
            }
        total = total + mse_loss(functional_call(net, fast, (asked,)), asked)
    return gradients(net, total)


def by_torchopt(net, support, query, n_steps):
    optimizer = torchopt.MetaSGD(net, lr=RATE)
    net_state = torchopt.extract_state_dict(net, by="reference", detach_buffers=True)
    optimizer_state = torchopt.extract_state_dict(optimizer, by="reference")
    start, total = list(net.parameters()), 0.0
    for rows, asked in zip(support, query, strict=True):
        for _ in range(n_steps):
            optimizer.step(mse_loss(net(rows), rows))
        total = total + mse_loss(net(asked), asked)
        torchopt.recover_state_dict(net, net_state)
        torchopt.recover_state_dict(optimizer, optimizer_state)
    found = torch.autograd.grad(total, start)
    return [g.t() if g.dim() == 2 else g for g in found]


def seconds(calls, repeats, n_calls=3):
    """Return median times of calls that take turns, so that all meet the same load."""
    times = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            call()  # to warm up
            start = time.perf_counter()
            for _ in range(n_calls):
                call()
            times[name].append((time.perf_counter() - start) / n_calls)
    return {name: statistics.median(own) for name, own in times.items()}


def operations(call):
    """Return the number of floating point operations of a call's matrix products."""

    def count(start, a, b, *_, **__):  # of shapes
        return 2 * prod(a) * b[-1]

    # The counter knows neither products in place nor oneDNN's.
    in_place = dict.fromkeys([torch.ops.aten.addmm_, torch.ops.aten.baddbmm_], count)
    counter = FlopCounterMode(display=False, custom_mapping=in_place)
    with patch.object(products, "HAS_ONEDNN", False), counter:
        call()
    return counter.get_total_flops()


def compare(width, n_steps, repeats):
    g = torch.Generator().manual_seed(1)
    params = init_mlp((width, 64, 32, 64, width), g)
    params = {name: value.requires_grad_() for name, value in params.items()}
    net = module_of(params)
    data = *batch_of(width), n_steps
    calls = {
        "written out": lambda: written_out(params, *data),
        "autograd": lambda: autograd_loop(params, *data),
        "functional_call": lambda: by_functional_call(net, *data),
        "written out, 1st order": lambda: written_out(params, *data, order=1),
    }
    if torchopt is not None:
        calls["torchopt"] = lambda: by_torchopt(net, *data)
    expected = calls["functional_call"]()
    for name in calls.keys() - {"written out, 1st order"}:
        for got, want in zip(calls[name](), expected, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-5)
    n_operations = operations(calls["written out"])
    a = torch.randn(512, 512)
    times = seconds(calls | {"matrices": lambda: products.multiply(a, a)}, repeats)
    rate = 2 * 512**3 / times["matrices"]
    share = n_operations / times["written out"] / rate
    ours = times["written out"]
    ratios = {
        name: f"{times[name] / ours:.1f}" if name in times else "-"
        for name in ("torchopt", "functional_call", "autograd")
    }
    first = f"{times['written out, 1st order'] / ours:.2f}"
    return [f"{1000 * ours:.2f}", *ratios.values(), first, f"{100 * share:.0f} %"]


def moved(params, algorithm):
    """Return the names of the parameters that the inner loop moves."""
    return list(params)[-2:] if algorithm == "anil" else list(params)


def pulled(params, fast):
    """Return Reptile's gradients: from the mean adapted network to the start."""
    return [(v - fast[k].mean(dim=0)) / RATE for k, v in params.items()]


def at_once(params, support, query, n_steps, algorithm, conv):
    """Return the gradients by this package."""
    names = moved(params, algorithm)
    rates = {name: torch.full((n_steps,), RATE) for name in names}
    options = {"order": 1 if algorithm in ("fomaml", "reptile") else 2}

    def reconstructed(net, rows):
        if not conv:
            return mlp(net, rows, N_LAYERS)
        return CODEC.decode(net, torch.relu(CODEC.encode(net, rows)))

    def loss_of(net, given):
        net = params | net
        return (reconstructed(net, support) - support).square().mean(dim=(1, 2))

    with torch.set_grad_enabled(algorithm != "reptile"):
        if conv:
            start = {name: params[name] for name in names}
            (fast,) = inner_loop(start, loss_of, rates, len(support), **options)
        else:
            data = support, support, loss_on(support), rates
            options |= {"prefix": "", "n_layers": N_LAYERS}
            (fast,) = dense_inner_loop(params, *data, **options)
        if algorithm == "reptile":
            return pulled(params, whole(fast))
    loss = mse_loss(reconstructed(params | fast, query), query) * len(query)
    return torch.autograd.grad(loss, list(params.values()))


def one_by_one(net, support, query, n_steps, algorithm):
    """Return the gradients by functional_call, a task after the other."""
    start, total, ends = dict(net.named_parameters()), 0.0, []
    names = moved(start, algorithm)
    for rows, asked in zip(support, query, strict=True):
        fast = start
        for _ in range(n_steps):
            loss = mse_loss(functional_call(net, fast, (rows,)), rows)
            grads = torch.autograd.grad(
                loss,
                [fast[name] for name in names],
                create_graph=algorithm in ("maml", "anil"),
            )
            pairs = zip(names, grads, strict=True)
            fast = fast | {name: fast[name] - RATE * grad for name, grad in pairs}
        if algorithm == "reptile":
            ends.append({name: value.detach() for name, value in fast.items()})
        else:
            total = total + mse_loss(functional_call(net, fast, (asked,)), asked)
    if algorithm != "reptile":
        return gradients(net, total)
    with torch.no_grad():
        ends = {name: torch.stack([end[name] for end in ends]) for name in start}
        return [g.t() if g.dim() == 2 else g for g in pulled(start, ends)]


def conv_module(params):
    sizes = [shape[1] for shape in CODEC.shapes]
    options = {"stride": 2, "padding": 1}
    down = [
        torch.nn.Conv2d(before[0], after[0], 3, **options)
        for before, after in zip(CODEC.shapes[:-1], CODEC.shapes[1:], strict=True)
    ]
    up = [
        torch.nn.ConvTranspose2d(
            layer.out_channels,
            layer.in_channels,
            3,
            output_padding=1 - size % 2,
            **options,
        )
        for layer, size in zip(down[::-1], sizes[-2::-1], strict=True)
    ]
    flat, relu = prod(CODEC.shapes[-1]), torch.nn.ReLU
    layers = [torch.nn.Unflatten(1, CODEC.image_shape)]
    for layer in down:
        layers += [layer, relu()]
    layers += [torch.nn.Flatten(), torch.nn.Linear(flat, CODEC.width), relu()]
    layers += [torch.nn.Linear(CODEC.width, flat), relu()]
    layers += [torch.nn.Unflatten(1, CODEC.shapes[-1])]
    for layer in up:
        layers += [layer, relu()]
    net = torch.nn.Sequential(*layers[:-1], torch.nn.Flatten())
    for own, value in zip(net.parameters(), params.values(), strict=True):
        own.data.copy_(value.t() if value.dim() == 2 else value)
    return net


def compare_algorithm(width, n_steps, algorithm, repeats):
    """Return cells of the second table; no width means pictures."""
    g = torch.Generator().manual_seed(1)
    params = init_mlp((width, 64, 32, 64, width), g) if width else CODEC.init(g)
    if not width:  # in the order of the layers
        pairs = [(f"weight{i}", f"bias{i}") for i in range(CODEC.n_layers)]
        params = {name: params[name] for pair in pairs for name in pair}
    params = {name: value.requires_grad_() for name, value in params.items()}
    net = module_of(params) if width else conv_module(params)
    data = *batch_of(width or 784), n_steps
    calls = {
        "ours": lambda: at_once(params, *data, algorithm, conv=not width),
        "functional_call": lambda: one_by_one(net, *data, algorithm),
    }
    if torchopt is not None and algorithm == "maml":
        calls["torchopt"] = lambda: by_torchopt(net, *data)
    expected = calls["functional_call"]()
    for name in calls:
        for got, want in zip(calls[name](), expected, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4)
    n_calls = 3 if width else 1
    times = seconds(calls, repeats, n_calls)
    ratios = [
        f"{times[name] / times['ours']:.1f}" if name in times else "-"
        for name in ("torchopt", "functional_call")
    ]
    return [f"{1000 * times['ours']:.2f}", *ratios]


def main_compiled(option):
    row = "{:>8}{:>8}{:>7}{:>9}{:>10}{:>8}{:>9}"
    print(
        "The same in plain operations, as multiples of the written-out gradient's time."
    )
    print(row.format("threads", "width", "steps", "ms", "compiled", "eager", "warm-up"))
    for threads in option.threads:
        torch.set_num_threads(threads)
        for width in (20, 100, 784):
            for n_steps in (1, 5):
                torch.compiler.reset()
                cells = compiled(width, n_steps, option.repeats)
                print(row.format(threads, width, n_steps, *cells), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--compile", action="store_true", help="this alone")
    option = parser.parse_args()
    repeats = option.repeats
    if option.compile:
        return main_compiled(option)
    head = ("threads", "width", "steps", "ms", "torchopt", "functional_call")
    row = "{:>8}{:>8}{:>7}{:>9}{:>10}{:>17}{:>10}{:>11}{:>13}"
    print("Times as multiples of the written-out gradient's, which is given in ms.")
    print(row.format(*head, "autograd", "1st order", "matrix rate"))
    for threads in option.threads:
        torch.set_num_threads(threads)
        for width in (20, 100, 784):
            for n_steps in (1, 5):
                cells = compare(width, n_steps, repeats)
                print(row.format(threads, width, n_steps, *cells), flush=True)
    head = ("threads", "network", "steps", "algorithm", "ms", *head[4:6])
    row = "{:>8}{:>11}{:>7}{:>11}{:>10}{:>10}{:>17}"
    print("\nThe same by algorithm, as multiples of this package's time.")
    print(row.format(*head))
    for threads in option.threads:
        torch.set_num_threads(threads)
        for width, n_steps in ((20, 5), (100, 5), (784, 5), (None, 1)):
            for algorithm in ALGORITHMS:
                cells = compare_algorithm(width, n_steps, algorithm, repeats)
                name = f"dense {width}" if width else "conv 28x28"
                print(row.format(threads, name, n_steps, algorithm, *cells), flush=True)


if __name__ == "__main__":
    main()
