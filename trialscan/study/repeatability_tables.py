"""The measurement error that a modality has where a protocol says nothing: figures, and where each comes from.

docs/lesions.md tells how every table was made and what it rests on.
"""

from collections.abc import Iterator, Mapping

from trialscan.study.repeatability import RepeatabilityBand

# By simulation, for want of published values by lesion size for disease in the lung outlined by this network: phantoms
# of trialscan.phantom scanned again in another pose, and on another scanner (tests/benchmarks/scan_rescan.py,
# tests/benchmarks/repeatability_table.py).
# Each row: from ml, slices up to mm, SD within a scanner, SD across scanners; of the natural log of the volume.
_CT_SOURCE = "simulated repeated chest CT outlined by thorax_ct 1.2.0 and 1.3.0, 891 lesions; no patients"
_CT = (
    (0.0, 2.0, 0.591, 0.608),
    (0.3, 2.0, 0.262, 0.31),
    (1.0, 2.0, 0.114, 0.156),
    (3.0, 2.0, 0.051, 0.08),
    (10.0, 2.0, 0.022, 0.04),
    (0.0, 4.0, 0.661, 0.69),
    (0.3, 4.0, 0.293, 0.352),
    (1.0, 4.0, 0.127, 0.177),
    (3.0, 4.0, 0.056, 0.09),
    (10.0, 4.0, 0.025, 0.045),
    (0.0, None, 0.718, 0.757),
    (0.3, None, 0.319, 0.386),
    (1.0, None, 0.138, 0.194),
    (3.0, None, 0.061, 0.099),
    (10.0, None, 0.027, 0.05),
)

# tests/benchmarks/repeated_balls.py: a simulated scanner, and beside it what readers add, in quadrature.
_MR_SOURCE = (
    "simulated balls; reader's 4 % from Filippi 1999 (AJNR 20:133), the outline's 0.1 mm assumed; across scanners "
    "18.5 % from Filippi 1999, 0.2 mm from one lesion in Shinohara 2017 (AJNR 38:1501)"
)
_MR = (
    (0.0, 2.0, 0.291, 0.434),
    (0.03, 2.0, 0.153, 0.265),
    (0.1, 2.0, 0.102, 0.189),
    (0.3, 2.0, 0.073, 0.186),
    (1.0, 2.0, 0.057, 0.185),
    (3.0, 2.0, 0.049, 0.185),
    (0.0, 4.0, 0.376, 0.495),
    (0.03, 4.0, 0.222, 0.311),
    (0.1, 4.0, 0.124, 0.201),
    (0.3, 4.0, 0.079, 0.188),
    (1.0, 4.0, 0.059, 0.186),
    (3.0, 4.0, 0.049, 0.185),
    (0.0, None, 0.419, 0.528),
    (0.03, None, 0.269, 0.345),
    (0.1, None, 0.179, 0.239),
    (0.3, None, 0.118, 0.208),
    (1.0, None, 0.066, 0.188),
    (3.0, None, 0.051, 0.186),
)

_PET_SOURCE = (
    "large lesions: best limits of 17 FDG lesions scanned twice, -21 to +31 % (Hatt 2010, J Nucl Med); the rise "
    "towards small ones from simulated balls; across scanners 1.5 times, assumed"
)
_PET = ((0.0, None, 0.225, None), (1.0, None, 0.155, None), (3.0, None, 0.108, None), (10.0, None, 0.095, None))

# 95 % limits of the estimated volume of 122 thyroid nodules over 5 mm: one reader ±30.2 and ±27.7 %, two readers
# ±44.1 %. A nodule of 5 mm has 0.065 ml.
_US_SOURCE = (
    "122 thyroid nodules over 5 mm measured twice, other scanners as other readers (Lee 2018, J Ultrasound Med)"
)
_US_SMALL = "assumed: twice the error of nodules over 5 mm (Lee 2018, J Ultrasound Med)"
# Area of a frame: anteroposterior and transverse limits of the same study in quadrature, ±25.0 and ±22.4 %, ±27.8 %.
_US_FRAME = "two diameters of 122 thyroid nodules (Lee 2018, J Ultrasound Med) taken as independent; any size, assumed"


# tests/benchmarks/radiograph_rescan.py: 73 opacities of 51 simulated patients; one scanner and two not told apart.
_XR_SOURCE = "simulated repeated chest radiographs outlined by chest_xray, 73 opacities; no patients"


def _volumes(
    rows: tuple[tuple[float, float | None, float, float | None], ...], source: str
) -> Iterator[RepeatabilityBand]:
    for size, limit, sd, across in rows:
        yield RepeatabilityBand(from_ml=size, max_slice_mm=limit, sd_log=sd, sd_log_across=across, source=source)


SHIPPED: Mapping[str, tuple[RepeatabilityBand, ...]] = {
    "CT": tuple(_volumes(_CT, _CT_SOURCE)),
    "MR": tuple(_volumes(_MR, _MR_SOURCE)),
    "PET": tuple(_volumes(_PET, _PET_SOURCE)),
    "US": (
        *_volumes(((0.0, None, 0.21, 0.324),), _US_SMALL),
        *_volumes(((0.065, None, 0.105, 0.162),), _US_SOURCE),
        RepeatabilityBand(from_percent=0.0, sd_log=0.086, sd_log_across=0.101, source=_US_FRAME),
    ),
    "XR": tuple(
        RepeatabilityBand(from_percent=size, sd_log=sd, sd_log_across=sd, source=_XR_SOURCE)
        for size, sd in ((0.0, 0.795), (3.0, 0.28))
    ),
}
# Share of the variance that all lesions of a scan have in common: for CT from the simulation. On MR readers and
# scanners move the whole load (Filippi 1999); half is an assumption, and so is 0.08 of PET and ultrasound. The
# simulated radiographs had none.
SHIPPED_COMMON: Mapping[str, float] = {"CT": 0.12, "MR": 0.5, "PET": 0.08, "US": 0.08, "XR": 0.0}
