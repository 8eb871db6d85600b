"""Sliding windows beside MONAI's."""

import pytest
import torch
from monai.inferers import SlidingWindowInferer

from trialscan.segmentation.windows import slide


@pytest.mark.parametrize(
    ("shape", "window", "overlap"),
    [((20, 33, 17), (16, 16, 16), 0.25), ((9, 30, 12), (16, 16, 16), 0.5), ((7, 5, 9), (16, 8, 16), 0.25),
     ((40, 21), (16, 16), 0.0)],
)  # fmt: skip
def test_answers_are_monais(shape, window, overlap):
    torch.manual_seed(2)
    conv = torch.nn.Conv3d if len(shape) == 3 else torch.nn.Conv2d
    network = conv(1, 3, 5, padding=2)
    image = torch.randn(1, 1, *shape)
    inferer = SlidingWindowInferer(
        window, sw_batch_size=1, overlap=overlap, mode="gaussian", padding_mode="constant", cval=-1.0
    )
    with torch.inference_mode():
        expected = inferer(image, network)
        found = slide(image, network, window, overlap, torch.device("cpu"))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
