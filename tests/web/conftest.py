"""One small collection, and one server of it, for all tests of this folder that change neither."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.web.served import Served, make_served, open_client


@pytest.fixture(scope="session")
def served(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Return a collection; nobody writes into its folder."""
    return make_served(corpus, tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def client(served: Served) -> Iterator[httpx.Client]:
    """Give a client of a server of that collection, without a token and without runs."""
    with open_client(served.settings()) as client:
        yield client
