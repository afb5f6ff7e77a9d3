"""Energy of the processor, by Intel's RAPL counters as Linux shows them (powercap)."""

from dataclasses import dataclass
from pathlib import Path


POWERCAP = Path("/sys/class/powercap")
MICRO = 1e-6


@dataclass(frozen=True)
class _Zone:
    """A package of the machine: its counter, and the value after which that begins at 0 again, in microjoules."""

    counter: Path
    maximum: int


class EnergyMeter:
    """
    Counts what all packages of the machine take together, whoever has them work: a quiet machine is needed.

    Args:
        root (`Path`, *optional*): where the kernel shows power capping zones.

    After construction `reason` is `None`, or says why nothing can be counted; [`read`] and [`joules_since`] then give
    `None`.
    """

    def __init__(self, root: Path = POWERCAP):
        self.reason: str | None = None
        self._zones: list[_Zone] = []
        # Zones with one number are packages; those within them (cores, memory) are counted there already.
        packages = sorted(root.glob("intel-rapl:[0-9]*"))
        packages = [zone for zone in packages if zone.name.count(":") == 1 and _name(zone).startswith("package")]
        if not packages:
            self.reason = f"this machine shows no RAPL counters in {root} (virtual machines seldom do)"
            return
        try:
            for zone in packages:
                found = _Zone(zone / "energy_uj", int((zone / "max_energy_range_uj").read_text()))
                int(found.counter.read_text())
                self._zones.append(found)
        except PermissionError:
            self._zones = []
            self.reason = f"the RAPL counters in {root} may be read by root only: run as root, or `chmod a+r` them"
        except (OSError, ValueError) as error:
            self._zones = []
            self.reason = f"the RAPL counters in {root} cannot be read: {error}"

    def read(self) -> list[int] | None:
        """The counters of the packages, in microjoules."""
        return [int(zone.counter.read_text()) for zone in self._zones] if self._zones else None

    def joules_since(self, before: list[int] | None) -> float | None:
        """
        What was taken since. A counter may have begun anew once; at hundreds of watts that takes minutes.

        Args:
            before (`list[int]`, *optional*): from [`read`].
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
