"""What is compared: our detectors, PyOD's on the same rows, and k-NN after scaling."""

import ast
import importlib
import time
import warnings
from dataclasses import dataclass, field

import numpy as np

from skmetaad._compare._data import InputError
from skmetaad.utils import all_detectors

KNN, NEAREST, SCALED = "KNN", "KNN (nearest)", "KNN (fleet-scaled)"
PYOD = {
    KNN: "pyod.models.knn",
    "LOF": "pyod.models.lof",
    "IForest": "pyod.models.iforest",
    "ECOD": "pyod.models.ecod",
    "OCSVM": "pyod.models.ocsvm",
    "KDE": "pyod.models.kde",
}
REMARKS = {
    KNN: "PyOD's KNN on the K support rows with min(5, K - 1) neighbours, the most it "
    "takes, and with the one row at K = 1.",
    NEAREST: "The same k-NN with 1 neighbour: with few support rows often the harder "
    "bar.",
    SCALED: "The same k-NN after scaling columns by the mean and standard deviation of "
    "the training tasks' inliers.",
    "ECOD": "Transductive: scores the query rows together, so a row's score depends "
    "on the others.",
}
TOO_FEW = {
    "LOF": (2, "LOF compares a row's neighbours with theirs and needs 2 support rows")
}


@dataclass(frozen=True)
class Method:
    """A detector of ours (`cls`), or a baseline by its name."""

    name: str
    cls: type | None = None
    params: dict = field(default_factory=dict)

    def made(self, seed, in_order):
        """Return the detector, unfitted; `in_order` as in `Fold`."""
        detector = self.cls(random_state=seed)
        if in_order and "chronological" in detector.get_params():
            detector.set_params(chronological=True)
        return detector.set_params(**self.params)


def check_pyod():
    try:
        importlib.import_module("pyod.models.knn")
    except ImportError as error:
        raise InputError(
            f"the comparison needs PyOD ({error}): install skmetaad[benchmarks]."
        ) from error


def select(names, settings):
    """Return the methods named (None: all), k-NN always among them."""
    ours = dict(all_detectors())
    baselines = [*PYOD, NEAREST, SCALED]
    aliases = {_key(name): name for name in [*ours, *baselines]}
    aliases |= {_key(name.removesuffix("Detector")): name for name in ours}
    aliases |= {"knn-nearest": NEAREST, "knn-scaled": SCALED}
    if names is None:
        chosen = [*ours, *baselines]
    else:
        unknown = [name for name in names if _key(name) not in aliases]
        if unknown or not names:
            known = ", ".join([*ours, *PYOD, "KNN-nearest", "KNN-scaled"])
            raise InputError(
                f"--detectors: unknown detector {', '.join(unknown)!r}: expected names "
                f"out of {known}."
            )
        chosen = [aliases[_key(name)] for name in names]
        chosen = list(dict.fromkeys([*chosen, KNN]))
    methods = [Method(name, ours.get(name)) for name in chosen]
    return _configured(methods, _parsed(settings))


def _key(name):
    return name.strip().lower()


def _parsed(settings):
    params = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip():
            raise InputError(f"--set {setting}: expected PARAM=VALUE.")
        try:
            params[name.strip()] = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError):
            params[name.strip()] = text.strip()
    return params


def _configured(methods, params):
    known = {m.name: set(m.cls().get_params()) for m in methods if m.cls}
    params, single = _split(params, known)
    names = set().union(*known.values())
    unknown = sorted(params.keys() - names)
    if unknown and not known:
        raise InputError(
            f"--set {unknown[0]}: sets parameters of our detectors, but none of them "
            "is compared."
        )
    if unknown:
        raise InputError(
            f"--set {unknown[0]}: no detector compared has this parameter: expected "
            f"one of {', '.join(sorted(names))}."
        )
    configured = []
    for method in methods:
        own = known.get(method.name, ())
        taken = {name: value for name, value in params.items() if name in own}
        taken |= single.get(method.name, {})
        if taken:
            try:
                method.cls(**taken)._validate_params()
            except (ValueError, TypeError) as error:
                raise InputError(f"--set: {error}") from error
        configured.append(Method(method.name, method.cls, taken))
    return configured


def _split(params, known):
    """Return the parameters of all detectors, and by detector those of a single one."""
    aliases = {_key(name): name for name in known}
    aliases |= {_key(name.removesuffix("Detector")): name for name in known}
    shared, single = {}, {}
    for name, value in params.items():
        detector, dot, own = name.rpartition(".")
        method = aliases.get(_key(detector))
        if not dot:
            shared[name] = value
        elif own in known.get(method, ()):
            single.setdefault(method, {})[own] = value
        else:
            raise InputError(
                f"--set {name}: expected a detector of ours that is compared, a dot, "
                "and a parameter of it."
            )
    return shared, single


def _pyod_class(name):
    name = KNN if name == NEAREST else name
    return getattr(importlib.import_module(PYOD[name]), name)


def make_pyod(name, n_support, seed):
    cls = _pyod_class(name)
    if name == NEAREST:
        return cls(n_neighbors=1)
    if name == KNN:
        return cls(n_neighbors=max(1, min(5, n_support - 1)))
    if name == "LOF":
        return cls(n_neighbors=max(1, min(20, n_support - 1)))
    if name == "IForest":
        return cls(random_state=seed)
    return cls()


def pyod_scores(name, support, query, seed):
    """Return scores (higher = more abnormal), and the seconds to fit and to score."""
    start = time.perf_counter()
    model = make_pyod(name, len(support), seed)
    # PyOD scores the rows it is fitted on, without each row itself: one row alone has
    # no neighbour. Given twice it has, and query rows are scored just the same.
    twice = name in (KNN, NEAREST) and len(support) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(np.repeat(support, 2, axis=0) if twice else support)
        fitted = time.perf_counter()
        scores = model.decision_function(query)
    return scores, fitted - start, time.perf_counter() - fitted


def column_scale(train):
    """Return mean and standard deviation per column of the training inliers."""
    kept = [t.X if t.y is None else t.X[t.y != -1] for t in train]
    n_rows = sum(map(len, kept))
    mean = sum(X.sum(axis=0, dtype=np.float64) for X in kept) / n_rows
    square = sum(np.square(X - mean).sum(axis=0) for X in kept) / n_rows
    std = np.sqrt(square)
    # What does not vary in training is left as it is, as StandardScaler does.
    flat = std <= 1e-12 * (1 + np.abs(mean))
    return mean, np.where(flat, 1.0, std)
