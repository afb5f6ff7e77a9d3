"""The requests for embeddings and labels, as pydantic models."""

from typing import Annotated, Literal

from pydantic import Field

from .requests import Strict, TokenIds, Words


# OpenAI's maximum number of texts in a request.
MAX_TEXTS = 2048

Input = str | TokenIds | Annotated[list[str], Field(min_length=1)] | Annotated[list[TokenIds], Field(min_length=1)]


class Encoding(Strict):
    """What all endpoints of encoders take. `early_exit` is no field of OpenAI's. `user` has no effect here."""

    model: Words
    early_exit: Literal["calibrated", "off"] | None = None
    user: str | None = None


class EmbeddingRequest(Encoding):
    """The body of `POST /v1/embeddings`."""

    input: Input
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None


class ClassifyRequest(Encoding):
    """The body of `POST /v1/classify`."""

    input: Input


class Document(Strict):
    """A document of a [`RerankRequest`]."""

    text: str


class RerankRequest(Encoding):
    """The body of `POST /v1/rerank`."""

    query: Words
    documents: Annotated[list[str | Document], Field(min_length=1, max_length=MAX_TEXTS)]
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool | None = None

    @property
    def texts(self) -> list[str]:
        """The texts of the documents."""
        return [one if isinstance(one, str) else one.text for one in self.documents]
