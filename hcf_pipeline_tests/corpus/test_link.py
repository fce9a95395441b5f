"""A citation opens where [corpus] link says, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcf_pipeline.corpus.link import FIELDS, link_to
from hcf_pipeline.defs.samples import place
from hcf_pipeline.errors import SettingsError
from hcf_pipeline.settings.file import load_settings

VALUES = {
    "path": "2024/三月 5日#1.md",
    "date": "2024-03-05",
    "title": "A&B?",
    "url": "https://video.example/watch?v=a1#top",
    "start_s": "3723",
}


@pytest.mark.parametrize(
    ("template", "link"),
    [
        ("https://x.example/{path}", "https://x.example/2024/%E4%B8%89%E6%9C%88%205%E6%97%A5%231.md"),
        ("https://x.example/s?q={title}&t={start_s}", "https://x.example/s?q=A%26B%3F&t=3723"),
        ("https://x.example/{date}/", "https://x.example/2024-03-05/"),
        ("{url}", "https://video.example/watch?v=a1#top"),
        ("{url}?t={start_s}", "https://video.example/watch?v=a1&t=3723"),
        ("{url}&t={start_s}", "https://video.example/watch?v=a1&t=3723"),
        ("https://x.example/to?u={url}", "https://x.example/to?u=https%3A%2F%2Fvideo.example%2Fwatch%3Fv%3Da1%23top"),
        ("https://x.example/{{id}}/{date}", "https://x.example/{id}/2024-03-05"),
    ],
)
def test_a_link_holds_its_values_encoded_where_they_stand(template: str, link: str) -> None:
    assert link_to(template, VALUES) == link


def test_an_address_without_a_query_gets_one() -> None:
    assert link_to("{url}?t={start_s}", VALUES | {"url": "https://v.example/a"}) == "https://v.example/a?t=3723"


@pytest.mark.parametrize("name", FIELDS)
def test_a_citation_without_a_value_for_a_field_has_no_link(name: str) -> None:
    assert link_to(f"https://x.example/?{{{name}}}", VALUES | {name: ""}) is None


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "file:///etc/passwd", "//x.example", "https://", "http://[", "x"]
)
def test_an_address_that_is_none_of_the_web_is_no_link(url: str) -> None:
    assert link_to("{url}", VALUES | {"url": url}) is None


@given(value=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_no_value_leaves_its_place(value: str) -> None:
    link = link_to("https://x.example/a?title={title}&t=1", VALUES | {"title": value})
    assert link is not None
    parts = urlsplit(link)
    assert (parts.netloc, parts.path, parts.fragment) == ("x.example", "/a", "")
    assert [unquote(one) for one in parts.query.split("&")] == [f"title={value}", "t=1"]
    assert link.isprintable() and " " not in link


@given(path=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), title=st.text(min_size=0))
def test_a_link_cannot_end_the_markup_it_stands_in(path: str, title: str) -> None:
    shown = place(62, link_to("https://x.example/({path})", {"path": path}))
    assert shown.startswith(" 1:02 [↗](https://x.example/%28") and shown.endswith("%29)")
    assert not set(shown[7:-1].removeprefix("↗](")) & set("()<>|\n ")


@pytest.mark.parametrize(
    "template",
    ["https://x.example/{who}", "https://x.example/{", "https://x.example/{path!r}", "https://x.example/{start_s:04}",
     "javascript:{path}", "x.example/{path}", "https://x.example/a b", "{path}", "https:///{path}", "{}"],
)  # fmt: skip
def test_a_template_that_gives_no_address_is_refused_with_the_fields_there_are(tmp_path: Path, template: str) -> None:
    (tmp_path / "hcf.toml").write_text(f"[corpus]\nlink = '{template}'\n", encoding="utf-8")
    with pytest.raises(
        SettingsError, match=r"hcf.toml:2: \[corpus\] link .*\{path\} \{date\} \{title\} \{url\} \{start_s\}"
    ):
        load_settings(tmp_path / "hcf.toml", environ={})
