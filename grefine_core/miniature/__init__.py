"""The miniature world: simple pictures with prompts and known defects, and small models trained on them.

Everything is drawn from seeds: a split and a number always give the same picture, prompt, scene graph and defects. The
models are real in everything but size: open_clip's CLIP with learned quality embeddings, a Stable-Diffusion inpainting
UNet and its autoencoder, in the formats of the published ones.
"""
