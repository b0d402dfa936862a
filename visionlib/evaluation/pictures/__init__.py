"""Pictures of an evaluation, of mistakes and of a comparison."""
