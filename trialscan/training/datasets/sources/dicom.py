"""Cases from DICOM series with segmentation objects or contours drawn on them."""

from trialscan.training.datasets.description import DicomSource
from trialscan.training.datasets.draft import DraftCase, DraftMask, Drawing
from trialscan.training.datasets.sources.naming import Naming
from trialscan.training.datasets.sources.patterns import Pattern

DRAWN = "drawn"


def dicom_cases(place: DicomSource, names: Naming) -> None:
    """Add a case a series. The drawing is one of the snapshot's files; the mask made of it is `drawn/<case>.nii.gz`."""
    structures = {name: names.label_of[label] for name, label in place.structures.items()}
    found = sorted(Pattern(place.series).find(names.listing.files.keys() | names.listing.folders))
    if not found:
        names.draft.fault(place.series, f"no series of this pattern below {', '.join(place.roots)}")
    for path, fields in found:
        where = names.path(path)
        case = names.case("_".join(fields.values()))
        drawing = names.take(Pattern(place.drawings).path(fields))
        if drawing is None and place.unannotated == "skip":
            names.draft.unannotated.append(case)
            continue
        masks: tuple[DraftMask, ...] = ()
        if drawing is not None:
            values = {label: label for label in structures.values()}
            masks = (DraftMask(names.path(f"{DRAWN}/{case}.nii.gz"), values, drawing=Drawing(drawing, structures)),)
        names.take(path)
        patient, group = names.belonging(place, where, case, fields.get("patient"))
        names.draft.cases.append(DraftCase(where, case, patient, group, (where,), masks, dict(place.tags)))
