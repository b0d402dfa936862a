"""This library's own kernels for processors: in C++, compiled by the system's compiler when first used.

Torch's normalisations and rectifiers read and write an activation many times, and slowly in bf16. Here a normalisation,
the sum with a shortcut and the rectifier are one operation: a third less time for a step on two cores
(docs/experiments.md). `library` compiles and loads, `batch_norm` is the operation with its gradient, `fusion` finds
where a network has it.
"""
