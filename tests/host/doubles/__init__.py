"""A small pack of nodes for the tests with the real ComfyUI: models whose result is known, and tiny real ones.

Loaded by the host beside the pack under test; nothing of it ships, and nothing of the host is patched.

``GRefineDoubleModel``         MODEL that paints the colour in the conditioning; logs every call
``GRefineDoubleVAE``           VAE of block means: exact on flat blocks, any number of channels and any factor
``GRefineDoubleConditioning``  CONDITIONING that carries a colour
``GRefineDoubleRestorer``      GREFINE_RESTORER that is none of the host's models
``GRefineDoubleShortMemory``   PASD as GREFINE_RESTORER that runs out of memory over so many latent cells; logs calls
``GRefineTinyUNet``            MODEL with a real, tiny, seeded network: sd15, sdxl (4 or 9 channels), flux, Flux Fill
``GRefineTinyTextEncoder``     CLIP with the host's real tokenizer and a tiny, seeded text model (see ``tiny_clip``)
``GRefineTinyVAE``             VAE with a real, tiny, seeded autoencoder
``GRefineTinySUPIR``           MODEL_PATCH with a real, tiny, seeded SUPIR, for ``sdxl``; on hosts that have it
``GRefineTinyFamily``          MODEL with a real, tiny, seeded network of a newer family (see ``tiny_families``)
``GRefineTinyLanguageModel``   CLIP of such a family: its real tokenizer, a tiny language model
``GRefineTinyQwenControlNet``  CONTROL_NET for inpainting with a real, tiny Qwen-Image
``GRefineTinySeedVR2``         MODEL, and ``GRefineTinySeedVR2VAE`` VAE, real and tiny; on hosts that have it
``GRefineTinyControlNet``      CONTROL_NET with a real, tiny, seeded network, for ``sd15``
``GRefineDoubleTensor``        IMAGE and MASK from ``input/NAME.npy``, exactly; ``GRefineDoubleCapture`` writes them
``GRefineDoubleValues``        lists of STRING, FLOAT, INT, BOOLEAN from lines of text
``GRefineDoubleSigmas``        SIGMAS from numbers with blanks between
"""

from .paint import BlockMeanVAE, PaintConditioning, PaintModel, TintRestorer
from .short_memory import ShortMemory
from .tensors import CaptureTensors, LoadTensor, Sigmas, Values
from .tiny_clip import TinyTextEncoder
from .tiny_models import TinyControlNet, TinyUNet, TinyVAE
from .tiny_newer import (
    HAS_SEEDVR2,
    TinyFamily,
    TinyLanguageModel,
    TinyQwenControlNet,
    TinySeedVR2,
    TinySeedVR2VAE,
)
from .tiny_supir import HAS_SUPIR, TinySUPIR

NODE_CLASS_MAPPINGS = {
    "GRefineDoubleModel": PaintModel,
    "GRefineDoubleVAE": BlockMeanVAE,
    "GRefineDoubleConditioning": PaintConditioning,
    "GRefineDoubleRestorer": TintRestorer,
    "GRefineDoubleShortMemory": ShortMemory,
    "GRefineTinyUNet": TinyUNet,
    "GRefineTinyTextEncoder": TinyTextEncoder,
    "GRefineTinyVAE": TinyVAE,
    "GRefineTinyControlNet": TinyControlNet,
    "GRefineTinyFamily": TinyFamily,
    "GRefineTinyLanguageModel": TinyLanguageModel,
    "GRefineTinyQwenControlNet": TinyQwenControlNet,
    "GRefineDoubleTensor": LoadTensor,
    "GRefineDoubleCapture": CaptureTensors,
    "GRefineDoubleValues": Values,
    "GRefineDoubleSigmas": Sigmas,
}
if HAS_SUPIR:
    NODE_CLASS_MAPPINGS["GRefineTinySUPIR"] = TinySUPIR
if HAS_SEEDVR2:
    NODE_CLASS_MAPPINGS["GRefineTinySeedVR2"] = TinySeedVR2
    NODE_CLASS_MAPPINGS["GRefineTinySeedVR2VAE"] = TinySeedVR2VAE
