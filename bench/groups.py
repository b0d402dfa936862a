"""Plant weak groups in `shapes`, and count how often `find_groups` and two other searches find them, or invent some.

.venv/bin/python -m bench.groups [--sets 40] [--permutations 400] [--quick]

1. A network: ResNet-20, trained on `shapes` in which the red pentagons are labelled circle. It is asked about new
   draws of the test images, some with a planted change: blurred, darkened, or of low contrast. Its mistakes are its own.
2. Planted mistakes: real images and embeddings; mistakes are drawn at random, more of them in a group that is drawn
   by seed: a property alone, or within a class.
3. Nothing planted: mistakes drawn at random at a rate for each class; and the network's own mistakes, permuted within
   each class. Whatever is reported there is a false alarm.

The other searches see the same images, properties and embeddings, and have no second half to test on:

- exhaustive, like SliceLine (Sagadeeva and Boehm 2021, doi 10.1145/3448016.3457323): all conjunctions of up to two
  conditions by SliceLine's score, alpha 0.95, at least 1 % of the images; the first five with a score above 0.
- clusters, like Domino (Eyuboglu et al. 2022, arXiv:2203.14960): a Gaussian mixture of embedding, labels and mistakes,
  25 components; the five with the lowest accuracy if it is ten points below that of all, described as a cluster.
"""
