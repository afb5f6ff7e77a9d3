"""Whether a directory's configuration and its model belong together."""

from pathlib import Path

from .config import DYNEXEC_CONFIG_NAME, DynExecConfig
from .hashes import fingerprint_model, hash_model
from .staging import EXPORT_MARK


def check_model_files(directory: Path, config: DynExecConfig) -> None:
    """
    Checks that the model's files in a directory are those that its configuration was written for.

    Args:
        directory (`Path`): of the model.
        config ([`DynExecConfig`]): of the directory.

    Raises:
        `ValueError`: if they are not; the message says what to do.
    """
    if not (directory / EXPORT_MARK).is_file():
        # Loaded from a file of another name, which nothing is known of.
        return
    if config.model_fingerprint is not None:
        same = fingerprint_model(directory) == config.model_fingerprint
    else:
        # Written before there were fingerprints, which the whole of the weights is then read for.
        same = config.model_hash is None or hash_model(directory) == config.model_hash
    if not same:
        raise ValueError(
            f"{directory / EXPORT_MARK} or its .bin file is not the one that {DYNEXEC_CONFIG_NAME} beside it was "
            "written for: it has been changed or exported again since. To keep the model as it is now, make an export "
            f"of it with `optimum-cli export dynexec --model {directory} NEW_DIRECTORY`; to use it without exits and "
            f"heads, remove {DYNEXEC_CONFIG_NAME}"
        )
