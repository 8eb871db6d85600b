"""Everything that decides a training run, in one file that is kept beside the model."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML

from trialscan.errors import Fault, InputError

Probability = Annotated[float, Field(ge=0, le=1)]
Span = tuple[float, float]


class Section(BaseModel):
    """Frozen, and closed to fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Section):
    """Which phantoms are drawn: seeds from `first_seed` on, on the generator's own grid or at random spacing (mm)."""

    cases: Annotated[int, Field(ge=1)]
    first_seed: int
    default_grid_share: Probability = 0.5
    in_plane_mm: Span = (1.4, 2.5)
    slice_mm: Span = (1.5, 4.0)
    empty_share: Probability = 0.1


class VolumeAugmentation(Section):
    """Random changes of a CT patch; each span is drawn uniformly. HU refer to the scan, voxels to the model's grid."""

    zoom: Span = (0.85, 1.2)
    one_lung: Probability = 0.25
    field_cut: Probability = 0.2
    lesion_centred: Probability = 0.85
    placement: Span = (0.25, 0.75)
    offset_hu: float = 30.0
    gain: float = 0.05
    lung_offset_hu: float = 35.0
    emphysema: Probability = 0.35
    emphysema_hu: Span = (40.0, 180.0)
    flips: tuple[Probability, Probability, Probability] = (0.5, 0.1, 0.1)
    noise_hu: Span = (0.0, 45.0)
    correlated_noise: Probability = 0.35
    blur: Probability = 0.4
    blur_voxels: Span = (0.2, 1.0)
    thick_slices: Probability = 0.25
    thick_voxels: Span = (1.5, 3.5)
    coarse: Probability = 0.0
    coarse_voxels: Span = (1.1, 1.6)


class PlanarAugmentation(Section):
    """Random changes of a picture; each span is drawn uniformly."""

    rotation_deg: float = 12.0
    zoom: Span = (0.8, 1.25)
    shift: float = 0.12
    gamma: Span = (0.5, 2.0)
    curve: float = 0.35
    noise: Span = (0.0, 0.08)
    blur_pixels: Span = (0.0, 1.5)
    shading: float = 0.3
    local_contrast: Probability = 0.4
    labels: Probability = 0.4
    collimation: Probability = 0.3
    quarter_turns: bool = False


class DiseaseSettings(Section):
    """Pneumonia painted on CT slices: spans are drawn uniformly, extents, margins and grains log-uniformly."""

    share_of_slices: Probability = 0.85
    extent: Span = (0.005, 0.8)
    margin_pixels: Span = (0.3, 3.0)
    patchiness: tuple[float, float, float] = (2.0, 2.0, 1.0)
    coarse_pixels: Span = (25.0, 90.0)
    middle_pixels: Span = (8.0, 25.0)
    fine_pixels: Span = (2.0, 8.0)
    pleural: float = 2.0
    dorsal: float = 1.5
    sided: float = 1.0
    glass_above_lung_hu: Span = (120.0, 560.0)
    glass_texture_hu: Span = (5.0, 80.0)
    septa: Probability = 0.3
    septa_pixels: Span = (3.0, 9.0)
    septa_hu: Span = (40.0, 250.0)
    consolidated: Probability = 0.45
    core_share: Span = (0.05, 0.9)
    consolidation_hu: Span = (-180.0, 90.0)
    core_texture_hu: Span = (5.0, 70.0)


class SliceAugmentation(Section):
    """Random changes of an axial CT slice before it becomes a picture; spans are drawn uniformly."""

    cropped: Probability = 0.8
    margin: Span = (-0.04, 0.12)
    lung_offset_hu: float = 60.0
    emphysema: Probability = 0.2
    emphysema_hu: Span = (30.0, 120.0)
    noise_hu: Span = (0.0, 60.0)
    sharpening: Span = (0.0, 1.5)
    window_low_hu: Span = (-1500.0, -900.0)
    window_high_hu: Span = (-450.0, 400.0)
    disease: DiseaseSettings = DiseaseSettings()


class TrainingConfig(Section):
    """One training run.

    `network` is MONAI's `network_def`. `patch` is in voxels of the model's grid, planar models have k = 1.
    Inference slides a `window` (None takes the patch) with `overlap` and drops pieces of foreground below
    `min_component_share` of the largest and lesions (labels from 2 on) whose probability stays below
    `min_lesion_peak`. `spacing_mm` is None for planar models, which see `planar_size` pixels along the longer side of
    simulated radiographs or of windowed CT slices, their `grey_levels` equalised or stretched. At step
    `freeze_norm_at` the running average of the weights takes over, batch normalisation is given its statistics over
    many batches and keeps them from then on, as inference does; what follows learns with them (compare Wu & Johnson,
    "Rethinking Batch in BatchNorm", 2021). Without `settle_norm` it keeps those it has.
    """

    name: str
    kind: Literal["volume", "planar"]
    labels: dict[int, str]
    network: dict[str, Any]
    spacing_mm: tuple[float, float, float] | None = None
    planar_size: int | None = None
    planar_source: Literal["radiograph", "ct_slice"] = "radiograph"
    grey_levels: Literal["equalise", "stretch"] = "equalise"
    intensity_range: Span | None = None
    patch: tuple[int, int, int]
    window: tuple[int, ...] | None = None
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.25
    min_component_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    min_lesion_peak: Probability = 0.0
    batch: Annotated[int, Field(ge=1)] = 1
    steps: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    dice_weight: float = 1.0
    cross_entropy_weight: float = 1.0
    class_weights: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    ema_decay: Annotated[float, Field(gt=0, lt=1)] = 0.995
    freeze_norm_at: Annotated[int, Field(ge=0)] | None = None
    settle_norm: bool = True
    bfloat16: bool = True
    seed: int = 0
    checkpoint_every: Annotated[int, Field(ge=1)] = 100
    data: DataSettings
    volume: VolumeAugmentation = VolumeAugmentation()
    planar: PlanarAugmentation = PlanarAugmentation()
    slice: SliceAugmentation = SliceAugmentation()


def load_config(path: Path) -> TrainingConfig:
    """Read a training configuration (YAML); raises InputError with every fault."""
    content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    try:
        return TrainingConfig.model_validate(content)
    except ValidationError as error:
        faults = [Fault(f"{path.name}: {'.'.join(map(str, e['loc']))}", e["msg"]) for e in error.errors()]
        raise InputError(faults) from error
