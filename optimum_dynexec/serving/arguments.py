"""The arguments of a server."""

from dataclasses import dataclass
from pathlib import Path

from ..precision import check_precision
from ..speculative.arguments import check_mode
from ..utils.numbers import finite_number, whole_number
from .errors import ServeError


LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class ServeArguments:
    """
    The arguments of [`serve`].

    Args:
        host (`str`, *optional*, defaults to `"127.0.0.1"`): address to listen on.
        port (`int`, *optional*, defaults to 8000): port to listen on; 0: any free port.
        api_key_file (`str` or `Path`, *optional*): file with an API key in each line. If not set, no key is needed.
        served_model_name (`str`, *optional*): name of the model in the API. If not set: that of the directory.
        max_model_len (`int`, *optional*):
            Maximum number of tokens of a prompt and its answer. If not set: the context of the model, or what the KV
            cache can hold, if that is less.
        max_running (`int`, *optional*, defaults to 32): maximum number of sequences that are generated together.
        max_waiting (`int`, *optional*, defaults to 128):
            Maximum number of requests that wait for their turn; 0: none. Others are refused with status 429.
        kv_cache_gb (`float`, *optional*): maximum size of the KV cache in GB. If not set, it grows as needed.
        prefix_cache (`bool`, *optional*, defaults to `True`): whether requests share the KV cache of common prefixes.
        draft (`str` or `Path`, *optional*): directory of an assistant model.
        speculation (`str`, *optional*): mode of requests that do not set one.
        precision (`str`, *optional*): precision of the model, see [`DynExecModelForCausalLM.from_pretrained`].
        request_timeout (`float`, *optional*, defaults to 600): maximum time of a request, in seconds.
        device (`str`, *optional*, defaults to `"CPU"`): OpenVINO device.
        log_level (`str`, *optional*, defaults to `"info"`): one of [`LOG_LEVELS`].
        max_body_bytes (`int`, *optional*, defaults to 4 MiB): maximum size of the body of a request.

    Raises:
        `ValueError`: if an argument is not accepted.
        [`ServeError`]: if a file or a directory does not exist.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key_file: str | Path | None = None
    served_model_name: str | None = None
    max_model_len: int | None = None
    max_running: int = 32
    max_waiting: int = 128
    kv_cache_gb: float | None = None
    prefix_cache: bool = True
    draft: str | Path | None = None
    speculation: str | None = None
    precision: str | None = None
    request_timeout: float = 600.0
    device: str = "CPU"
    log_level: str = "info"
    max_body_bytes: int = 4 << 20

    def __post_init__(self) -> None:
        whole_number("port", self.port, 0, 65535)
        whole_number("max_running", self.max_running, 1, 256)
        whole_number("max_waiting", self.max_waiting, 0)
        whole_number("max_body_bytes", self.max_body_bytes, 1024)
        finite_number("request_timeout", self.request_timeout, 0.001)
        if self.max_model_len is not None:
            whole_number("max_model_len", self.max_model_len, 2)
        if self.kv_cache_gb is not None:
            finite_number("kv_cache_gb", self.kv_cache_gb, 1e-6)
        if self.speculation is not None:
            check_mode(self.speculation)
        if self.precision is not None:
            check_precision(self.precision)
        if self.log_level not in LOG_LEVELS:
            raise ValueError(f"`log_level` must be one of {list(LOG_LEVELS)}, got {self.log_level!r}")
        if self.served_model_name is not None and not self.served_model_name.strip():
            raise ValueError("`served_model_name` must not be empty")
        if self.draft is not None and not Path(self.draft).is_dir():
            raise ServeError(f"`draft` must be the directory of an exported model, but there is no {self.draft}")
