"""The wiring: what the parts say of themselves, what they do, and the picture of it."""

from __future__ import annotations

import json
import re
from itertools import chain, pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

import topology
from connectors.sources import Upheaval, generate_activity, generate_network
from headrace.cli import main
from schemas.codec import encode
from schemas.events import User
from schemas.partitioning import partition_of
from schemas.topics import EXTERNAL, IN_CASSANDRA, IN_REDIS, INTERNAL, Topic, changelog_of
from streams.engine.drawing import graph_of, mermaid, svg
from streams.engine.outbox import Outbox
from streams.engine.state import State
from streams.engine.wiring import Part, wiring
from streams.facts import Tick, encode_fact
from tests.property.pipeline import PARTITIONS, STAGES, TOPIC_OF, Pipeline
from tests.unit.folds import NOW

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def parts() -> list[Part]:
    return wiring((topology.app, topology.views, topology.archive))


@pytest.fixture(scope="module")
def wrote() -> dict[Topic, set[str]]:
    """What each stage of the pipeline puts out when a crowd does all that it can."""
    pipeline = Pipeline()
    pairs = generate_network(80, 1)
    people = list(dict.fromkeys(chain.from_iterable(pairs)))
    events = Upheaval(people, 1, 20, 2).among(generate_activity(pairs, 3_000, 1, NOW))
    device = User(
        event_id="d", user_id=people[0], action="profile", at=NOW, device_tokens=("token",)
    )
    for event in (*events, device):
        partition = partition_of(event.event_id, PARTITIONS)
        pipeline.log.append(TOPIC_OF[type(event)], partition, encode(event))
    pipeline.drain()
    for topic in INTERNAL:
        for partition in range(PARTITIONS):
            pipeline.log.append(topic, partition, encode_fact(Tick(NOW)))
    pipeline.drain()
    return pipeline.wrote


@pytest.mark.parametrize("topic", STAGES)
def test_a_fold_writes_what_it_says_and_nothing_else(
    topic: Topic, wrote: dict[Topic, set[str]]
) -> None:
    fold = STAGES[topic](State(), Outbox(PARTITIONS))
    said = {str(each) for each in fold.writes}
    assert wrote[topic] - {changelog_of(topic), Topic.DEAD_LETTERS} == said


def test_everything_is_read_and_written_by_somebody(parts: list[Part]) -> None:
    read = set(chain.from_iterable(part.reads for part in parts))
    written = set(chain.from_iterable(part.writes for part in parts))
    assert read == {*EXTERNAL, *INTERNAL, *IN_REDIS, *IN_CASSANDRA}
    assert written == read - set(EXTERNAL) | {"redis", "cassandra"}


def test_the_pictures_have_every_box_and_every_arrow(parts: list[Part]) -> None:
    graph = graph_of(parts)
    names = {node.name for node in graph.nodes}
    text = mermaid(graph)
    assert set(re.findall(r'"(.+?)"', text)) == names
    assert text.count("-->") == len(graph.edges)
    root = ET.fromstring(svg(graph))
    assert {found.text for found in root.findall(f"{SVG}g/{SVG}text")} == names
    assert len(root.findall(f"{SVG}path")) == len(graph.edges)


def test_the_picture_in_the_docs_is_of_now(parts: list[Part]) -> None:
    assert (ROOT / "docs" / "topology.svg").read_text() == svg(graph_of(parts))


def test_boxes_do_not_overlap(parts: list[Part]) -> None:
    boxes = ET.fromstring(svg(graph_of(parts))).iter(f"{SVG}rect")
    places = sorted((int(box.get("x", 0)), int(box.get("y", 0))) for box in boxes)
    for (x, y), (next_x, next_y) in pairwise(places):
        assert next_x > x or next_y >= y + 26


def test_the_command_prints_or_writes(tmp_path: Path) -> None:
    printed = CliRunner().invoke(main, ["topology", "--format", "json"])
    assert {part["app"] for part in json.loads(printed.output)} == {"app", "views", "archive"}
    file = tmp_path / "topology.svg"
    wanted = ["topology", "--format", "svg", "--out"]
    assert CliRunner().invoke(main, [*wanted, str(file)]).exit_code == 0
    ET.fromstring(file.read_text())
    nowhere = CliRunner().invoke(main, [*wanted, str(tmp_path / "no" / "file")])
    assert nowhere.exit_code == 1
    assert "No such file" in nowhere.output
