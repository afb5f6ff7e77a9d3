"""The machine and the versions that figures were measured with."""

import hashlib
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

import optimum_dynexec

from ..utils.cpus import usable_cpus


PACKAGES = ("openvino", "openvino-genai", "openvino-tokenizers", "optimum-intel", "transformers", "torch", "nncf")


def environment() -> dict[str, str | int]:
    """The processor, the number of usable logical processors, and the versions of the packages."""
    return {
        "cpu": cpu_name(),
        "cpus": usable_cpus(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "optimum-dynexec": f"{optimum_dynexec.__version__} ({code_hash()})",
        **{name: _version(name) for name in PACKAGES},
    }


def physical_cores() -> int | None:
    """The number of physical cores; `None` if the system does not say."""
    cores = set()
    for topology in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology"):
        try:
            cores.add(tuple((topology / name).read_text().strip() for name in ("physical_package_id", "core_id")))
        except OSError:
            return None
    return len(cores) or None


def cpu_name() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def all_versions() -> dict[str, str]:
    """The versions of all installed packages by name, in the order of the names."""
    found = {distribution.metadata["Name"]: distribution.version for distribution in distributions()}
    return {name: found[name] for name in sorted(filter(None, found), key=str.lower)}


@cache
def code_hash() -> str:
    """A hash of the installed library, so that figures of another build are not mistaken for those of this build."""
    root = Path(optimum_dynexec.__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*root.rglob("*.py"), *root.glob("_C*.so")]):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
