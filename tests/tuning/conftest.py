"""What the tests of tuning share."""

import pytest

from tests.tiny_models import TEXT


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    """A file of prompts, one in a line."""
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    path.write_text("\n".join(TEXT))
    return path
