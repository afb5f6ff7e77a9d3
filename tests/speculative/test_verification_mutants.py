"""
The checker of the sampling tests, on the verification kernel and on kernels with one mistake each: it passes the one
and catches all others. The distributions are those of the sampling tests.
"""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.speculative.chi_square import P_VALUE, p_value
from tests.speculative.tiny_vocabulary import SETTINGS, VOCABULARY, conditionals, joint


SAMPLES = 20_000
KERNELS = Path(__file__).parents[2] / "csrc" / "kernels"
ACCEPT = "if (rng.uniform() * q[x] < p[x])"
RESIDUAL = "p[i] > q[i] ? p[i] - q[i] : 0.0f"
CERTAIN = "return {token == proposed, token};"
# What is replaced by what. The first three are about drafts that come with probabilities, the others about drafts that
# are certain.
MUTANTS = {
    "inverted_ratio": (ACCEPT, "if (rng.uniform() * p[x] < q[x])"),
    "always_accepts": (ACCEPT, "if (rng.uniform() < 2)"),
    "no_residual": (RESIDUAL, "p[i]"),
    "residual_of_the_draft": (RESIDUAL, "q[i] > p[i] ? q[i] - p[i] : 0.0f"),
    "certain_inverted": (CERTAIN, "return {token != proposed, token != proposed ? proposed : token};"),
    "certain_always_accepts": (CERTAIN, "return {true, proposed};"),
    "certain_no_residual": (CERTAIN, "return {token == proposed, token == proposed ? token : sample(p, vocab, rng)};"),
}
DRAFTS = ["same", "sharp", "random"]
compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
pytestmark = pytest.mark.skipif(compiler is None, reason="needs a C++ compiler")


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """`kernel(mutant)`: the harness over the kernel as it is (`None`), or over a mutant."""
    base, made = tmp_path_factory.mktemp("mutants"), {}

    def compile_(*arguments):
        flags = ["-std=c++17", "-O1", "-fPIC", "-fopenmp-simd", f"-I{KERNELS.parent}"]
        subprocess.run([compiler, *flags, *map(str, arguments)], check=True)

    def get(mutant=None):
        if not (base / "harness.o").exists():
            compile_("-c", Path(__file__).with_name("verification_harness.cpp"), "-o", base / "harness.o")
            compile_("-c", KERNELS / "sampling.cpp", "-o", base / "sampling.o")
        if mutant not in made:
            source = (KERNELS / "verification.cpp").read_text()
            if mutant is not None:
                old, new = MUTANTS[mutant]
                assert source.count(old) == 1, f"the kernel has changed: bring {mutant} up to date"
                source = source.replace(old, new)
            (base / f"{mutant}.cpp").write_text(source)
            library = base / f"{mutant}.so"
            compile_("-shared", base / f"{mutant}.cpp", base / "harness.o", base / "sampling.o", "-o", library)
            made[mutant] = ctypes.CDLL(str(library)).speculate
        return made[mutant]

    return get


@pytest.fixture(scope="module")
def p_value_of(kernel, tiny_vocabulary_models):
    """`p_value_of(mutant, settings, draft)`: of 20,000 samples, and the share of accepted proposals."""

    def rows(tables):
        return np.concatenate([table.reshape(-1, VOCABULARY) for table in tables]).astype(np.float32)

    def pointer(array):
        return None if array is None else array.ctypes.data_as(ctypes.c_void_p)

    def get(mutant, settings, draft):
        models = tiny_vocabulary_models
        target = conditionals(models.torch, SETTINGS[settings])
        p, q, certain = rows(target), None, None
        if draft == "certain":
            # A guess that is right now and then: the second most probable token.
            certain = np.ascontiguousarray(np.argsort(p, axis=1)[:, -2])
        else:
            q = rows(conditionals(models.torch, SETTINGS[settings], models.unembeddings[draft]))
        counts = np.zeros([VOCABULARY] * 3, np.uint64)
        proposed, accepted = ctypes.c_uint64(0), ctypes.c_uint64(0)
        kernel(mutant)(
            pointer(p),
            pointer(q),
            pointer(certain),
            ctypes.c_size_t(VOCABULARY),
            ctypes.c_uint64(SAMPLES),
            pointer(counts),
            ctypes.byref(proposed),
            ctypes.byref(accepted),
        )
        assert counts.sum() == SAMPLES
        return p_value(counts, joint(target)), accepted.value / proposed.value

    return get


@pytest.mark.parametrize("draft", [*DRAFTS, "certain"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_the_kernel_passes(settings, draft, p_value_of):
    p, acceptance = p_value_of(None, settings, draft)
    assert p > P_VALUE
    assert (acceptance == 1.0) == (draft == "same")


@pytest.mark.parametrize("draft", ["sharp", "random"])
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("mutant", [name for name in MUTANTS if not name.startswith("certain")])
def test_a_mistake_with_drafts_is_caught(mutant, settings, draft, p_value_of):
    assert p_value_of(mutant, settings, draft)[0] < P_VALUE


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("mutant", [name for name in MUTANTS if name.startswith("certain")])
def test_a_mistake_with_certain_drafts_is_caught(mutant, settings, p_value_of):
    assert p_value_of(mutant, settings, "certain")[0] < P_VALUE


def test_with_draft_and_target_the_same_the_acceptance_tells(p_value_of):
    """No rule can get the distribution wrong there, but a rule that accepts only half shows in the rate."""
    assert p_value_of(None, "plain", "same")[1] == 1.0
    assert p_value_of(None, "plain", "random")[1] < 0.7
