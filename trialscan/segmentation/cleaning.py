"""The one cleaning step: pieces of foreground far smaller than the largest are no organ."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor


def drop_small_pieces(probabilities: Tensor, min_share: float) -> Tensor:
    """Give small pieces of foreground back to the background.

    Parameters
    ----------
    probabilities : (classes, i, j, k); class 0 is background, all others together are foreground.
    min_share : pieces (face-connected) with fewer voxels than this share of the largest piece become background.
    """
    if min_share <= 0:
        return probabilities
    foreground = (probabilities.argmax(dim=0) > 0).cpu().numpy()
    pieces, count = ndimage.label(foreground)
    if count < 2:
        return probabilities
    size = np.bincount(pieces.ravel(), minlength=count + 1)
    size[0] = 0
    small = size < min_share * size.max()
    small[0] = False
    mask = torch.from_numpy(small[pieces]).to(probabilities.device)
    background = torch.zeros_like(probabilities)
    background[0] = 1.0
    return torch.where(mask, background, probabilities)
