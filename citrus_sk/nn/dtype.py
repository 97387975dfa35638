"""Type of all weights, buffers and draws."""

import torch

# Torch's default is not used: other code can change it.
DTYPE = torch.float32
