"""The making of the miniature world: scenes, captions, defects, evaluators, and the training of its models."""
