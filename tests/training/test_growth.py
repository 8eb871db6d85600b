"""A network with one finer level begins as the function of the shallower one, and can leave it."""

import torch
from torch import Tensor, nn

from trialscan.segmentation.network import build_network
from trialscan.training.growth import add_finest_level

SHALLOW = {"channels": [6, 8, 10], "strides": [2, 2]}
FINER = {"channels": [5, 6, 8, 10], "strides": [1, 2, 2]}


def _unet(levels: dict[str, list[int]]) -> nn.Module:
    shape = {"spatial_dims": 3, "in_channels": 1, "out_channels": 3, "num_res_units": 2, "norm": "batch", "act": "relu"}
    return build_network({"_target_": "UNet", **shape, **levels}, "test")


def _trained_like(network: nn.Module) -> dict[str, Tensor]:
    """Weights with statistics of their own, as after training."""
    network.train()
    with torch.no_grad():
        for _ in range(4):
            network(torch.rand(2, 1, 16, 16, 16) * 2 - 1)
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval().state_dict()


def test_the_grown_network_computes_the_same() -> None:
    torch.manual_seed(5)
    shallow, finer = _unet(SHALLOW), _unet(FINER)
    finer.load_state_dict(add_finest_level(_trained_like(shallow), finer))
    finer.eval()
    image = torch.rand(2, 1, 16, 24, 32) * 2 - 1
    with torch.no_grad():
        before, after = shallow(image), finer(image)
    assert before.std() > 0.01
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_the_new_level_learns() -> None:
    torch.manual_seed(6)
    shallow, finer = _unet(SHALLOW), _unet(FINER)
    finer.load_state_dict(add_finest_level(_trained_like(shallow), finer))
    finer.eval()
    optimiser = torch.optim.SGD(finer.parameters(), lr=0.1)
    first = {name: value.detach().clone() for name, value in finer.named_parameters()}
    for _ in range(2):
        optimiser.zero_grad()
        finer(torch.rand(1, 1, 16, 16, 16)).square().mean().backward()
        optimiser.step()
    moved = {name for name, value in finer.named_parameters() if not torch.equal(value, first[name])}
    assert {"model.0.conv.unit0.conv.weight", "model.2.0.conv.weight", "model.1.submodule.0.residual.weight"} <= moved
