"""The project's own form of MONAI's UNet: the same names, the same answers."""

import pytest
import torch

from trialscan.segmentation.network import build_for_inference, build_network
from trialscan.segmentation.unet import UNet, lean, read_unet

BASE = {"_target_": "UNet", "in_channels": 1, "out_channels": 3}
DEFINITIONS = [
    BASE | {"spatial_dims": 3, "channels": [4, 6, 8], "strides": [1, 2], "num_res_units": 2, "norm": "batch"},
    BASE | {"spatial_dims": 3, "channels": [4, 6, 8], "strides": [2, 2], "num_res_units": 1, "act": "relu"},
    BASE | {"spatial_dims": 2, "channels": [4, 8, 8, 8], "strides": [2, 1, 2], "num_res_units": 2},
    BASE | {"spatial_dims": 2, "channels": [4, 8], "strides": [2], "norm": "batch", "act": "relu"},
    BASE | {"spatial_dims": 3, "channels": [4, 4, 4, 4], "strides": [2, 2, 2], "num_res_units": 3, "norm": "instance"},
]


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_it_takes_monais_weights_and_gives_monais_answer(definition):
    torch.manual_seed(4)
    theirs = build_network(definition, "test")
    image = torch.randn(2, 1, *[16] * definition["spatial_dims"])
    for _ in range(3):
        theirs(image + torch.rand(()))  # batch normalisation gets statistics of its own
    theirs.eval()
    ours = build_for_inference(definition, "test")
    assert isinstance(ours, UNet)
    ours.load_state_dict(theirs.state_dict())
    ours.eval()
    with torch.inference_mode():
        expected = theirs(image)
        torch.testing.assert_close(ours(image), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(lean(ours)(image), expected, rtol=1e-4, atol=1e-4)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_folding_leaves_the_network_itself_alone():
    network = build_for_inference(DEFINITIONS[0], "test").eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded = lean(network)
    assert not any(isinstance(module, torch.nn.BatchNorm3d) for module in folded.modules())
    assert folded.channels_last
    assert not lean(build_for_inference(DEFINITIONS[1], "test").eval()).channels_last
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name])


@pytest.mark.parametrize(
    "change",
    [{"dropout": 0.2}, {"norm": "group"}, {"strides": [2, 2, 2]}, {"kernel_size": 5}, {"_target_": "BasicUNet"}],
)
def test_what_it_does_not_know_is_left_to_monai(change):
    assert read_unet(DEFINITIONS[1] | change) is None
    plain = torch.nn.Conv3d(1, 1, 3)
    assert lean(plain) is plain


def test_the_answer_does_not_depend_on_the_number_of_threads():
    torch.manual_seed(1)
    wide = DEFINITIONS[0] | {"channels": [16, 32, 48]}
    network = lean(build_for_inference(wide, "test").eval())
    image = torch.randn(1, 1, 40, 36, 44)
    before = torch.get_num_threads()
    try:
        answers = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                answers.append(network(image))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*answers)
