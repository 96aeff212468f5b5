"""A browser without a screen: reads pages as trees, fills in their own forms, keeps cookies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urljoin, urlsplit

from quart import Quart

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}


@dataclass
class Node:
    tag: str
    attrs: dict[str, str]
    parent: Node | None = None
    children: list[Node | str] = field(default_factory=list)

    def all(self, *tags: str, **attrs: str) -> list[Node]:
        """Every element below with one of these tags and all of these attributes."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attrs.items()}
        return [
            node
            for node in self.walk()
            if (not tags or node.tag in tags)
            and all(node.attrs.get(name) == value for name, value in wanted.items())
        ]

    def one(self, *tags: str, **attrs: str) -> Node:
        found = self.all(*tags, **attrs)
        assert found, f"no {tags} {attrs} on the page"
        return found[0]

    def walk(self) -> Iterator[Node]:
        for child in self.children:
            if isinstance(child, Node):
                yield child
                yield from child.walk()

    @property
    def text(self) -> str:
        words = [c if isinstance(c, str) else c.text for c in self.children]
        return " ".join(" ".join(words).split())

    def within(self, *tags: str) -> bool:
        node = self.parent
        while node is not None:
            if node.tag in tags:
                return True
            node = node.parent
        return False


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.at = Node("", {})
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.children.append(node)
        if tag not in VOID:
            self.at = node

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.at.tag != tag:
            self.faults.append(f"</{tag}> closes <{self.at.tag}>")
            return
        assert self.at.parent is not None
        self.at = self.at.parent

    def handle_data(self, data: str) -> None:
        self.at.children.append(data)


@dataclass
class Shown:
    """A page that came: `status`, `path` after redirects, its HTML and its tree."""

    status: int
    path: str
    headers: dict[str, str]
    html: str
    root: Node = field(init=False)
    faults: list[str] = field(init=False)

    def __post_init__(self) -> None:
        builder = _Builder()
        builder.feed(self.html)
        builder.close()
        self.root, self.faults = builder.root, builder.faults

    @property
    def title(self) -> str:
        return self.root.one("title").text

    @property
    def main(self) -> Node:
        return self.root.one("main")

    def errors(self) -> dict[str, str]:
        """What the summary says, by field."""
        summaries = self.root.all(id="problems")
        links = summaries[0].all("a") if summaries else []
        return {link.attrs["href"].removeprefix("#"): link.text for link in links}

    def form(self, action: str) -> Node:
        return self.root.one("form", action=action)


def values_of(form: Node) -> list[tuple[str, str]]:
    """What a browser would send for the form as it stands, without its buttons."""
    sent: list[tuple[str, str]] = []
    for node in form.all("input", "textarea", "select"):
        name, kind = node.attrs.get("name"), node.attrs.get("type", "text")
        if not name or kind == "file":
            continue
        if node.tag == "textarea":
            raw = "".join(c for c in node.children if isinstance(c, str))
            sent.append((name, raw.removeprefix("\n")))
        elif node.tag == "select":
            options = node.all("option")
            chosen = [o for o in options if "selected" in o.attrs] or options[:1]
            sent.append((name, chosen[0].attrs.get("value", chosen[0].text) if chosen else ""))
        elif kind in {"checkbox", "radio"}:
            if "checked" in node.attrs:
                sent.append((name, node.attrs.get("value", "on")))
        else:
            sent.append((name, node.attrs.get("value", "")))
    return sent


@dataclass
class Browser:
    app: Quart
    origin: str
    cookies: dict[str, str] = field(default_factory=dict)
    set_cookies: list[str] = field(default_factory=list)

    async def get(self, path: str, follow: bool = True, **headers: str) -> Shown:
        return await self._ask("GET", path, b"", headers, follow)

    async def post(
        self,
        path: str,
        fields: list[tuple[str, str]] | dict[str, str],
        *,
        follow: bool = True,
        **headers: str,
    ) -> Shown:
        """Post fields as they are, as one of our own pages would."""
        body = urlencode(fields).encode()
        sent = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": self.origin,
            "Sec-Fetch-Site": "same-origin",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return await self._ask("POST", path, body, sent, follow)

    async def send(self, path: str, body: bytes, kind: str) -> Shown:
        """Post any bytes."""
        return await self._ask("POST", path, body, {"Content-Type": kind} if kind else {}, True)

    async def submit(
        self,
        page: Shown,
        action: str,
        changes: dict[str, str] | None = None,
        *,
        also: list[tuple[str, str]] | None = None,
        files: dict[str, tuple[str, bytes]] | None = None,
        follow: bool = True,
    ) -> Shown:
        """Fill in the page's own form and send it; a changed field replaces all of its name."""
        form = page.form(action)
        changes = changes or {}
        names = {
            node.attrs.get("name") for node in form.all("input", "textarea", "select", "button")
        }
        unknown = changes.keys() - names
        assert not unknown, f"the form {action} has no field {unknown}"
        fields = [(n, v) for n, v in values_of(form) if n not in changes]
        fields += [*changes.items(), *(also or [])]
        assert form.attrs.get("method") == "post"
        if form.attrs.get("enctype") == "multipart/form-data":
            return await self._multipart(action, fields, files or {}, follow)
        assert not files
        return await self.post(action, fields, follow=follow)

    async def _multipart(
        self,
        path: str,
        fields: list[tuple[str, str]],
        files: dict[str, tuple[str, bytes]],
        follow: bool,
    ) -> Shown:
        parts = []
        for name, value in fields:
            head = f'--frontier\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
            parts.append(head.encode() + value.encode() + b"\r\n")
        for name, (filename, data) in files.items():
            head = (
                f'--frontier\r\nContent-Disposition: form-data; name="{name}";'
                f' filename="{filename}"\r\nContent-Type: application/octet-stream\r\n\r\n'
            )
            parts.append(head.encode() + data + b"\r\n")
        headers = {
            "Content-Type": "multipart/form-data; boundary=frontier",
            "Origin": self.origin,
            "Sec-Fetch-Site": "same-origin",
        }
        return await self._ask("POST", path, b"".join(parts) + b"--frontier--\r\n", headers, follow)

    async def _ask(
        self, method: str, path: str, body: bytes, headers: dict[str, str], follow: bool
    ) -> Shown:
        url = urlsplit(path)
        client = self.app.test_client(use_cookies=False)
        sent = {"Host": urlsplit(self.origin).netloc, **headers}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{n}={v}" for n, v in self.cookies.items())
        response = await client.open(
            url.path + (f"?{url.query}" if url.query else ""),
            method=method,
            headers=sent,
            data=body or None,
            scheme=urlsplit(self.origin).scheme,
        )
        for line in response.headers.getlist("Set-Cookie"):
            self.set_cookies.append(line)
            for name, morsel in SimpleCookie(line).items():
                if morsel.value and morsel["max-age"] != "0":
                    self.cookies[name] = morsel.value
                else:
                    self.cookies.pop(name, None)
        html = (await response.get_data(as_text=False)).decode("utf-8", "replace")
        if follow and response.status_code in {301, 302, 303, 307, 308}:
            target = urljoin(self.origin + path, response.headers["Location"])
            assert target.startswith(self.origin), "redirected to another site"
            return await self._ask("GET", target.removeprefix(self.origin), b"", {}, follow)
        lowered = {name.lower(): value for name, value in response.headers.items()}
        return Shown(response.status_code, path, lowered, html)
