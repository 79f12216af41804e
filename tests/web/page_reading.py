"""Read pages as tests look at them: what stands where, and what must not be there."""

from collections import Counter
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "img", "br", "hr", "source"}
SVG_NAMESPACE = "http://www.w3.org/2000/svg"


class Page(HTMLParser):
    """The elements of a page in order, and its text without scripts.

    Attributes:
        elements: name and attributes of each.
        words: the text.
        faults: what no page may have.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.faults: list[str] = []
        self._open: list[str] = []
        self._ids: list[str] = []
        self._pieces: list[str] = []
        self.feed(text)
        self.close()
        if self._open:
            self.faults.append(f"not closed: {self._open}")
        ids = Counter(self._ids)
        self.faults += [f"twice: id {name}" for name, count in ids.items() if count > 1]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self._pieces).split())

    def all(self, element: str, /, **wanted: str) -> list[dict[str, str]]:
        """Return the attributes of the elements that have the wanted ones; ``_`` stands for ``-``."""
        pairs = {key.rstrip("_").replace("_", "-"): value for key, value in wanted.items()}
        return [own for kind, own in self.elements if kind == element and pairs.items() <= own.items()]

    def links(self, start: str = "") -> list[str]:
        """Return where links lead that begin so."""
        return [own["href"] for own in self.all("a") if own.get("href", "").startswith(start)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self._open.append(tag)
        if "id" in attributes and "template" not in self._open:  # what is in a template is not in the page
            self._ids.append(attributes["id"])
        for name, value in attributes.items():
            if name == "style" or name.startswith("on"):
                self.faults.append(f"{tag} has {name}")
            if ("://" in value or value.startswith("//")) and value != SVG_NAMESPACE:
                self.faults.append(f"{tag} leads away: {value}")
        self._check_named(tag, attributes)

    def _check_named(self, tag: str, attributes: dict[str, str]) -> None:
        is_field = tag in ("input", "select", "textarea") and attributes.get("type") != "hidden"
        if is_field and "label" not in self._open and "aria-label" not in attributes:
            self.faults.append(f"{tag} without a label: {attributes}")
        if tag == "img" and "alt" not in attributes:
            self.faults.append(f"img without alt: {attributes}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"{tag} is closed and not open")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("script", "style") and data.strip():
            self.faults.append(f"inline {self._open[-1]}")
        self._pieces.append(data)
