"""Who proposes draft tokens. One file each; a new one is one file and one line here."""

from .base import Draft, Proposer
from .draft_head import DraftHeadProposer
from .draft_model import DraftModelProposer
from .exit_heads import ExitHeadsProposer
from .prompt_lookup import PromptLookupProposer


# In this order they are asked; the first that has something to propose does.
PROPOSERS: tuple[type[Proposer], ...] = (
    PromptLookupProposer,
    DraftHeadProposer,
    ExitHeadsProposer,
    DraftModelProposer,
)

__all__ = ["PROPOSERS", "Draft", "Proposer"]
