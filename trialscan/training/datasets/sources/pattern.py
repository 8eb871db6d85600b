"""Cases from files whose paths follow patterns."""

from collections.abc import Mapping

from trialscan.training.datasets.description import PatternSource
from trialscan.training.datasets.draft import DraftCase, DraftMask
from trialscan.training.datasets.sources.naming import Naming
from trialscan.training.datasets.sources.patterns import Pattern


def pattern_cases(place: PatternSource, names: Naming) -> None:
    """Add the cases of patterns; a fault for every image without mask, mask without image and missing channel."""
    first = Pattern(place.images[0])
    paths = names.listing.files.keys() | names.listing.folders
    known: set[str] = set()
    for path, fields in sorted(first.find(paths)):
        name = "_".join(fields.values())
        known.add(name)
        where = names.path(path)
        images = [names.take(Pattern(text).path(fields)) for text in place.images]
        masks = _masks(place, fields, names)
        if not masks and place.unannotated == "skip":
            names.draft.unannotated.append(names.case(name))
            continue
        for text, image in zip(place.images, images, strict=True):
            if image is None:
                names.draft.fault(where, f"no channel {Pattern(text).path(fields)} beside it")
        if 0 < len(masks) < len(place.masks):
            names.draft.fault(where, f"{len(masks)} of its {len(place.masks)} masks are there")
        patient, group = names.belonging(place, where, names.case(name), fields.get("patient"))
        found = tuple(image for image in images if image is not None)
        names.draft.cases.append(DraftCase(where, names.case(name), patient, group, found, masks, dict(place.tags)))
    if not known:
        names.draft.fault(place.images[0], f"no file of this pattern below {', '.join(place.roots)}")
    _lone_masks(place, names, known)


def _masks(place: PatternSource, fields: Mapping[str, str], names: Naming) -> tuple[DraftMask, ...]:
    masks = []
    for mask in place.masks:
        path = names.take(Pattern(mask.path).path(fields))
        if path is not None:
            masks.append(names.mask(path, mask))
    return tuple(masks)


def _lone_masks(place: PatternSource, names: Naming, known: set[str]) -> None:
    for mask in place.masks:
        for path, fields in sorted(Pattern(mask.path).find(names.listing.files)):
            if "_".join(fields.values()) not in known:
                expected = Pattern(place.images[0]).path(fields)
                names.draft.fault(names.path(path), f"mask without image; expected {expected}")
