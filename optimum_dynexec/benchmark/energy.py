"""Energy of the processor, measured with Intel's RAPL counters through Linux's powercap."""

from dataclasses import dataclass
from pathlib import Path


POWERCAP = Path("/sys/class/powercap")
MICRO = 1e-6


@dataclass(frozen=True)
class _Zone:
    """A package of the machine: its counter, and the value after which it wraps to 0, in microjoules."""

    counter: Path
    maximum: int


class EnergyMeter:
    """
    Measures the energy of all packages of the machine together. It includes the work of other processes, so the
    machine must be quiet.

    Args:
        root (`Path`, *optional*, defaults to `/sys/class/powercap`): directory of the kernel's power capping zones.

    After construction, `reason` is `None`, or says why the energy cannot be measured; [`read`] and [`joules_since`]
    then give `None`.
    """

    def __init__(self, root: Path = POWERCAP):
        self.reason: str | None = None
        self._zones: list[_Zone] = []
        # Zones with one number are packages. They include the zones within them (cores, memory).
        packages = sorted(root.glob("intel-rapl:[0-9]*"))
        packages = [zone for zone in packages if zone.name.count(":") == 1 and _name(zone).startswith("package")]
        if not packages:
            self.reason = f"this machine has no RAPL counters in {root} (virtual machines seldom have them)"
            return
        try:
            for zone in packages:
                found = _Zone(zone / "energy_uj", int((zone / "max_energy_range_uj").read_text()))
                int(found.counter.read_text())
                self._zones.append(found)
        except PermissionError:
            self._zones = []
            self.reason = (
                f"the RAPL counters in {root} can only be read by root: run as root, or make them readable with"
                " `chmod a+r`"
            )
        except (OSError, ValueError) as error:
            self._zones = []
            self.reason = f"the RAPL counters in {root} cannot be read: {error}"

    def read(self) -> list[int] | None:
        """The counters of the packages, in microjoules."""
        return [int(zone.counter.read_text()) for zone in self._zones] if self._zones else None

    def joules_since(self, before: list[int] | None) -> float | None:
        """
        Computes the energy since an earlier [`read`]. A counter may have wrapped once; at hundreds of watts it takes
        minutes to wrap.

        Args:
            before (`list[int]`, *optional*): counters from [`read`].
        """
        after = self.read()
        if before is None or after is None:
            return None
        taken = 0
        for zone, start, end in zip(self._zones, before, after, strict=True):
            taken += end - start if end >= start else end - start + zone.maximum
        return taken * MICRO


def _name(zone: Path) -> str:
    try:
        return (zone / "name").read_text().strip()
    except OSError:
        return ""
