"""From a fit to a model in use: judged beside the model that it would replace, packed with its lineage, recorded."""

from trialscan.training.promotion.judging import Reading, judge
from trialscan.training.promotion.promote import Promotion, PromotionRequest, promote

__all__ = ["Promotion", "PromotionRequest", "Reading", "judge", "promote"]
