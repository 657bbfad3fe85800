"""The picture of README and landing page, drawn from benchmarks/results/README.md.

Run this file when the table changes.
"""

from pathlib import Path

import matplotlib.pyplot as plt

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "README.md"
PANELS = {
    "omniglot": "Omniglot: 200 characters",
    "smd_windows": "SMD, windows: 13 servers",
    "asd": "ASD: 8 application servers",
    "digits": "digits: 10 classes",
}
LINES = {  # column of the table: label, colour on light and on dark, width
    "MetaPrototype": ("MetaPrototypeDetector", "#0b66c3", "#58a6ff", 2.2),
    "MAMLAutoencoder": ("MAMLAutoencoderDetector", "#b35900", "#f0a35e", 2.2),
    "best PyOD": ("best of PyOD", "#5f5f5f", "#b0b0b0", 1.4),
    "1-NN": ("nearest neighbour", "#5f5f5f", "#b0b0b0", 1.4),
}
# The rivals: line, marker and its size. They may lie on top of a line of ours.
RIVALS = {"best PyOD": ("--", "^", 6), "1-NN": (":", "s", 8)}
STATIC = Path(__file__).resolve().parents[1] / "_static"
INK = {"light": "#24292f", "dark": "#d0d7de"}


def read_table(path=RESULTS):
    """Return {collection: {column: {K: AUROC}}} of the first table of the results."""
    lines = path.read_text("utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| collection"))
    columns = [cell.strip() for cell in lines[start].strip("|").split("|")]
    found = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        row = dict(zip(columns, cells, strict=True))
        values = found.setdefault(row["collection"], {name: {} for name in LINES})
        for name in LINES:
            number = row[name].replace("*", "").split(" ")[0]
            values[name][int(row["K"])] = float(number)
    return found


def draw(path, table, mode):
    """Draw one panel per collection on a clear ground, for one colour scheme."""
    options = dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color"), INK[mode]
    )
    options |= {"ytick.color": INK[mode], "font.size": 12, "svg.hashsalt": "landing"}
    with plt.rc_context(options):
        figure, axes = plt.subplots(2, 2, figsize=(7.2, 6.2), layout="constrained")
        for ax, (collection, title) in zip(axes.flat, PANELS.items(), strict=True):
            for name, (label, light, dark, width) in LINES.items():
                curve = table[collection][name]
                line, marker, size = RIVALS.get(name, ("-", "o", 5.5))
                ax.plot(
                    list(curve),
                    list(curve.values()),
                    line,
                    color=light if mode == "light" else dark,
                    lw=width,
                    marker=marker,
                    ms=size,
                    mfc="none" if name in RIVALS else None,
                    label=label,
                )
            shots = list(curve)
            ax.set_xscale("log")
            ax.set_xticks(shots, [str(k) for k in shots])
            ax.minorticks_off()
            ax.set_title(title, fontsize=12, pad=10)
            ax.spines[["top", "right"]].set_visible(False)
            ax.patch.set_alpha(0)
        for ax in axes[1]:
            ax.set_xlabel("support rows, K")
        for ax in axes[:, 0]:
            ax.set_ylabel("mean AUROC")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=2, frameon=False
        )
        figure.savefig(path, transparent=True, metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    for mode in INK:
        draw(STATIC / f"landing_{mode}.svg", read_table(), mode)
