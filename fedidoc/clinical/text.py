"""Text between what people write and what people see: Markdown in, safe HTML out.

Pure. What a local author wrote is CommonMark without raw HTML and without images; what a peer sent
is HTML that is cut down to a small allowlist. Both pass the same sanitiser (`nh3`), so that a page
may print the result as it is. Time is bounded by limits on size, nesting and the number of tags,
which are put in front of the parsers: 20,000 nested `div` or 50,000 attributes would otherwise
cost most of a second each.
"""

from __future__ import annotations

import html as entities
import re
from functools import cache

import nh3
from markdown_it import MarkdownIt

SOURCE_LIMIT = 20_000
"""Most characters of one Markdown text; callers refuse longer ones with a word to the author."""
HTML_LIMIT = 262_144
"""Most characters of a peer's HTML; what is longer is shown as plain text, cut."""

_ALLOWED = {
    "a", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
    "i", "li", "ol", "p", "pre", "s", "span", "strong", "sub", "sup", "u", "ul",
}  # fmt: skip
_ATTRIBUTES: dict[str, set[str]] = {"*": set(), "a": {"href"}, "ol": {"start"}}
# Mastodon marks mentions and hashtags, and hides parts of long links, by these classes.
_CLASSES = {name: {"mention", "hashtag", "ellipsis", "invisible"} for name in ("a", "span")}
# Their text is no reading matter.
_DROPPED = {"script", "style", "template", "textarea", "title", "noscript", "iframe", "object",
            "svg", "math", "select", "option", "audio", "video"}  # fmt: skip
_REL = "nofollow noopener noreferrer"

# How much a parser is asked to do. `_WORK` is the sum of the open elements at every tag: unclosed
# `<b>` are opened anew in each paragraph after them, so that the product of both is what costs.
_DEPTH = 100
_WORK = 60_000
_TAG_LENGTH = 4_096
_FEW_TAGS = 400  # so few that their nesting need not be counted
_OPENING = re.compile(r"<[a-zA-Z/!?]")
# What can be counted surely; a document of many tags that holds other ones is shown as text.
_SIMPLE_TAG = re.compile(
    r"<(/?+)([a-zA-Z][a-zA-Z0-9]*+)"
    r"(?:\s++[a-zA-Z_:][\w:.-]*+(?:=(?:\"[^\"<>]*+\"|'[^'<>]*+'|[^\s\"'<>=`]++))?+)*+\s*+/?+>"
)
_NOT_NESTING = {
    "area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link", "meta",
    "p", "source", "track", "wbr",
}  # fmt: skip
# Elements in which a parser reads tags otherwise than in running text.
_ODD = {"script", "style", "textarea", "title", "noscript", "iframe", "xmp", "plaintext", "noembed",
        "noframes", "template", "svg", "math", "select", "table", "frameset"}  # fmt: skip

_ANY_TAG = re.compile(r"<[!/?a-zA-Z][^<>]{0,4096}>?")
_BREAKS = re.compile(r"(?i)<(?:br|/p|/div|/li|/h[1-6]|/blockquote|/pre|hr|/tr)\b[^<>]{0,200}>")
_SPACES = re.compile(r"[ \t\r\f\v]+")
_LINES = re.compile(r"\n{3,}")


@cache
def _markdown() -> MarkdownIt:
    rules = MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": 20})
    return rules.disable(["image", "html_block", "html_inline"])


def render(source: str) -> str:
    """CommonMark as sanitised HTML; links only to http and https, no images, no raw HTML.

    At most SOURCE_LIMIT characters: the rest is not shown, and callers refuse it beforehand.
    """
    return sanitise(_markdown().render(source[:SOURCE_LIMIT])).strip()


def sanitise(html: str) -> str:
    """HTML of any origin as HTML that may be printed into a page.

    No scripts, styles, images, forms, ids or event handlers; links to http and https only, with
    `rel="nofollow noopener noreferrer"`; classes only those that mark mentions and hashtags. A
    document that is too long, too deep or too dense to parse in short time comes out as its text.
    """
    if not _is_modest(html):
        return _as_text(html)
    return _cleaner().clean(html)


@cache
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=_ALLOWED,
        clean_content_tags=_DROPPED,
        attributes=_ATTRIBUTES,
        allowed_classes=_CLASSES,
        url_schemes={"http", "https"},
        url_relative="deny",
        link_rel=_REL,
        strip_comments=True,
    )


def _is_modest(html: str) -> bool:
    """Whether a parser needs little time: few tags, short ones, nested a little."""
    if len(html) > HTML_LIMIT:
        return False
    brackets = html.count("<")
    if brackets <= _FEW_TAGS:
        return _has_short_tags(html)
    nested: list[str] = []
    work = seen = 0
    for match in _SIMPLE_TAG.finditer(html):
        name = match[2].lower()
        if name in _ODD or match.end() - match.start() > _TAG_LENGTH:
            return False
        seen += 1
        if match[1]:
            # Only what surely closes something counts as closing.
            if nested and nested[-1] == name:
                nested.pop()
        elif name not in _NOT_NESTING:
            nested.append(name)
        work += len(nested)
        if len(nested) > _DEPTH or work > _WORK:
            return False
    return seen == brackets


def _has_short_tags(html: str) -> bool:
    start = html.find("<")
    while start >= 0:
        after = html.find("<", start + 1)
        if (len(html) if after < 0 else after) - start > _TAG_LENGTH:
            # Long text after a tag is no matter, if the tag surely ends where it seems to.
            tag = _SIMPLE_TAG.match(html, start)
            if (tag is None or len(tag[0]) > _TAG_LENGTH) and _OPENING.match(html, start):
                return False
        start = after
    return True


def _as_text(html: str) -> str:
    words = plain(html[:HTML_LIMIT])[:SOURCE_LIMIT]
    return "<p>" + entities.escape(words, quote=False).replace("\n", "<br>") + "</p>"


def plain(html: str) -> str:
    """The words of HTML, without markup; paragraphs and line breaks become new lines.

    For titles, previews and searches. Not HTML: escape it before it is printed into a page.
    """
    text = _ANY_TAG.sub("", _BREAKS.sub("\n", html))
    text = _SPACES.sub(" ", entities.unescape(text).replace("\N{NO-BREAK SPACE}", " "))
    text = "\n".join(line.strip() for line in text.split("\n"))
    return _LINES.sub("\n\n", text).strip()


def excerpt(html: str, length: int = 200) -> str:
    """The first words of HTML in one line, at most `length` characters, with `…` if cut."""
    words = " ".join(plain(html).split())
    if len(words) <= length:
        return words
    cut = words[: length - 1]
    space = cut.rfind(" ")
    return cut[: space if space > length // 2 else None].rstrip(" ,;:.") + "…"
