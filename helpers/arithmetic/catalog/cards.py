"""Graphics cards, and machines whose GPU shares the memory of the system."""

from dataclasses import dataclass

from helpers.arithmetic.catalog.architectures import ARCHITECTURES
from helpers.arithmetic.catalog.look_up import find
from helpers.arithmetic.catalog.units import CHECKED, GB, LOOKED_UP, GiB, MiB


@dataclass(frozen=True)
class Card:
    """A graphics card, or a machine whose GPU shares the system's memory.

    Attributes:
        name: The plain name that the course uses.
        memory_gb: Memory as the vendor prints it, in "GB" (see `memory` for what that means).
        bandwidth_gb_s: Peak memory bandwidth as the vendor prints it, in GB/s.
        unified: True when the operating system and all programs live in the same memory.
        source: Where the figures come from.
        date: When they were checked, YYYY-MM-DD.
        architecture: Which generation it is of, a name in `ARCHITECTURES`: by it, what its matrix units multiply.
        shown_mib: Memory in MiB as the driver shows it, in logs of November 2026 and before; None where none was found.
        shown_by: What shows it, and where that was read.
        default_mib: MiB that the GPU of a unified machine may use until it is told more; None where it may use all.
        told: How it is told more, in a sentence; empty where there is nothing to tell.
    """

    name: str
    memory_gb: int
    bandwidth_gb_s: float
    unified: bool
    source: str
    date: str
    architecture: str
    shown_mib: int | None = None
    shown_by: str = ""
    default_mib: int | None = None
    told: str = ""

    @property
    def memory(self) -> int:
        """Memory in bytes, the vendor's "GB" read as GiB: the figure of the hand sums, and an upper bound.

        Memory chips hold a power of two of bits (or three times one), so "24 GB" on a card is 24 x 2**30 bytes. The
        driver agrees: nvidia-smi shows 24,576 MiB on an RTX 3090 and 24,564 on a 4090, where 24 x 10**9 bytes would be
        only 22,888 MiB. It keeps a little, and error correction can take a sixteenth (23,034 MiB left on an L4):
        `driver_memory`. Lesson 01 uses the decimal reading as a counter-check.
        """
        return self.memory_gb * GiB

    @property
    def fp8(self) -> bool:
        """True when the matrix units multiply FP8 numbers. To store them takes no such unit, only a kernel."""
        return ARCHITECTURES[self.architecture].fp8

    @property
    def nvfp4(self) -> bool:
        """True when the matrix units multiply NVFP4 numbers. To store them takes no such unit, only a kernel."""
        return ARCHITECTURES[self.architecture].nvfp4

    @property
    def driver_memory(self) -> int:
        """Bytes that the driver shows, which is what an engine can ask for; `memory` where nothing was found."""
        return self.memory if self.shown_mib is None else self.shown_mib * MiB

    @property
    def default_memory(self) -> int:
        """Bytes that the GPU may use until it is told more: less than `driver_memory` on some unified machines."""
        return self.driver_memory if self.default_mib is None else self.default_mib * MiB

    @property
    def bandwidth(self) -> float:
        """Peak bandwidth in bytes per second. Here GB is decimal: bus width in bytes times transfers per second."""
        return self.bandwidth_gb_s * GB


_SMI = "nvidia-smi in several public logs"
# What Metal recommends as a working set is all that it gives. Macs of llama.cpp's public logs, in MiB by GB of memory:
# until macOS 15 two thirds up to 36 (16: 10,923; 32: 21,845) and three quarters beyond (64: 49,152; 128: 98,304). macOS
# 26 gives more (18: 13,640; 32: 25,559; 36: 28,754; 64: 53,085; 128: 110,100). `sysctl iogpu.wired_limit_mb` shows 0
# until it is set, and is 0 again after a restart.
_MACOS = (
    "that is what macOS 26 gives (macOS 15: {}), until `sudo sysctl iogpu.wired_limit_mb=MIB` says otherwise, and "
    "again after each restart"
)
_LINUX = (
    "that is what Linux lets it map, half of the memory, until `ttm.pages_limit=PAGES` (of 4 KiB) on the kernel's "
    "command line says otherwise; what the BIOS sets aside for the GPU is lost to the system"
)

# The vendors' figures, read in secondary tables that agree; where a bus is given, its width times its rate gives the
# bandwidth.
# fmt: off
_CARDS = (
    # name, "GB", GB/s, unified, source, date
    Card("RTX 3090", 24, 936, False, "NVIDIA specification: 384 bit x 19.5 Gbit/s", CHECKED, architecture="Ampere",
         shown_mib=24_576, shown_by=_SMI),
    Card("RTX 4090", 24, 1008, False, "NVIDIA specification: 384 bit x 21 Gbit/s", CHECKED, architecture="Ada",
         shown_mib=24_564, shown_by=_SMI),
    Card("RTX 5090", 32, 1792, False, "NVIDIA specification: 512 bit x 28 Gbit/s", CHECKED, architecture="Blackwell",
         shown_mib=32_607, shown_by="nvidia-smi, noonghunna/club-3090 issue 1229"),
    Card("L4", 24, 300, False, "NVIDIA L4 datasheet: 192 bit x 12.5 Gbit/s", CHECKED, architecture="Ada",
         shown_mib=23_034, shown_by=_SMI),
    Card("A100 80GB", 80, 2039, False, "NVIDIA A100 datasheet, SXM (PCIe: 1,935)", CHECKED, architecture="Ampere",
         shown_mib=81_920, shown_by=_SMI),
    Card("H100 SXM 80GB", 80, 3350, False, "NVIDIA H100 datasheet, SXM", CHECKED, architecture="Hopper",
         shown_mib=81_559, shown_by=_SMI),
    # 6 stacks of 24 GB, of which 141 are sold; 8 of 24 in the B200, of which 180. Drivers report for the B200 a bus of
    # 7,680 bit at 2 x 3,996 MHz, hence 7,672 GB/s (pytorch/ao pull request 4002).
    Card("H200", 141, 4800, False, "NVIDIA H200 datasheet", CHECKED, architecture="Hopper",
         shown_mib=143_771, shown_by=_SMI),
    Card("B200", 180, 8000, False, "NVIDIA DGX B200 datasheet, an eighth of it", CHECKED, architecture="Blackwell",
         shown_mib=183_359, shown_by=_SMI),
    Card("RX 7900 XTX", 24, 960, False, "AMD specification: 384 bit x 20 Gbit/s", CHECKED, architecture="RDNA3",
         shown_mib=24_560, shown_by="amdgpu through LACT, ilya-zlobintsev/LACT pull request 533"),
    Card("M4 Max 128GB", 128, 546, True, "Apple, M4 Max with 40 GPU cores", CHECKED, architecture="M4",
         default_mib=110_100, told=_MACOS.format("96.0 GiB")),
    Card("Strix Halo 128GB", 128, 256, True, "AMD, LPDDR5X: 256 bit x 8 Gbit/s", CHECKED, architecture="RDNA3.5",
         default_mib=63_692, told=_LINUX),  # 62.2 GiB: ROCm issue 5595
    Card("RTX 5060 Ti 16GB", 16, 448, False, "NVIDIA specification: 128 bit x 28 Gbit/s", LOOKED_UP,
         architecture="Blackwell", shown_mib=16_311, shown_by=_SMI),
    Card("RTX 5070 Ti", 16, 896, False, "NVIDIA specification: 256 bit x 28 Gbit/s", LOOKED_UP,
         architecture="Blackwell", shown_mib=16_303, shown_by=_SMI),
    Card("RTX 5080", 16, 960, False, "NVIDIA specification: 256 bit x 30 Gbit/s", LOOKED_UP, architecture="Blackwell",
         shown_mib=16_303, shown_by=_SMI),
    Card("RTX PRO 6000", 96, 1792, False, "NVIDIA RTX PRO 6000 Blackwell: 512 bit x 28 Gbit/s", LOOKED_UP,
         architecture="Blackwell", shown_mib=97_887, shown_by=_SMI),
    # Error correction takes a sixteenth of the memory of the next three.
    Card("T4", 16, 320, False, "NVIDIA T4 datasheet: 256 bit x 10 Gbit/s", LOOKED_UP, architecture="Turing",
         shown_mib=15_360, shown_by=_SMI),
    Card("A10G", 24, 600, False, "NVIDIA A10 datasheet, of which Amazon's A10G is a variant: 384 bit x 12.5 Gbit/s",
         LOOKED_UP, architecture="Ampere", shown_mib=23_028, shown_by=_SMI),
    Card("L40S", 48, 864, False, "NVIDIA L40S datasheet: 384 bit x 18 Gbit/s", LOOKED_UP, architecture="Ada",
         shown_mib=46_068, shown_by=_SMI),
    Card("B300", 288, 8000, False, "NVIDIA HGX B300, 8 stacks of 36 GB", LOOKED_UP, architecture="Blackwell",
         shown_mib=275_040, shown_by=_SMI),
    Card("MI300X", 192, 5300, False, "AMD Instinct MI300X data sheet", LOOKED_UP, architecture="CDNA3",
         shown_mib=196_592, shown_by="rocm-smi, 206,141,652,992 bytes, ROCm issue 4750"),
    Card("RX 9070 XT", 16, 640, False, "AMD specification: 256 bit x 20 Gbit/s", LOOKED_UP, architecture="RDNA4"),
    Card("MI355X", 288, 8000, False, "AMD Instinct MI355X data sheet", LOOKED_UP, architecture="CDNA4",
         shown_mib=294_896, shown_by="rocm-smi, 309,220,868,096 bytes, in several public logs"),
    Card("DGX Spark", 128, 273, True, "NVIDIA GB10, LPDDR5X: 256 bit x 8.533 Gbit/s", LOOKED_UP,
         architecture="Blackwell", shown_mib=124_610,
         shown_by="the kernel (nvidia-smi shows none), XuehaiPan/nvitop pull request 208"),
    Card("M3 Max 64GB", 64, 400, True, "Apple, M3 Max with 40 GPU cores", LOOKED_UP, architecture="M3",
         default_mib=53_084, told=_MACOS.format("48.0 GiB")),
    Card("M4 32GB", 32, 120, True, "Apple, M4", LOOKED_UP, architecture="M4",
         default_mib=25_559, told=_MACOS.format("21.3 GiB")),
    Card("RTX 3060 12GB", 12, 360, False, "NVIDIA specification: 192 bit x 15 Gbit/s", "2026-11-28",
         architecture="Ampere", shown_mib=12_288, shown_by=_SMI),
    Card("RTX 4060", 8, 272, False, "NVIDIA specification: 128 bit x 17 Gbit/s", "2026-11-28", architecture="Ada",
         shown_mib=8_188, shown_by=_SMI),
)
# fmt: on

CARDS: dict[str, Card] = {card.name: card for card in _CARDS}


def find_card(name: str) -> Card:
    """Return the card called `name`, in any letter case.

    Raises:
        ValueError: No card has that name; the message names the closest one and lists all.
    """
    return find("card", name, CARDS)
