"""This library's own kernels for processors: in C++, compiled by the system's compiler when first used.

Torch's normalisations and rectifiers read and write an activation many times, and slowly in bf16. Here a normalisation,
the sum with a shortcut and the rectifier are one operation, and matrix units work out the gradient of filters: a
quarter less time for a step (docs/experiments.md).

`library` compiles and loads, `batch_norm` and `filter_gradient` are the operations, `fusion` finds where a network has
the first.
"""
