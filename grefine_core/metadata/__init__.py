"""The prompt that a generated picture carries in its own file, or in a text file beside it."""

from .containers import text_entries as text_entries
from .reading import Candidate as Candidate
from .reading import FoundPrompt as FoundPrompt
from .reading import prompt_from_metadata as prompt_from_metadata
from .reading import prompt_of as prompt_of
from .reading import read_prompt as read_prompt
