"""An HTTP server with OpenAI's API."""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_exports


if TYPE_CHECKING:
    from .arguments import ServeArguments
    from .errors import ServeError
    from .main import serve


__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"arguments": ["ServeArguments"], "errors": ["ServeError"], "main": ["serve"]}
)
