"""Labels by several people, and their opinion of the mistakes."""
