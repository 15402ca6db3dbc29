"""What a page is made of, for tests that look at one."""

from html.parser import HTMLParser


class Tags(HTMLParser):
    """All tags of a page with their attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "input", "path", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "circle"):
            assert self.open.pop() == tag


def addresses(text: str) -> list[str]:
    """Everything a browser would fetch or go to."""
    keys = ("src", "href", "srcset", "poster", "data", "action")
    return [value for _, attrs in Tags(text).found for key in keys if (value := attrs.get(key)) is not None]
