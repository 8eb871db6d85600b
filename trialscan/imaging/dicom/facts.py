"""What a header tells of scanner and reconstruction; never of the patient."""

from collections.abc import Mapping, Sequence

import pydicom

from trialscan.errors import ImagingError
from trialscan.imaging.dicom.pixels import describe_conversion
from trialscan.imaging.dicom.slices import Slice, attributes_of
from trialscan.imaging.volume import Units

_FACTS = {
    "modality": "Modality",
    "manufacturer": "Manufacturer",
    "model": "ManufacturerModelName",
    "convolution_kernel": "ConvolutionKernel",
    "kvp": "KVP",
    "rescale_type": "RescaleType",
}


def facts_of(header: pydicom.Dataset, ordered: Sequence[Slice]) -> Mapping[str, str]:
    """Quality facts by name: scanner, kernel, thickness, padding (rescaled), conversions, instances found."""
    attributes = attributes_of(header, 0)
    found = {name: attributes.get(keyword) or header.get(keyword) for name, keyword in _FACTS.items()}
    facts = {name: str(value) for name, value in found.items() if value}
    if ordered[0].thickness is not None:
        facts["slice_thickness_mm"] = f"{ordered[0].thickness:g}"
    padding = header.get("PixelPaddingValue")
    if padding is not None:
        facts["padding_value"] = f"{float(padding) * ordered[0].slope + ordered[0].intercept:g}"
    conversion = describe_conversion(header)
    if conversion:
        facts["greyscale"] = conversion
    numbers = [plane.number for plane in ordered if plane.number is not None]
    if numbers:
        facts["instance_numbers"] = f"{min(numbers)}-{max(numbers)}"
    return facts


def check_units(where: str, header: pydicom.Dataset, units: Units) -> None:
    """Refuse to call numbers HU or SUV when the header says that they are not.

    Raises
    ------
    ImagingError
        HU of another modality than CT, or SUV of a PET whose values are not standardised uptake.
    """
    modality = str(header.get("Modality", "unknown"))
    if units is Units.HU and modality != "CT":
        raise ImagingError(where, f"modality {modality}", "CT, the only one with Hounsfield units")
    stored_unit = str(header.get("Units", "unknown"))
    if units is Units.SUV and (modality != "PT" or stored_unit != "GML"):
        raise ImagingError(
            where, f"modality {modality} in {stored_unit}", "PET in GML (g/ml)", "Convert it to SUV first."
        )
