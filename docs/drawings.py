"""The pictures of the site, as SVG: `docs/images/*.svg`, made by docs/generate.py."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from kdsnn.targets.registry import target_names

BLUE, GREEN, ORANGE, GREY, INK = "#dce9f9", "#dff3e4", "#fdebd3", "#eceff1", "#1f2933"
LINE, RED = "#52606d", "#c0392b"
FONT = "font-family='system-ui, sans-serif'"

# A neuron whose threshold is 10 weight units, and what enters it at each of four time steps.
THRESHOLD = 10
DRIVES = (6, 6, 3, 8)


def edges() -> str:
    """The road: module or file, float network, integer network, machines; and what is checked on each edge."""
    stations = (
        (20, "Your network", ("snnTorch module,", "ANN or NIR file"), BLUE),
        (270, "Float network", ("populations and", "projections"), GREEN),
        (520, "Integer network", ("int8 weights,", "whole thresholds"), GREEN),
    )
    machines = (*target_names(), "model.nir")
    height = 40 * len(machines) + 20
    middle = height / 2
    parts = [_box(x, middle - 45, 150, 90, title, lines, fill) for x, title, lines, fill in stations]
    parts += [_arrow(x, middle, x + 100, middle) for x in (170, 420)]
    parts += [_arrow(670, middle, 770, 30 + 40 * n) for n in range(len(machines))]
    parts += [_box(770, 14 + 40 * n, 130, 32, name, (), ORANGE) for n, name in enumerate(machines)]
    checks = ((220, -34, ("every spike", "equal")), (470, -34, ("same classes,", "within a limit")))
    for number, (x, y, said) in enumerate((*checks, (595, 66, ("every spike and", "every count equal"))), 1):
        parts.append(f"<circle cx='{x}' cy='{middle + y:g}' r='13' fill='{INK}'/>")
        parts.append(_text(x, middle + y + 5, str(number), colour="#ffffff", bold=True))
        parts += [
            _text(x, middle + max(y, 0) + 20 + 16 * n + (12 if y > 0 else 0), line, size=12)
            for n, line in enumerate(said)
        ]
    about = "From your network over a float and an integer network to the machines; each of the three edges is checked"
    return _svg(920, height, about, parts)


def layers() -> str:
    """The parts of the toolchain: what makes the integer network, the network, and what reads it."""
    rows = (
        ("You", ("command line", "import kdsnn", "notebook"), GREY),
        ("Make the network", ("distil", "lower", "read NIR", "quantize"), BLUE),
        ("The one vocabulary", ("integer network: populations, projections, T, fingerprint",), GREEN),
        ("Run it", target_names(), ORANGE),
        ("Check and read it", ("spikes, counts", "energy", "noise", "placement", "report"), GREY),
    )
    parts: list[str] = []
    for n, (title, names, fill) in enumerate(rows):
        y = 16 + 70 * n
        parts.append(_text(20, y + 29, title, anchor="start", bold=True))
        width = (700 - 10 * (len(names) - 1)) / len(names)
        parts += [_box(190 + k * (width + 10), y, width, 46, name, (), fill) for k, name in enumerate(names)]
        if n + 1 < len(rows):
            parts.append(_arrow(540, y + 46, 540, y + 70))
    return _svg(910, 362, "The parts of the toolchain, from what you type to the report", parts)


def potentials() -> tuple[list[int], list[bool]]:
    """Of the example neuron, the potential before the reset and whether it fires, at each step."""
    v, before, fired = 0, [], []
    for drive in DRIVES:
        v += drive
        before.append(v)
        fired.append(v > THRESHOLD)
        v = 0 if v > THRESHOLD else v
    return before, fired


def neuron() -> str:
    """Four time steps of an integrate-and-fire neuron, with its sum, its spikes and its resets."""
    base, unit = 232, 13
    before, fired = potentials()
    level = base - THRESHOLD * unit
    parts = [
        f"<line x1='60' y1='{base}' x2='610' y2='{base}' stroke='{LINE}'/>",
        f"<line x1='60' y1='{level}' x2='610' y2='{level}' stroke='{RED}' stroke-dasharray='6 4'/>",
        _text(616, level + 5, f"threshold {THRESHOLD}", anchor="start", colour=RED),
        _text(616, base - 5, "potential v", anchor="start"),
        _text(616, 35, "spike", anchor="start"),
    ]
    for step, (drive, v, spike) in enumerate(zip(DRIVES, before, fired, strict=True)):
        x, kept = 90 + 130 * step, v - drive
        parts.append(_bar(x, base, kept * unit, GREY))
        parts.append(_bar(x, base - kept * unit, drive * unit, ORANGE if spike else BLUE))
        parts.append(_text(x + 35, base - v * unit + 18, f"v = {v}", bold=True))
        parts.append(_text(x + 35, base + 20, f"t = {step + 1}:  + {drive}"))
        if spike:
            parts.append(f"<line x1='{x + 35}' y1='18' x2='{x + 35}' y2='46' stroke='{INK}' stroke-width='4'/>")
            parts.append(_text(x + 35, base + 40, "fires, then v = 0", size=12, colour=RED))
        else:
            parts.append(_text(x + 35, base + 40, "keeps v", size=12))
    about = "A neuron adds up what enters over four time steps, fires above its threshold and starts again at zero"
    return _svg(740, 284, about, parts)


PICTURES = {"edges.svg": edges, "layers.svg": layers, "neuron.svg": neuron}


def _svg(width: int, height: int, about: str, parts: Iterable[str]) -> str:
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' "
        f"role='img' aria-label='{escape(about, quote=True)}'>"
    )
    arrow = (
        "<defs><marker id='a' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='8' markerHeight='8' orient='auto'>"
        f"<path d='M0 0L8 4L0 8z' fill='{LINE}'/></marker></defs>"
    )
    ground = f"<rect width='{width}' height='{height}' rx='8' fill='#ffffff'/>"  # reads on dark pages, too
    return "\n".join((head, arrow, ground, *parts, "</svg>\n"))


def _text(
    x: float, y: float, text: str, *, size: int = 14, anchor: str = "middle", colour: str = INK, bold: bool = False
) -> str:
    weight = " font-weight='600'" if bold else ""
    how = f"{FONT} font-size='{size}' text-anchor='{anchor}' fill='{colour}'{weight}"
    return f"<text x='{x:g}' y='{y:g}' {how}>{escape(text)}</text>"


def _box(x: float, y: float, width: float, height: float, title: str, lines: tuple[str, ...], fill: str) -> str:
    middle, first = x + width / 2, y + height / 2 + 5 - 9 * len(lines)
    rect = f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}' rx='8' fill='{fill}' stroke='{LINE}'/>"
    below = [_text(middle, first + 20 + 16 * n, line, size=12) for n, line in enumerate(lines)]
    return "\n".join((rect, _text(middle, first, title, bold=bool(lines)), *below))


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    line = f"x1='{x1:g}' y1='{y1:g}' x2='{x2:g}' y2='{y2:g}'"
    return f"<line {line} stroke='{LINE}' stroke-width='1.5' marker-end='url(#a)'/>"


def _bar(x: float, bottom: float, height: float, fill: str) -> str:
    return f"<rect x='{x:g}' y='{bottom - height:g}' width='70' height='{height:g}' fill='{fill}' stroke='{LINE}'/>"
