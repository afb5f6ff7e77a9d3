"""Single tokens as text and bytes, as log probabilities name them."""

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from llguidance import LLTokenizer


class TokenTexts:
    """
    Gives the bytes of tokens.

    Args:
        tokenizer (`LLTokenizer`): tokenizer, as llguidance reads it.
    """

    def __init__(self, tokenizer: "LLTokenizer"):
        self._tokenizer = tokenizer

    def bytes_of(self, token: int) -> bytes:
        """
        The bytes of a token, which may be a part of a character.

        Args:
            token (`int`): token id.
        """
        return bytes(self._tokenizer.decode_bytes([token])) if token < self._tokenizer.vocab_size else b""

    def text_of(self, token: int) -> str:
        """
        The text of a token. Bytes that are no text are named, so that different tokens have different texts.

        Args:
            token (`int`): token id.
        """
        content = self.bytes_of(token)
        try:
            return content.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in content)

    def entry(self, token: int, logprob: float) -> dict[str, Any]:
        """
        A token with its log probability, in OpenAI's form for chats.

        Args:
            token (`int`): token id.
            logprob (`float`): natural logarithm of its probability.
        """
        return {"token": self.text_of(token), "logprob": finite(logprob), "bytes": list(self.bytes_of(token))}


def finite(logprob: float) -> float:
    """A log probability as JSON can write it: OpenAI's -9999 for minus infinity."""
    return max(logprob, -9999.0)
