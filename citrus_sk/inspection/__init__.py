"""Inspection of fitted models: attributions over time, channel and band, and features."""

from ._attribution import Attribution, attribution
from ._attribution_display import AttributionDisplay
from ._band_occlusion import BandOcclusion, band_occlusion
from ._band_occlusion_display import BandOcclusionDisplay
from ._embedding_display import EmbeddingDisplay

__all__ = [
    "Attribution",
    "AttributionDisplay",
    "BandOcclusion",
    "BandOcclusionDisplay",
    "EmbeddingDisplay",
    "attribution",
    "band_occlusion",
]
