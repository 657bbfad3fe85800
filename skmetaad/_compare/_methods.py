"""What is compared: our detectors, PyOD's on the same rows, and one-liners."""

import ast
import importlib
from dataclasses import dataclass, field

from skmetaad._compare._baselines import KNN, NEAREST, PYOD, SCALED, TEN
from skmetaad._compare._data import InputError
from skmetaad._compare._series import DIFFERENCE, SERIES, VARIANCE
from skmetaad.utils import all_detectors

# Names for the command line of those that have a space in theirs.
OPTIONS = {
    "KNN-nearest": NEAREST,
    "KNN-10": TEN,
    "KNN-scaled": SCALED,
    "moving-variance": VARIANCE,
    "squared-difference": DIFFERENCE,
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
            detector.set_params(chronological=in_order)
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
    baselines = [*PYOD, NEAREST, TEN, SCALED, *SERIES]
    if names is None:
        chosen = [*ours, *baselines]
    else:
        chosen = _named(names, list(ours), baselines)
    methods = [Method(name, ours.get(name)) for name in chosen]
    return _configured(methods, _parsed(settings))


def _named(names, ours, baselines):
    meant = {_key(name): [name] for name in [*ours, *baselines]}
    meant |= {_key(name.removesuffix("Detector")): [name] for name in ours}
    meant |= {_key(option): [name] for option, name in OPTIONS.items()}
    meant |= {"ours": ours, "pyod": list(PYOD)}
    unknown = [name for name in names if _key(name) not in meant]
    if unknown or not names:
        known = ", ".join([*ours, *PYOD, *OPTIONS, "ours", "pyod"])
        raise InputError(
            f"--detectors: unknown detector {', '.join(unknown)!r}: expected names "
            f"out of {known}."
        )
    chosen = [name for given in names for name in meant[_key(given)]]
    return list(dict.fromkeys([*chosen, KNN]))


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
        elif method is not None:
            raise InputError(
                f"--set {name}: {method} has no parameter {own!r}: expected one of "
                f"{', '.join(sorted(known[method]))}."
            )
        else:
            raise InputError(
                f"--set {name}: expected a detector of ours that is compared, a dot, "
                "and a parameter of it."
            )
    return shared, single
