"""The cohort page: complete, blind, safe and alone."""

import html.parser
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from trialscan.errors import ReportError
from trialscan.reports import write_index

MakeRun = Callable[..., Path]


class Tags(html.parser.HTMLParser):
    """Collects start tags with their attributes, and checks that every element is closed."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags_of(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    tags.close()
    assert tags.open == []
    return tags


def test_page_stands_alone(make_run: MakeRun) -> None:
    page = write_index(make_run()).read_text(encoding="utf-8")
    tags = tags_of(page)
    for tag, attributes in tags.seen:
        assert tag not in {"script", "link", "iframe"}
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("src", "data:").startswith("data:")
        assert not str(attributes.get("href", "")).startswith(("http", "//"))
    assert "url(" not in page
    assert all(attributes.get("alt") for tag, attributes in tags.seen if tag == "img")
    assert ("html", {"lang": "en"}) in tags.seen


def test_worst_patients_come_first_with_reasons(make_run: MakeRun) -> None:
    run = make_run(
        patients=tuple(f"P{n:03d}" for n in range(1, 13)),
        pictures=False,
        failed=frozenset({("P007", "W04")}),
        missing=frozenset({("P003", "W12")}),
        flags={("P005", "BL"): ("alignment_review",)},
    )
    (run / "reports" / "patients").mkdir(parents=True)
    (run / "reports" / "patients" / "P007.pdf").touch()
    page = write_index(run).read_text(encoding="utf-8")
    order = re.findall(r'<th scope="row">(?:<a [^>]*>)?(P\d+)', page)
    assert order[:4] == ["P007", "P003", "P005", "P001"]
    assert len(order) == 12
    assert '<a href="patients/P007.pdf">P007</a>' in page
    assert "P003 (no report)" in page
    assert "1 failed" in page
    assert "truncated" in page


def test_arms_are_not_on_the_page(make_run: MakeRun) -> None:
    run = make_run(arms=("Zanzibarol", "Qwertamab"))
    page = write_index(run).read_text(encoding="utf-8")
    assert "Zanzibarol" not in page
    assert "Qwertamab" not in page


def test_hostile_text_is_escaped(make_run: MakeRun) -> None:
    hostile = '<script>alert("x")</script> & \'"><img src=x onerror=alert(1)>'
    run = make_run(title=hostile, messages=hostile, failed=frozenset({("P001", "W04")}))
    page = write_index(run).read_text(encoding="utf-8")
    tags = tags_of(page)
    assert "<script" not in page
    assert {tag for tag, _ in tags.seen} <= {
        *("html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p", "main", "ul", "li", "b", "div"),
        *("table", "thead", "tbody", "tr", "th", "td", "a", "figure", "img", "figcaption", "footer", "strong", "code"),
    }
    assert "&lt;script&gt;alert(&#34;x&#34;)" in page


def test_same_bytes_twice(make_run: MakeRun) -> None:
    run = make_run()
    assert write_index(run).read_bytes() == write_index(run).read_bytes()


def test_percent_where_spacing_is_unknown(make_run: MakeRun) -> None:
    page = write_index(make_run(spacing_known=False)).read_text(encoding="utf-8")
    assert "First burden, %" in page
    assert " ml" not in page.split("<body>")[1]


def test_missing_table_is_named(make_run: MakeRun) -> None:
    run = make_run()
    (run / "tables" / "scans.csv").unlink()
    with pytest.raises(ReportError, match=r"scans\.csv"):
        write_index(run)
