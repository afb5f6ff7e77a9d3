"""The stopping criteria that the decode loop applies itself, and those that it has to call."""

from dataclasses import dataclass

from transformers.generation.stopping_criteria import EosTokenCriteria, MaxLengthCriteria, StoppingCriteriaList


@dataclass(frozen=True)
class Stopping:
    """
    When the sequences of a call end.

    Args:
        max_length (`int`): maximum length of a sequence, prompt and padding included.
        eos_token_ids (`list[int]`): tokens that end a sequence.
        criteria (`StoppingCriteriaList`): criteria that have to be called after each token.
    """

    max_length: int
    eos_token_ids: list[int]
    criteria: StoppingCriteriaList


def read_stopping(criteria: StoppingCriteriaList, callers: StoppingCriteriaList, prompt_length: int) -> Stopping:
    """
    Separates the criteria that the decode loop applies itself: length and EOS, if transformers made the criterion from
    the configuration. A criterion that the caller passed is always called, whatever its type: it may have another
    limit, and it replaces transformers' own criterion of the same type.

    Args:
        criteria (`StoppingCriteriaList`): all criteria of the call, as transformers merged them.
        callers (`StoppingCriteriaList`): criteria that the caller passed; `criteria` contains them.
        prompt_length (`int`): length of `input_ids`, padding included.
    """
    own = [criterion for criterion in criteria if not any(criterion is given for given in callers)]
    native = [criterion for criterion in own if type(criterion) in (MaxLengthCriteria, EosTokenCriteria)]
    ends = [c.eos_token_id.flatten().tolist() for c in native if type(c) is EosTokenCriteria]
    return Stopping(
        max_length=length_limit(criteria, prompt_length),
        eos_token_ids=ends[0] if ends else [],
        criteria=StoppingCriteriaList(c for c in criteria if not any(c is done for done in native)),
    )


def length_limit(criteria: StoppingCriteriaList, prompt_length: int) -> int:
    """
    The length at which one of the `MaxLengthCriteria` ends a sequence. Criteria are called after a token, so at least
    one token is generated.
    """
    limits = [criterion.max_length for criterion in criteria if type(criterion) is MaxLengthCriteria]
    return max(min(limits), prompt_length + 1)
