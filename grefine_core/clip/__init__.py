"""CLIP: V-V attention over an open_clip model, its learned embeddings, and the quality model made of them."""
