"""Which versions of transformers a family of models can be exported with."""

from importlib.metadata import version
from typing import Any

from packaging.version import Version

from ..directory.errors import ExportError
from ..utils.versions import TESTED_TRANSFORMERS


def check_transformers(model_type: str, export_config: Any) -> None:
    """
    Refuses a family that optimum-intel does not export with the installed version of transformers. optimum-intel
    itself refuses it only after the weights have been downloaded and loaded, and does not say what to do.

    Args:
        model_type (`str`):
            The family, `model_type` of the model's `config.json`.
        export_config (`type`):
            The class of optimum-intel that describes the family's export. Its `MIN_TRANSFORMERS_VERSION` and
            `MAX_TRANSFORMERS_VERSION` are the limits; either may be absent or `None`.

    Raises:
        [`~directory.errors.ExportError`]: if the installed version is not between the limits. The message says which
            versions are, and how to export the model.
    """
    installed = version("transformers")
    oldest, newest = (getattr(export_config, f"{end}_TRANSFORMERS_VERSION", None) for end in ("MIN", "MAX"))
    if _lies_between(installed, oldest, newest):
        return
    accepted = " and ".join(
        f"{word} {limit}" for word, limit in (("from", oldest), ("up to", newest)) if limit is not None
    )
    raise ExportError(
        f"optimum-intel {version('optimum-intel')} exports models of the type {model_type!r} with transformers"
        f" {accepted}, but {installed} is installed. {_advice(installed, oldest, newest)}"
    )


def _lies_between(release: str, oldest: Any, newest: Any) -> bool:
    return (oldest is None or Version(release) >= Version(str(oldest))) and (
        newest is None or Version(release) <= Version(str(newest))
    )


def _advice(installed: str, oldest: Any, newest: Any) -> str:
    if oldest is not None and newest is not None and Version(str(oldest)) > Version(str(newest)):
        return "No version is both, so this release of optimum-intel cannot export the model."
    tested = [release for release in TESTED_TRANSFORMERS if _lies_between(release, oldest, newest)]
    limits = [f"{sign}{limit}" for sign, limit in ((">=", oldest), ("<=", newest)) if limit is not None]
    requirement = f"transformers=={tested[0]}" if tested else f"transformers{','.join(limits)}"
    if newest is not None and Version(str(newest)) < min(map(Version, TESTED_TRANSFORMERS)):
        return (
            f"This package does not run with those. In another environment, run `pip install optimum-intel"
            f' openvino=={version("openvino")} "{requirement}"` and `optimum-cli export openvino`, and pass the'
            " exported directory as `--model` here."
        )
    return (
        f'In another environment, install this package, run `pip install "{requirement}"` and export the model there;'
        f" the exported directory can be loaded with transformers {installed}."
    )
