"""One scan from file to masks. While it is read, the model's libraries load, which takes as long."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from trialscan.errors import SegmentationError
from trialscan.imaging import Units, read_mask, read_volume
from trialscan.study import find_protocol, load_protocol, resolve_model

if TYPE_CHECKING:
    from trialscan.segmentation import Segmentation


def segment_file(
    scan: Path,
    protocol: str | Path,
    out: Path,
    *,
    organ_mask: Path | None = None,
    lesion_mask: Path | None = None,
    device: str = "auto",
    trust_bundle: bool = False,
) -> "Segmentation":
    """What `trialscan.segment` does."""
    loaded = load_protocol(protocol)
    settings = loaded.segmentation
    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(read_volume, scan, Units(settings.units))
        from trialscan.segmentation import load_model, segment_scan, write_segmentation  # noqa: PLC0415 - see above

        segmenter = None
        if organ_mask is None or lesion_mask is None:
            bundle = resolve_model(loaded, find_protocol(protocol))
            if bundle is None:
                raise SegmentationError(
                    str(protocol), "no model", "segmentation.model", "Name one, or give both masks."
                )
            segmenter = load_model(bundle, settings, device=device, trusted=trust_bundle)
        volume = reading.result()
    result = segment_scan(
        volume,
        settings=settings,
        segmenter=segmenter,
        organ_mask=read_mask(organ_mask, like=volume) if organ_mask else None,
        lesion_mask=read_mask(lesion_mask, like=volume) if lesion_mask else None,
    )
    write_segmentation(result, out)
    return result
