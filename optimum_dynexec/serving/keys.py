"""API keys."""

import hashlib
import hmac
import logging
from pathlib import Path

from .errors import ApiError, ServeError


logger = logging.getLogger(__name__)


class ApiKeys:
    """
    The keys of a file.

    Args:
        path (`str` or `Path`, *optional*): file with a key in each line. If not set, no key is needed.

    Raises:
        [`ServeError`]: if the file cannot be read, or has no key.
    """

    def __init__(self, path: str | Path | None = None):
        self._keys: list[bytes] = []
        if path is None:
            return
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
            readable = bool(Path(path).stat().st_mode & 0o004)
        except (OSError, UnicodeDecodeError) as error:
            raise ServeError(f"`api_key_file` {str(path)!r} cannot be read: {type(error).__name__}") from None
        self._keys = [line.strip().encode() for line in lines if line.strip()]
        if not self._keys:
            raise ServeError(f"`api_key_file` {str(path)!r} has no key: write one into each line")
        if readable:
            logger.warning(f"All users of this machine can read {path}: `chmod 600` it.")

    def tenant(self, authorization: str | None) -> str:
        """
        Checks the header `Authorization`.

        Args:
            authorization (`str`, *optional*): its value.

        Returns:
            `str`: a name for the key, which does not tell the key. Empty if there are not several keys.

        Raises:
            [`ApiError`]: with status 401 if the key is none of those of the file.
        """
        if not self._keys:
            return ""
        scheme, _, given = (authorization or "").partition(" ")
        offered = given.strip().encode("utf-8", "surrogateescape")
        # All keys are compared, so that the time does not tell which one is right.
        matches = [hmac.compare_digest(offered, key) for key in self._keys]
        if scheme.lower() != "bearer" or not any(matches):
            problem = "Incorrect API key provided." if authorization else "You did not provide an API key."
            raise ApiError(
                401,
                f"{problem} Send it in the header `Authorization: Bearer KEY`.",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return hashlib.sha256(offered).hexdigest()[:16] if len(self._keys) > 1 else ""
