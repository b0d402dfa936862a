"""Acceleration of training on CPUs: `accelerate` gives a network that computes the same, faster; nothing else is used.

- Kernels of this library, in C++, compiled by the system's compiler on first use (`compile`): batch normalization
  with shortcut and ReLU as one operation (`batch_norm`, found in a network by `fusion`), and the gradient of 3 x 3
  filters on AMX (`filter_gradient`). PyTorch reads and writes an activation several times for each, and slowly in bf16.
- Convolution algorithms chosen by shape (`convolution`): im2col products (`im2col`), and one product for maps of at
  most 2 x 2 pixels (`small_maps`).

What each part gains: docs/experiments.md. Without this package training is slower and otherwise the same.
"""

from visionlib.training.cpu.accelerate import accelerate as accelerate
from visionlib.training.cpu.accelerate import choose_kernels as choose_kernels
