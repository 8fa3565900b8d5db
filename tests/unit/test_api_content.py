"""What users may publish: spam, and hosts of media."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api.content import ContentRules, content_rules
from api.spam import Reason, RulesError, SpamRules, load_rules, plain
from connectors.settings import Settings
from tests.unit.api_fakes import KEY, World, problem_of

STRICT = SpamRules(links=2, run=5, repetition=3)


def world_with(content: ContentRules) -> World:
    world = World()
    world.app.state.services.content = content
    world.redis.post("p", "bob")
    return world


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("", []),
        ("A quiet word.", []),
        ("Play at the CaSiNo tonight", ["keyword"]),
        ("free\n  money for all", ["keyword"]),
        ("ｆｒｅｅ ｍｏｎｅｙ", ["keyword"]),
        ("v\u200bi\u200bagra", ["keyword"]),
        ("freemoney", []),
        ("HELLO YOU", []),  # 9 characters
        ("HELLO YOU!", []),  # 10
        ("HELLO YOU!!", ["capitals"]),  # 8 of 11
        ("HELLO you too", []),
        ("ÄÖÜÄÖÜÄÖÜÄÖ", ["capitals"]),
        ("漢字漢字漢字漢字漢字漢字", []),
        ("FREE MONEY NOW", ["keyword", "capitals"]),
        ("http://a http://b http://c http://d", []),
    ],
)
def test_the_rules_of_002(text: str, reasons: list[Reason]) -> None:
    assert SpamRules().reasons(text) == reasons


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("see https://a and http://b", []),
        ("see https://a and http://b, WWW.c.example", ["links"]),
        ("https://www.a https://b.www.c", []),
        ("aaaaa", []),
        ("aaaaaa", ["run"]),
        ("a          b", []),
        ("buy BUY buy", []),
        ("buy BUY buy bUy", ["repetition"]),
    ],
)
def test_more_rules(text: str, reasons: list[Reason]) -> None:
    assert STRICT.reasons(text) == reasons


@pytest.mark.parametrize("mark", ["\u0315\u0300", "\u0f73", "\u0f81"])
def test_of_marks_without_end_some_are_looked_at(mark: str) -> None:
    """Putting all in order would take minutes."""
    assert len(plain("a" + mark * 200_000 + " viagra" + mark * 200_000)) < 140
    assert SpamRules().reasons("a" + mark * 200_000 + " viagra") == ["keyword"]


def test_letters_keep_their_marks() -> None:
    assert plain("cafe\u0301 \u1e9b\u0323") == "caf\u00e9 \u1e69"


def test_seven_tenths_are_not_too_many_capitals() -> None:
    assert SpamRules(capitals_over=9).reasons("ABCDEFGxyz") == []
    assert SpamRules(capitals_over=9).reasons("ABCDEFGHyz") == ["capitals"]
    assert SpamRules(capitals=None).reasons("ABCDEFGHIJKLM") == []


def written(path: Path, rules: Any) -> Path:
    path.write_text(rules if isinstance(rules, str) else json.dumps(rules))
    return path


def test_rules_come_from_a_file(tmp_path: Path) -> None:
    path = written(tmp_path / "rules.json", {"keywords": ["Lottery"], "links": 0})
    rules = load_rules(path)
    assert rules == SpamRules(keywords=("lottery",), links=0)
    assert rules.reasons("a lottery at http://a") == ["keyword", "links"]
    assert rules.reasons("viagra") == []
    config = Settings(jwt_secret=KEY, spam_rules=path)
    problem_of(post(world_with(content_rules(config)), content="LOTTERY"), 422)


@pytest.mark.parametrize(
    "rules",
    [
        *("{", "[]", {"keyword": []}, {"links": -1}, {"capitals": 2}, {"run": 0}),
        *({"keywords": [""]}, {"keywords": "casino"}, {"keywords": [" "]}),
        {"keywords": ["\u200b"]},
    ],
)
def test_a_file_that_does_not_do_is_told(tmp_path: Path, rules: Any) -> None:
    path = written(tmp_path / "rules.json", rules)
    with pytest.raises(RulesError, match=r"HEADRACE_SPAM_RULES .*rules\.json"):
        load_rules(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="No such file"):
        load_rules(tmp_path / "none.json")


def post(world: World, **body: Any) -> Any:
    return world.ask("POST", "/api/v1/posts", "al", json={"content": "x", **body})


def test_spam_is_refused_with_its_reasons() -> None:
    world = world_with(ContentRules())
    problem = problem_of(post(world, content="FREE MONEY NOW"), 422)
    assert problem["type"] == "urn:headrace:problem:spam"
    assert [(e["field"], e["reason"]) for e in problem["errors"]] == [
        ("body.content", "keyword"),
        ("body.content", "capitals"),
    ]
    assert "free money" not in str(problem).lower()
    comment = {"action": "comment", "text": "a casino"}
    answer = world.ask("POST", "/api/v1/posts/p/engagements", "al", json=comment)
    assert problem_of(answer, 422)["errors"][0]["field"] == "body.text"
    assert world.writer.events == []


@pytest.mark.parametrize(
    "url",
    [
        *("http://x/a.jpg", "ftp://x/a", "https://", "https:///a", "https:x", "https://user@x/a"),
        *(
            "https://x\\@y/a",
            "https://x/a b",
            "https://x/\n",
            "https://ü/a",
            "//x/a",
            "https://x:y/",
        ),
        *("https://x/\\..", " https://x", "HTTPS://x", "https://x/é", "data:image/png;base64,AA"),
    ],
)
def test_an_address_that_is_not_plain_https_is_refused(url: str) -> None:
    world = world_with(ContentRules())
    for body in ({"media_urls": [url]}, {"media": [{"url": url}]}):
        problem_of(post(world, **body), 422)
    assert world.writer.events == []


@pytest.mark.parametrize(
    "url", ["https://x", "https://x?y", "https://x:8443/a?b=c#d", "https://x.y/%C3%A9"]
)
def test_without_a_list_any_host_will_do(url: str) -> None:
    assert post(world_with(ContentRules()), media_urls=[url]).status_code == 202


@pytest.mark.parametrize(
    ("host", "is_taken"),
    [
        ("cdn.example.com", True),
        ("CDN.example.com:8443", True),
        ("a.example.org", True),
        ("a.b.example.org", True),
        ("example.org", False),
        ("evilexample.org", False),
        ("example.com", False),
        ("cdn.example.com.evil.example", False),
        ("x.cdn.example.com", False),
    ],
)
def test_media_come_from_hosts_that_are_allowed(host: str, is_taken: bool) -> None:
    config = Settings(jwt_secret=KEY, media_hosts="cdn.example.com,*.example.org")
    world = world_with(content_rules(config))
    url = f"https://{host}/a.jpg"
    for body, field in (
        ({"media": [{"url": url}]}, "body.media.0.url"),
        ({"media_urls": [url]}, "body.media_urls.0"),
    ):
        answer = post(world, **body)
        assert (answer.status_code == 202) == is_taken
        if not is_taken:
            assert problem_of(answer, 422)["errors"][0]["field"] == field
    assert post(world, media=[{"url": url, "kind": "link"}]).status_code == 202


@pytest.mark.parametrize("hosts", ["https://x", "x,,y", "x, y", "*", "X.y", "x/y", "*.*.x"])
def test_a_list_of_hosts_that_is_none_is_refused(hosts: str) -> None:
    with pytest.raises(ValueError, match="HEADRACE_MEDIA_HOSTS"):
        Settings(HEADRACE_MEDIA_HOSTS=hosts)
