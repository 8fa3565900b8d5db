"""The topology as a picture: topics, the parts that read and write them, and the stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import NamedTuple

from schemas.topics import EXTERNAL, INTERNAL
from streams.engine.wiring import Part

BOX_WIDTH, BOX_HEIGHT = 170, 26
COLUMN, ROW, MARGIN = 250, 38, 24
LEGEND_HEIGHT = 34

_COLUMNS = ("external", "intake", "log", "fold", "view", "sink", "store")
_COLOURS = {
    "external": "#dbeafe",
    "intake": "#fde68a",
    "log": "#bfdbfe",
    "fold": "#fcd34d",
    "view": "#e0e7ff",
    "sink": "#fdba74",
    "store": "#bbf7d0",
}


class Node(NamedTuple):
    """A box; `kind` is its column and colour."""

    name: str
    kind: str


class Graph(NamedTuple):
    """Boxes, and arrows between them by name."""

    nodes: list[Node]
    edges: list[tuple[str, str]]


def graph_of(parts: Iterable[Part]) -> Graph:
    """What parts read and write, in the order in which records go."""
    nodes: dict[str, Node] = {}
    edges: list[tuple[str, str]] = []
    for part in parts:
        name = f"{part.app}: {part.name}"
        is_intake = all(topic in EXTERNAL for topic in part.reads)
        kind = "sink" if part.kind == "sink" else "intake" if is_intake else "fold"
        nodes[name] = Node(name, kind)
        for topic in part.reads:
            nodes.setdefault(topic, Node(topic, _kind_of(topic)))
            edges.append((topic, name))
        for written in part.writes:
            written_kind = "store" if part.kind == "sink" else _kind_of(written)
            nodes.setdefault(written, Node(written, written_kind))
            edges.append((name, written))
    order = {kind: number for number, kind in enumerate(_COLUMNS)}
    return Graph(sorted(nodes.values(), key=lambda node: order[node.kind]), edges)


def _kind_of(topic: str) -> str:
    return "external" if topic in EXTERNAL else "log" if topic in INTERNAL else "view"


def mermaid(graph: Graph) -> str:
    """As a Mermaid flowchart."""
    ids = {node.name: f"n{number}" for number, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for node in graph.nodes:
        left, right = _SHAPES.get(node.kind, ("([", "])"))
        lines.append(f'  {ids[node.name]}{left}"{node.name}"{right}:::{node.kind}')
    lines += [f"  {ids[start]} --> {ids[end]}" for start, end in graph.edges]
    lines += [f"  classDef {kind} fill:{colour}" for kind, colour in _COLOURS.items()]
    return "\n".join(lines) + "\n"


_SHAPES = {
    "intake": ("[", "]"),
    "fold": ("[", "]"),
    "sink": ("[", "]"),
    "store": ("[(", ")]"),
}


def svg(graph: Graph) -> str:
    """As an SVG document, which needs nothing else."""
    columns = [[node for node in graph.nodes if node.kind == kind] for kind in _COLUMNS]
    height = MARGIN * 2 + LEGEND_HEIGHT + ROW * max(map(len, columns))
    width = MARGIN * 2 + COLUMN * (len(columns) - 1) + BOX_WIDTH
    at = {
        node.name: (MARGIN + COLUMN * number, _top(height, len(column), place))
        for number, column in enumerate(columns)
        for place, node in enumerate(column)
    }
    kinds = {node.name: node.kind for node in graph.nodes}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="sans-serif" font-size="12">',
        "<title>Headrace: topics, folds, sinks and stores</title>",
        '<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto">',
        '<path d="M0,0 L8,4 L0,8 z" fill="#64748b"/></marker></defs>',
        *(_arrow(at[start], at[end]) for start, end in graph.edges),
        *(_box(name, kinds[name], *place) for name, place in at.items()),
        *_headings(columns),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _top(height: int, count: int, place: int) -> int:
    """Columns stand in the middle."""
    free = height - MARGIN * 2 - LEGEND_HEIGHT - ROW * count
    return MARGIN + LEGEND_HEIGHT + free // 2 + ROW * place


def _box(name: str, kind: str, x: int, y: int) -> str:
    return (
        f'<g><rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="5" '
        f'fill="{_COLOURS[kind]}" stroke="#475569"/>'
        f'<text x="{x + BOX_WIDTH // 2}" y="{y + 17}" text-anchor="middle">'
        f"{escape(name)}</text></g>"
    )


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    """From the right edge of a box to the left of a later one, or back around from below."""
    (x1, y1), (x2, y2) = start, end
    y1, y2 = y1 + BOX_HEIGHT // 2, y2 + BOX_HEIGHT // 2
    style = 'fill="none" stroke="#94a3b8" marker-end="url(#end)"'
    if x2 > x1:
        x1, bend = x1 + BOX_WIDTH, 60
        return f'<path d="M{x1},{y1} C{x1 + bend},{y1} {x2 - bend},{y2} {x2},{y2}" {style}/>'
    x2, bend = x2 + BOX_WIDTH, 40
    return (
        f'<path d="M{x1},{y1} C{x1 - bend},{y1} {x2 + bend},{y2} {x2},{y2}" '
        f'stroke-dasharray="4 3" {style}/>'
    )


def _headings(columns: Sequence[Sequence[Node]]) -> Iterable[str]:
    titles = ("from producers", "intake", "logs", "folds", "views", "sinks", "stores")
    for number, (title, column) in enumerate(zip(titles, columns, strict=True)):
        if column:
            x = MARGIN + COLUMN * number + BOX_WIDTH // 2
            yield (
                f'<text x="{x}" y="{MARGIN + 8}" text-anchor="middle" font-weight="bold">'
                f"{title}</text>"
            )


FORMATS: dict[str, Callable[[Graph], str]] = {"mermaid": mermaid, "svg": svg}
