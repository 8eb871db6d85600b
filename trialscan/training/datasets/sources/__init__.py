"""Kinds of sources, and the draft of a data set that they give together."""

from pathlib import Path

from trialscan.errors import InputError
from trialscan.training.datasets.description import Description, DicomSource, PatternSource, Source, TableSource
from trialscan.training.datasets.draft import Draft
from trialscan.training.datasets.sources.dicom import dicom_cases
from trialscan.training.datasets.sources.listing import list_files
from trialscan.training.datasets.sources.naming import Naming
from trialscan.training.datasets.sources.nnunet import nnunet_cases
from trialscan.training.datasets.sources.pattern import pattern_cases
from trialscan.training.datasets.sources.table import table_cases

__all__ = ["gather"]


def gather(description: Description, base: Path) -> Draft:
    """The cases of all sources; roots are relative to `base`. Faults stand in the draft; no image is opened."""
    draft = Draft()
    for source in description.sources:
        try:
            _gather_one(description, source, base, draft)
        except InputError as error:
            draft.faults += error.faults
    return draft


def _gather_one(description: Description, source: Source, base: Path, draft: Draft) -> None:
    place = source.place
    prefix = place.name if len(description.sources) > 1 else None
    names = Naming(prefix, list_files(place.roots, base), description.label_of, draft)
    if isinstance(place, TableSource):
        table_cases(place, names)
    elif isinstance(place, PatternSource):
        pattern_cases(place, names)
    elif isinstance(place, DicomSource):
        dicom_cases(place, names)
    else:
        nnunet_cases(place, names)
