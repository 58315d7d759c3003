"""Log-likelihoods of many short answers in few, full passes.

A multiple-choice question asks for log P(answer | question) of each answer. Scored one by one, a
question of 40 tokens with four answers of 5 is read four times over; padded to a batch, short rows
carry the longest one's width. Here the requests of several questions form a *trie*: every distinct
prefix of tokens is one node, so a shared question, or the word "Question:" that all of them begin
with, is computed once. The nodes of a trie go through the network as one sequence in which each
token has its depth as its position and sees its ancestors only:

    Question : Who ? Answer :  ├─ the  cat
                               └─ a ─┬─ dog        9 nodes instead of 3 × 8 tokens
                                     └─ cow

which is exactly what it would see in a sequence of its own. Only nodes that an answer's token
follows go through the head.

Tokenization (where an answer's tokens begin, what precedes an empty context, truncation from the
left) is lm-eval's `TemplateLM`, so the log-likelihoods are those of its own Hugging Face model up
to rounding; ours are reduced in fp32 where it reduces in the network's dtype.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qcore.errors import DataError, NumericalError, UnsupportedModel
from qcore.evaluation.logits import PASS_TOKENS, final_hidden, require_words
from qcore.numerics.distributions import log_probabilities, row_chunks
from qcore.numerics.head import head_of
from qcore.progress import Progress, silent

DEFAULT_CONTEXT = 2048
"""Context length of a model whose configuration names none; lm-eval's default too."""

Request = tuple[Any, list[int], list[int]]
"""lm-eval's encoded request: (its texts, context tokens, answer tokens)."""


@dataclass(slots=True)
class Trie:
    """Distinct prefixes of token sequences; node i's parent comes before it.

    Attributes:
        tokens: each node's token.
        parents: each node's parent; −1 at a root.
        paths: for every sequence added, its nodes in order.
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)
    _children: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, sequence: Sequence[int]) -> None:
        """Add a sequence, sharing the nodes of its longest known prefix."""
        node, path = -1, []
        for token in sequence:
            edge = (node, token)
            if edge not in self._children:
                self._children[edge] = len(self.tokens)
                self.tokens.append(token)
                self.parents.append(node)
            node = self._children[edge]
            path.append(node)
        self.paths.append(path)

    def layout(self) -> tuple[Int[Tensor, " nodes"], Int[Tensor, " nodes"], Bool[Tensor, "n n"]]:
        """Tokens, positions (depths), and which nodes each node sees (its ancestors, itself)."""
        count = len(self.tokens)
        positions = torch.zeros(count, dtype=torch.long)
        sees = torch.eye(count, dtype=torch.bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                positions[node] = positions[parent] + 1
                sees[node] |= sees[parent]
        return torch.tensor(self.tokens), positions, sees


class ChoiceModel(TemplateLM):
    """A causal LM as lm-eval sees it, for multiple-choice tasks.

    Args:
        model: in evaluation mode, on its device.
        tokenizer: the model's own.
        progress: told (requests done, requests in all, "") after every pass.
        pass_tokens: nodes that go through the network together.

    Raises:
        UnsupportedModel: its attention takes no mask of our own.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        progress: Progress = silent,
        pass_tokens: int = PASS_TOKENS,
    ):
        super().__init__()
        attention = model.config._attn_implementation
        if attention not in ("sdpa", "eager"):
            raise UnsupportedModel(
                f"attention {attention!r} ignores the mask that keeps questions apart",
                remedy='load the model with attn_implementation="sdpa"',
            )
        self._tokenizer = tokenizer
        self._model = model
        self._progress = progress
        self._pass_tokens = pass_tokens
        config = model.config.get_text_config()
        # Ending a text and preceding one are lm-eval's words for EOS and, where there is one, BOS.
        # A tokenizer may have neither: only an answer without a question would need one.
        self._end: int | None = tokenizer.eos_token_id  # pyright: ignore[reportAttributeAccessIssue]
        bos: int | None = tokenizer.bos_token_id  # pyright: ignore[reportAssignmentType]
        self._start = self._end if bos is None else bos
        self._start_text = "" if self._start is None else str(tokenizer.decode([self._start]))
        self._words = int(config.vocab_size)
        self._context = getattr(config, "max_position_embeddings", DEFAULT_CONTEXT)

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text. Raises DataError where the tokenizer has none."""
        return _present(self._end)

    @property
    def prefix_token_id(self) -> int:
        """The token that stands before an answer without a question.

        Raises:
            DataError: the tokenizer has neither BOS nor EOS.
        """
        return _present(self._start)

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: object
    ) -> list[int]:
        """Tokens; special ones as the tokenizer adds them by default, but BOS never twice."""
        if add_special_tokens is None:
            doubled = bool(self._start_text) and string.startswith(self._start_text)
            add_special_tokens = not doubled
        return self._tokenizer.encode(string, add_special_tokens=add_special_tokens)

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = True
    ) -> list[tuple[float, bool]]:
        """(log-likelihood in nats, whether greedy decoding would say it) of every answer."""
        return super().loglikelihood(requests, disable_tqdm=True)

    def _loglikelihood_tokens(
        self, requests: list[Request], **_: object
    ) -> list[tuple[float, bool]]:
        answers: list[tuple[float, bool]] = []
        for group in self._passes(requests):
            answers.extend(self._score(group))
            self._progress(len(answers), len(requests), "")
        return answers

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        """Not multiple choice; perplexity has a module of its own."""
        raise UnsupportedModel("rolling likelihood is not offered", remedy="score perplexity")

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        """Not multiple choice."""
        raise UnsupportedModel("generation tasks are not offered", remedy="choose other tasks")

    def _passes(self, requests: list[Request]) -> Iterator[list[Request]]:
        """Requests in order, grouped so that a trie rarely exceeds `pass_tokens` nodes.

        The count is an upper bound that sees no sharing beyond equal contexts.
        """
        group: list[Request] = []
        filled, context = 0, None
        for request in requests:
            _, before, answer = request
            size = len(answer) + (0 if before == context else len(before))
            if group and filled + size > self._pass_tokens:
                yield group
                group, filled = [], 0
                size = len(before) + len(answer)
            group.append(request)
            filled, context = filled + size, before
        if group:
            yield group

    @torch.no_grad()
    def _score(self, group: list[Request]) -> list[tuple[float, bool]]:
        trie = Trie()
        for _, context, answer in group:
            if not answer:
                raise DataError("an answer has no tokens", remedy="leave the task out")
            require_words(context + answer, self._words)
            # The last token predicts nothing that is asked for.
            trie.add((context + answer)[-(self._context + 1) :][:-1])
        tokens, positions, sees = trie.layout()
        hidden = final_hidden(self._model, tokens, positions=positions, sees=sees)

        # The answer's last len(answer) predictions come from the last nodes of the path.
        nodes = [path[-len(answer) :] for path, (*_, answer) in zip(trie.paths, group, strict=True)]
        flat = torch.tensor([node for path in nodes for node in path], device=hidden.device)
        targets = torch.tensor([t for *_, answer in group for t in answer], device=hidden.device)
        rows, row_of = flat.unique(return_inverse=True)
        picked, best = self._predict(hidden[rows], row_of, targets)
        return _sum_by_answer(picked, best, [len(answer) for *_, answer in group])

    def _predict(
        self,
        hidden: Float[Tensor, "rows hidden"],
        row_of: Int[Tensor, " targets"],
        targets: Int[Tensor, " targets"],
    ) -> tuple[Float[Tensor, " targets"], Bool[Tensor, " targets"]]:
        """Each target's log-probability at its row, and whether it is the most likely token."""
        head = head_of(self._model)
        picked = torch.empty(len(targets), dtype=torch.float64, device=hidden.device)
        best = torch.empty(len(targets), dtype=torch.bool, device=hidden.device)
        for rows in row_chunks(len(hidden), head.weight.shape[0]):
            logprobs = log_probabilities(head, hidden[rows])
            here = (row_of >= rows.start) & (row_of < rows.stop)
            local, wanted = row_of[here] - rows.start, targets[here]
            picked[here] = logprobs[local, wanted].double()
            best[here] = logprobs.argmax(dim=-1)[local] == wanted
        return picked, best


def _present(token: int | None) -> int:
    if token is None:
        raise DataError(
            "the tokenizer names no token that begins or ends a text, and a question of the task "
            "is empty",
            remedy="leave the task out, or name a word of the vocabulary as eos_token in "
            "tokenizer_config.json",
        )
    return token


def _sum_by_answer(
    picked: Float[Tensor, " targets"], best: Bool[Tensor, " targets"], lengths: list[int]
) -> list[tuple[float, bool]]:
    if not bool(picked.isfinite().all()):
        raise NumericalError(
            "an answer's log-likelihood is not finite, so the network's outputs are not",
            remedy="use more bits, or float32 instead of bfloat16",
        )
    sums = zip(picked.cpu().split(lengths), best.cpu().split(lengths), strict=True)
    return [(float(part.sum()), bool(greedy.all())) for part, greedy in sums]
