"""Proposers of draft tokens. A new proposer is one file and one line here."""

from .base import Draft, Proposer
from .draft_head import DraftHeadProposer
from .draft_model import DraftModelProposer
from .exit_heads import ExitHeadsProposer
from .prompt_lookup import PromptLookupProposer
from .suffix import SuffixProposer


# They are asked in this order. The first one that has a draft proposes it.
PROPOSERS: tuple[type[Proposer], ...] = (
    SuffixProposer,
    PromptLookupProposer,
    DraftHeadProposer,
    ExitHeadsProposer,
    DraftModelProposer,
)

__all__ = ["PROPOSERS", "Draft", "Proposer"]
