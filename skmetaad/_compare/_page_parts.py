"""Style and script of the report's page."""

STYLE = """
:root { color-scheme: light dark; --line: #8884; --mark: #0072b222; --dot: #0072b2;
  --bar: #c44601; --c0: #0072b2; --c1: #c44601; --c2: #007a5a; --c3: #a6458f;
  --c4: #8a6d00; --c5: #4a4a4a; --c6: #5b3fc4; --c7: #b3123e; }
@media (prefers-color-scheme: dark) { :root { --mark: #56b4e92e; --dot: #56b4e9;
  --bar: #ffa24d; --c0: #56b4e9; --c1: #ff9d5c; --c2: #3fcf9f; --c3: #e79ad2;
  --c4: #e8cd4b; --c5: #d8d8d8; --c6: #b3a1ff; --c7: #ff8095; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: auto;
  padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.3rem; margin-top: 2.5rem; }
h3 { font-size: 1.05rem; margin-bottom: .3rem; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; } nav a { white-space: nowrap; }
pre, .wide { overflow-x: auto; } pre { padding: .6rem; border: 1px solid var(--line); }
pre.command { white-space: pre-wrap; overflow-wrap: anywhere; }
.small, figcaption { font-size: .9rem; }
table { border-collapse: collapse; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .55rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: .2rem; }
.wide th:first-child, .wide td:first-child { position: sticky; left: 0;
  background-color: Canvas; }
th button { all: unset; cursor: pointer; font-weight: bold; }
th button:focus-visible, .key:focus-visible { outline: 2px solid; }
th[aria-sort=ascending] button::after { content: " \\25B2"; font-size: .7em; }
th[aria-sort=descending] button::after { content: " \\25BC"; font-size: .7em; }
tr.knn > * { background-image: linear-gradient(var(--mark), var(--mark)); }
.charts { display: grid; gap: 1rem 2rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
figure { margin: .5rem 0; max-width: 36rem; } svg { width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
svg text.knn { font-weight: bold; }
svg path { fill: none; stroke: currentColor; }
.rule, .leader { stroke-opacity: .18; } .leader { stroke-opacity: .35; }
path.dot { stroke: var(--dot); stroke-width: 7; stroke-linecap: round; }
path.dot.small { stroke-width: 3.5; stroke-opacity: .65; }
path.dot.knn { stroke: var(--bar); }
path.dot.other { stroke-width: 5; }
.median, .group { stroke-width: 2; } .group { stroke-width: 3; }
.curve { color: #8886; } .curve .bar { display: none; }
.curve path { stroke: currentColor; stroke-dasharray: 4 3; }
.curve .dot, .curve .bar, .curve.ours path { stroke-dasharray: none; }
.curve .dot { stroke-width: 3; stroke: currentColor; }
.curve.on { color: var(--c); } .curve.on path { stroke-width: 2; }
.curve.on .bar { display: inline; stroke-width: 1; } .curve.on .dot { stroke-width: 5; }
.keys { display: flex; flex-wrap: wrap; gap: .4rem; }
.key { font: inherit; font-size: .85rem; padding: .25rem .6rem; border-radius: 1rem;
  border: 1px solid var(--line); background: none; color: inherit; cursor: pointer; }
.key[aria-pressed=true] { border: 2px solid var(--c); color: var(--c);
  font-weight: bold; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); }
.c3 { --c: var(--c3); } .c4 { --c: var(--c4); } .c5 { --c: var(--c5); }
.c6 { --c: var(--c6); } .c7 { --c: var(--c7); }
@media print { body { max-width: none; font-size: 12px; }
  nav, .key[aria-pressed=false], .keys + p { display: none; } table { font-size: 9px; }
  figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .wide { overflow: visible; } th, td { padding: .1rem .25rem; }
  .charts { grid-template-columns: 1fr 1fr; }
  pre { white-space: pre-wrap; font-size: 9px; } }
"""
SCRIPT = """
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, body = head.closest("table").tBodies[0];
    const up = head.getAttribute("aria-sort") === "descending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => row.cells[head.cellIndex].dataset.value, sign = up ? 1 : -1;
    const compare = (a, b) => isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
    const last = row => key(row) === "";  // what has no value, whichever way
    body.append(...[...body.rows].sort((a, b) =>
      last(a) - last(b) || sign * compare(key(a), key(b))));
  });
}
for (const button of document.querySelectorAll(".key")) {
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", on);
    const own = `.curve[data-method="${button.dataset.method}"]`;
    for (const curve of document.querySelectorAll(own)) {
      curve.classList.toggle("on", on);
      if (on) curve.parentElement.append(curve);
    }
  });
}
"""
