"""Peak memory of one system in its own process.

Started by `python -m benchmarks.llm --memory`; reads the request from stdin and writes figures, both JSON.
"""

import gc
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .systems import Setting, System


DEFAULT_SYSTEMS = ("dynexec-plain", "dynexec-auto", "genai-plain", "genai-lookup-k5-n3")
WARM_UP_REQUESTS = 20
SHORT_REQUESTS = 200
SHORT_PROMPT_TOKENS = 32
SHORT_NEW_TOKENS = 16
MIB = 1024.0


def measure(system: str, setting: Setting, prompts: list[list[int]], max_new_tokens: int) -> dict[str, Any]:
    """
    Runs `system` in a new process.

    Returns:
        `dict[str, Any]`: MiB of resident memory: `imports` before the model is loaded, `loaded` after, `peak` over
        all of it and `peak_generating` after loading, the `anonymous` and `file` parts after the prompts; and
        `growth` over 200 short requests that follow.

    Raises:
        `RuntimeError`: if the process fails.
    """
    request = {
        "system": system,
        "setting": {**asdict(setting), "model": str(setting.model), "draft": setting.draft and str(setting.draft)},
        "prompts": prompts,
        "max_new_tokens": max_new_tokens,
    }
    command = [sys.executable, "-m", "benchmarks.memory"]
    process = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
    if process.returncode != 0:
        raise RuntimeError(f"{system} failed with status {process.returncode}:\n{process.stderr[-2000:]}")
    return json.loads(process.stdout.splitlines()[-1])


def _make(name: str) -> System:
    # openvino_genai is measured without torch and transformers, which it does not need.
    if name.startswith("genai-"):
        from .genai_systems import GENAI_SYSTEMS

        return GENAI_SYSTEMS[name](name)
    from .dynexec_systems import DYNEXEC_SYSTEMS

    return DYNEXEC_SYSTEMS[name](name)


def _status() -> dict[str, float]:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) / MIB for name in ("VmHWM", "VmRSS", "RssAnon", "RssFile")}


def _run(request: dict[str, Any]) -> dict[str, Any]:
    setting = request["setting"]
    draft = setting["draft"] and Path(setting["draft"])
    system = _make(request["system"])
    imports = _status()["VmRSS"]
    system.load(Setting(**{**setting, "model": Path(setting["model"]), "draft": draft}), {})
    loaded = _status()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # resets VmHWM
        reset = True
    except OSError:
        reset = False
    for prompt in request["prompts"]:
        system.generate(prompt, request["max_new_tokens"])
    after = _status()
    shorts = [prompt[:SHORT_PROMPT_TOKENS] for prompt in request["prompts"]]
    for index in range(WARM_UP_REQUESTS):
        system.generate(shorts[index % len(shorts)], SHORT_NEW_TOKENS)
    gc.collect()
    before = _status()["VmRSS"]
    for index in range(SHORT_REQUESTS):
        system.generate(shorts[index % len(shorts)], SHORT_NEW_TOKENS)
    gc.collect()
    end = _status()
    return {
        "system": request["system"],
        "imports": imports,
        "loaded": loaded["VmRSS"],
        "peak_generating": end["VmHWM"] if reset else None,
        "peak": max(loaded["VmHWM"], end["VmHWM"]),
        "anonymous": after["RssAnon"],
        "file": after["RssFile"],
        "growth": end["VmRSS"] - before,
        "short_requests": SHORT_REQUESTS,
    }


if __name__ == "__main__":
    print(json.dumps(_run(json.load(sys.stdin))))
