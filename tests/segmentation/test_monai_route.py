"""The shipped CT bundle through MONAI's own configuration, without this package's engine."""

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from trialscan.imaging import read_volume, write_volume
from trialscan.phantom import simulate_thorax
from trialscan.segmentation import load_bundle

MODELS = Path(__file__).resolve().parents[2] / "protocols" / "models"


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
def test_monais_own_runner_finds_the_same_labels(tmp_path):
    bundle = MODELS / "thorax_ct"
    phantom = simulate_thorax(990_003)
    write_volume(tmp_path / "scan.nii.gz", phantom.image)
    parser = ConfigParser()
    parser.read_config(bundle / "configs/inference.json")
    parser.update({"bundle_root": str(bundle), "dataset_dir": str(tmp_path), "device": "cpu"})
    parser.get_parsed_content("weights")
    network = parser.get_parsed_content("network_def").eval()
    item = parser.get_parsed_content("preprocessing")({"image": str(tmp_path / "scan.nii.gz")})
    with torch.inference_mode():
        item["pred"] = parser.get_parsed_content("inferer")(item["image"][None], network)[0]
    steps = parser.get_parsed_content("postprocessing").transforms[:-1]
    for step in steps:
        item = step(item)
    theirs = np.asarray(item["pred"][0]).astype(np.uint8)
    ours = load_bundle(bundle, "cpu")(read_volume(tmp_path / "scan.nii.gz")).labels.array
    for label in (1, 2):
        found, wanted = ours >= label, theirs >= label
        assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.95
