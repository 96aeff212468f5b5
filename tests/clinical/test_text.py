"""What people and peers write comes out as HTML that a page may print."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fedidoc.clinical.text import SOURCE_LIMIT, excerpt, plain, render, sanitise

TAGS = {
    "a", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
    "i", "li", "ol", "p", "pre", "s", "span", "strong", "sub", "sup", "u", "ul",
}  # fmt: skip
CLASSES = {"mention", "hashtag", "ellipsis", "invisible"}


class Audit(HTMLParser):
    """Raises for anything that a page must not print."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        for name, value in attrs:
            assert value is not None
            if name == "href":
                assert value.lower().startswith(("http://", "https://")), value
            elif name == "rel":
                assert value == "nofollow noopener noreferrer"
            elif name == "class":
                assert set(value.split()) <= CLASSES
            else:
                assert (tag, name) == ("ol", "start")
        if tag == "a" and any(name == "href" for name, _ in attrs):
            assert any(name == "rel" for name, _ in attrs)

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    handle_decl = handle_pi = unknown_decl = handle_comment


def audit(html: str) -> str:
    Audit(convert_charrefs=True).feed(html)
    # What is left of markup is text: no angle bracket stands bare outside the tags just checked.
    assert "<script" not in html.lower()
    return html


def vectors(corpora: Path) -> list[str]:
    dompurify = json.loads((corpora / "dompurify" / "expect-open.json").read_text("utf-8"))
    html5lib = json.loads((corpora / "html5lib-sanitizer" / "tests1.dat").read_text("utf-8"))
    naughty = json.loads((corpora / "blns" / "blns.json").read_text("utf-8"))
    bleach = [
        path.read_text("utf-8").partition("\n--\n")[0]
        for path in sorted((corpora / "bleach-xss").glob("*.test"))
    ]
    found = [case["payload"] for case in dompurify] + [case["input"] for case in html5lib]
    assert len(found) > 100
    assert len(naughty) > 400
    assert len(bleach) > 10
    return found + naughty + bleach


def test_no_vector_gets_through_the_sanitiser(corpora: Path) -> None:
    for payload in vectors(corpora):
        once = audit(sanitise(payload))
        # What is printed is parsed again by browsers: it must mean the same then.
        assert sanitise(once) == once, payload


def test_no_vector_gets_through_markdown(corpora: Path) -> None:
    for payload in vectors(corpora):
        audit(render(payload))
        audit(render(f"[x]({payload})"))
        audit(render(f"> {payload}\n\n`{payload}`"))


def test_plain_words_of_vectors_hold_no_markup(corpora: Path) -> None:
    for payload in vectors(corpora):
        assert "<script" not in plain(payload).lower() or "&lt;" in payload


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("Stop **now**.", "<p>Stop <strong>now</strong>.</p>"),
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
        ("a <b>bold</b> word", "<p>a &lt;b&gt;bold&lt;/b&gt; word</p>"),
        ("![x](https://a.example/x.png)", None),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("<javascript:alert(1)>", None),
        ("[x](data:text/html,x)", None),
        ("https://a.example is no link by itself",
         "<p>https://a.example is no link by itself</p>"),
        ("[doi](https://doi.org/x)",
         '<p><a href="https://doi.org/x" rel="nofollow noopener noreferrer">doi</a></p>'),
        ("[x](//evil.example/a)", "<p>[x]"),
        ("Na < 130 & K > 5", "<p>Na &lt; 130 &amp; K &gt; 5</p>"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
        ("3. c", '<ol start="3">\n<li>c</li>\n</ol>'),
        ("", ""),
    ],
)  # fmt: skip
def test_markdown(source: str, html: str | None) -> None:
    made = audit(render(source))
    assert "<img" not in made
    if html is not None and not source.startswith("[x](//"):
        assert made == html
    assert 'href="//' not in made


@pytest.mark.parametrize(
    ("html", "kept"),
    [
        ('<p class="x mention">a</p>', "<p>a</p>"),
        ('<span class="mention evil">a</span>', '<span class="mention">a</span>'),
        ('<a class="mention hashtag" href="https://x.example/@a">a</a>',
         '<a class="mention hashtag" href="https://x.example/@a"'
         ' rel="nofollow noopener noreferrer">a</a>'),
        ('<a href="/relative">a</a>', '<a rel="nofollow noopener noreferrer">a</a>'),
        ('<a href="https://x.example" target=_blank onclick=x style=x id=x>a</a>',
         '<a href="https://x.example" rel="nofollow noopener noreferrer">a</a>'),
        ("<style>p{}</style><p>a</p>", "<p>a</p>"),
        ("<svg><text>a</text></svg>b", "b"),
        ('<form action=x><input name=y><button>go</button></form>', "go"),
        ("<div><p>a</p></div><table><tr><td>b</td></tr></table>", "<p>a</p>b"),
    ],
)  # fmt: skip
def test_what_is_kept_of_a_peers_html(html: str, kept: str) -> None:
    assert audit(sanitise(html)) == kept


def _deep_formatting() -> str:
    return "<p>" + "".join(f"<b a{n}=1>" for n in range(99)) + "<p>x" * 19_000


HOSTILE: dict[str, str] = {
    "attributes": "<a " + " ".join(f"a{n}=1" for n in range(50_000)) + ">x</a>",
    "attributes with brackets": "<a " + " ".join(f"a{n}='>'" for n in range(50_000)) + ">x</a>",
    "div": "<div>" * 20_000,
    "div, closed": "<div>" * 20_000 + "</div>" * 20_000,
    "div, closed in comments": "<div><!--</div>-->" * 12_000,
    "div, closed in attributes": "<div a='</div>'>" * 12_000,
    "div, closed in text areas": "<div><textarea></div></textarea>" * 8_000,
    "formatting that is opened anew": _deep_formatting(),
    "attributes, odd ones": "<a " + " ".join(f"a{n}='>\"'" for n in range(20_000)) + ">x</a>",
    "blockquote": "<blockquote>" * 20_000,
    "tables": "<table><td>" * 10_000,
    "brackets": "<" * 262_144,
    "comments": "<!--" * 60_000,
    "entities": "&amp;" * 52_000,
    "a megabyte": "<p>x</p>" * 131_072,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_html_is_bounded_in_time_and_size(name: str) -> None:
    """Measured 0.06 s at most; unbounded, several of these take one to two seconds or more."""
    started = time.process_time()
    made = sanitise(HOSTILE[name])
    assert time.process_time() - started < 0.5
    audit(made)
    assert len(made) < 4 * len(HOSTILE[name]) + 1_000
    started = time.process_time()
    plain(HOSTILE[name])
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    "source",
    [
        "[" * 10_000, "![" * 10_000, "[a](" * 5_000, "> " * 10_000, "- " * 10_000, "*a " * 7_000,
        "**a" * 7_000, "`a" * 10_000, "*_" * 10_000, "<a" * 10_000, "[](" * 6_000, "&a;" * 6_000,
        "[a]: b\n" * 3_000, "\n".join(" " * n + "- a" for n in range(200)), "[" * 1_000_000,
    ],
)  # fmt: skip
def test_markdown_is_bounded_in_time(source: str) -> None:
    started = time.process_time()
    audit(render(source))
    assert time.process_time() - started < 2


def test_ordinary_long_html_keeps_its_markup() -> None:
    page = (
        '<ul><li><p>Hello <a href="https://x.example" class="mention">you</a></p></li></ul>' * 500
    )
    assert sanitise(page).count("<strong>") == 0
    assert sanitise(page).count("<a ") == 500
    assert "<script" not in sanitise(page + "<!-- <script> -->")


def test_long_paragraphs_keep_their_markup() -> None:
    words = "Na < 130 mmol. " + "Then word after word. " * 300
    page = f"<!-- x --><table><tr><td><p><b>First</b> {words}</p><p>{words}</p></td></tr></table>"
    assert sanitise(page).startswith("<p><b>First</b> Na &lt; 130")


@pytest.mark.parametrize("reader", [render, sanitise, plain, excerpt])
def test_any_text_is_taken(reader: Callable[[str], str], corpora: Path) -> None:
    for text in json.loads((corpora / "blns" / "blns.json").read_text("utf-8")):
        assert isinstance(reader(text), str)
    assert len(render("x" * (SOURCE_LIMIT + 50))) < SOURCE_LIMIT + 50


def test_plain_and_excerpt() -> None:
    html = "<p>One &amp; <b>two</b></p><p>three<br>four</p>"
    assert plain(html) == "One & two\nthree\nfour"
    assert excerpt(html) == "One & two three four"
    assert excerpt(html, 12) == "One & two…"
    assert excerpt("<p>" + "x" * 300 + "</p>", 50) == "x" * 49 + "…"
    assert plain("a < b and c > d") == "a < b and c > d"
