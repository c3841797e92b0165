"""What the matrix units of each make of graphics card can multiply, by architecture, and who says so."""

from dataclasses import dataclass

from helpers.arithmetic.catalog.units import LOOKED_UP


@dataclass(frozen=True)
class Architecture:
    """A generation of graphics cards. What it cannot multiply it can still store, if an engine has a kernel for that.

    Attributes:
        name: as its maker calls it.
        maker: NVIDIA, AMD or Apple.
        year: in which its first card came out.
        fp8: True when its matrix units multiply FP8 numbers.
        nvfp4: True when they multiply NVFP4 numbers.
        source: who says so.
        date: when that was read, YYYY-MM-DD.
    """

    name: str
    maker: str
    year: int
    fp8: bool
    nvfp4: bool
    source: str
    date: str = LOOKED_UP


_ENGINE = "NVIDIA, Transformer Engine's support matrix: FP8 from compute capability 8.9 on, NVFP4 from 10.0 on"
_ROCM = "vLLM, vllm/platforms/rocm.py: supports_fp8 for gfx94, gfx95 and gfx12; {} is {}"
_METAL = "Apple, Metal Shading Language 4.0: no FP8 type"

_ARCHITECTURES = (
    Architecture("Turing", "NVIDIA", 2018, fp8=False, nvfp4=False, source=_ENGINE),
    Architecture("Ampere", "NVIDIA", 2020, fp8=False, nvfp4=False, source=_ENGINE),
    Architecture("Ada", "NVIDIA", 2022, fp8=True, nvfp4=False, source=_ENGINE),
    Architecture("Hopper", "NVIDIA", 2022, fp8=True, nvfp4=False, source=_ENGINE),
    Architecture("Blackwell", "NVIDIA", 2024, fp8=True, nvfp4=True, source=_ENGINE),
    Architecture("RDNA3", "AMD", 2022, fp8=False, nvfp4=False, source=_ROCM.format("RDNA3", "gfx110")),
    Architecture("RDNA3.5", "AMD", 2024, fp8=False, nvfp4=False, source=_ROCM.format("RDNA3.5", "gfx115")),
    Architecture("RDNA4", "AMD", 2025, fp8=True, nvfp4=False, source=_ROCM.format("RDNA4", "gfx120")),
    Architecture("CDNA3", "AMD", 2023, fp8=True, nvfp4=False, source=_ROCM.format("CDNA3", "gfx942")),
    # CDNA4 multiplies MXFP4, which is not NVFP4.
    Architecture("CDNA4", "AMD", 2025, fp8=True, nvfp4=False, source=_ROCM.format("CDNA4", "gfx950")),
    Architecture("M3", "Apple", 2023, fp8=False, nvfp4=False, source=_METAL),
    Architecture("M4", "Apple", 2024, fp8=False, nvfp4=False, source=_METAL),
)

ARCHITECTURES: dict[str, Architecture] = {each.name: each for each in _ARCHITECTURES}
