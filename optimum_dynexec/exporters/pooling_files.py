"""The files of sentence-transformers that say how embeddings are made of hidden states."""

import json
import shutil
from pathlib import Path

from transformers.utils import cached_file

from ..directory.errors import ExportError


MODULES = "modules.json"
MODULE_CONFIG = "config.json"


def copy_pooling_files(source: str, output: Path, cache_dir: str | None = None) -> None:
    """
    Copies `modules.json`, and the configurations of the modules after the transformer, to an export. A model without
    these files needs none.

    Args:
        source (`str`): id on the Hugging Face Hub, or local directory.
        output (`Path`): directory of the export.
        cache_dir (`str`, *optional*): directory of downloads.

    Raises:
        [`~directory.errors.ExportError`]: if `modules.json` cannot be read.
    """

    def copy(name: str) -> bool:
        found = cached_file(
            source,
            name,
            cache_dir=cache_dir,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_connection_errors=False,
        )
        if found is not None:
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, output / name)
        return found is not None

    if copy(MODULES):
        for folder in _folders(output / MODULES):
            copy(f"{folder}/{MODULE_CONFIG}")


def _folders(modules: Path) -> list[str]:
    """The folders of the modules, none of which may be outside the model."""
    try:
        folders = [str(module["path"]) for module in json.loads(modules.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError) as error:
        raise ExportError(f"{MODULES} of the model is no file of sentence-transformers: {error!r}") from None
    for folder in folders:
        if folder not in ("", Path(folder).name) or folder == "..":
            raise ExportError(f"{MODULES} of the model names the folder {folder!r}; only folders in the model can be")
    return [folder for folder in folders if folder]
