"""Train a small-image classifier, know exactly what it sees, and show where and why it is wrong.

Data flows one way; a package imports only what stands to its left, and names joined by `|` do not import each other:

    errors | progress <- drawing | eval_mode <- runs <- data <- models | summary <- inference <- training <- evaluation
        <- explanation | inspection | export <- report <- cli

Importing `visionlib` loads none of them: each name is imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
