"""
The draft sources of a call. A new draft source is one file and one line here, and its loop is one C++ file and one
line in `csrc/runtime/proposer.cpp`.
"""

from .base import DraftParts, Proposer, Request
from .draft_head import DraftHead
from .draft_model import DraftModel
from .exit_heads import ExitHeads
from .prompt_lookup import PromptLookup
from .suffix import Suffix


# In the order in which the engine gets them. Their names are the modes of the argument `speculation`.
PROPOSERS: dict[str, type[Proposer]] = {
    proposer.name: proposer
    for proposer in (
        Suffix,
        PromptLookup,
        DraftHead,
        ExitHeads,
        DraftModel,
    )
}

__all__ = ["PROPOSERS", "DraftParts", "Proposer", "Request"]
