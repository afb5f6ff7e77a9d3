"""Energy counters, on directories made like the kernel's."""

import os
from pathlib import Path

import pytest

from optimum_dynexec.benchmark.energy import EnergyMeter


def zone(root: Path, name: str, kind: str, value: int, maximum: int = 1_000_000) -> Path:
    path = root / name
    path.mkdir()
    (path / "name").write_text(f"{kind}\n")
    (path / "max_energy_range_uj").write_text(f"{maximum}\n")
    (path / "energy_uj").write_text(f"{value}\n")
    return path


def test_packages_are_added_and_wrap_around(tmp_path):
    first = zone(tmp_path, "intel-rapl:0", "package-0", 100)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 999_000)
    # Counted in their packages already, or of the whole machine.
    zone(tmp_path, "intel-rapl:0:0", "core", 7)
    zone(tmp_path, "intel-rapl:2", "psys", 7)
    meter = EnergyMeter(tmp_path)
    assert meter.reason is None
    before = meter.read()
    (first / "energy_uj").write_text("600100\n")
    (second / "energy_uj").write_text("4000\n")  # begun anew at its maximum
    assert meter.joules_since(before) == pytest.approx(0.6 + 0.005)


def test_says_why_there_is_nothing(tmp_path):
    meter = EnergyMeter(tmp_path / "nowhere")
    assert "has no RAPL counters" in meter.reason
    assert meter.read() is None
    assert meter.joules_since(None) is None
    zone(tmp_path, "intel-rapl:0", "package-0", 100).joinpath("energy_uj").write_text("much\n")
    assert "cannot be read" in EnergyMeter(tmp_path).reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all")
def test_says_that_root_is_needed(tmp_path):
    (zone(tmp_path, "intel-rapl:0", "package-0", 100) / "energy_uj").chmod(0)
    assert "only be read by root" in EnergyMeter(tmp_path).reason
