"""Features of frozen networks of other packages, whose weights come with the package."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .peer_features import _WindowFeatures

CONTEXT = 2048  # samples that Fracast-0 reads
_ROWS = 16  # at a time: the states of a row take half a megabyte
_NARROWEST = 1e-5  # range of a channel, as in the package's own forecasts


class FracastFeatures(_WindowFeatures):
    """Mean and sd over time of the states of Fracast-0, and mean and log sd of each channel.

    Channels are read one by one and scaled to between 0 and 1, as for a forecast. The states are
    those before the forecasting head, 64 for each of the 2048 samples.
    """

    _shortest = CONTEXT

    def fit(self, X: Any, y: Any = None) -> FracastFeatures:
        self._read(X, reset=True)
        return self

    def transform(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "n_features_in_")
        values = self._read(X, reset=False)
        rows = values.reshape(-1, values.shape[2])
        low = rows.min(1, keepdims=True)
        scaled = (rows - low) / np.maximum(rows.max(1, keepdims=True) - low, _NARROWEST)
        deviation = np.maximum(rows.std(1), _NARROWEST)
        features = np.column_stack([_summaries(scaled), rows.mean(1), np.log(deviation)])
        return features.reshape(len(values), -1)


def _summaries(rows: np.ndarray) -> np.ndarray:
    """Mean and sd over time of the states for rows (n_rows, CONTEXT)."""
    import torch
    from fracast import FracastModel

    from .._utils.devices import isolated_seed

    with isolated_seed(0, torch.device("cpu")):  # weights are drawn before they are loaded
        encoder = FracastModel.from_pretrained(weights="fp32").core
    found = []
    with torch.inference_mode():
        for batch in torch.from_numpy(rows[:, None]).split(_ROWS):
            states = encoder(
                batch, torch.ones_like(batch, dtype=torch.bool), torch.ones_like(batch)
            )
            found.append(torch.cat([states.mean(1), states.std(1)], dim=1))
    return torch.cat(found).numpy()
