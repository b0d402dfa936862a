"""Train a small-image classifier, know exactly what it sees, and show where and why it is wrong.

Data flows one way; each station may import what stands to its left, never the other way:

    errors <- runs <- data <- models | summary <- training <- evaluation
           <- explanation | inspection <- report <- cli

Importing `visionlib` loads none of them: a name brings its station in when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
