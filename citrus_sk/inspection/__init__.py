"""Inspection of fitted models: attributions over time, channel and band, and features.

Imports `estimators` and the rooms below it.
"""

from .attribution import Attribution, attribution
from .attribution_display import AttributionDisplay
from .band_occlusion import BandOcclusion, band_occlusion
from .band_occlusion_display import BandOcclusionDisplay
from .embedding_display import EmbeddingDisplay

__all__ = [
    "Attribution",
    "AttributionDisplay",
    "BandOcclusion",
    "BandOcclusionDisplay",
    "EmbeddingDisplay",
    "attribution",
    "band_occlusion",
]
