"""The embedded encoder: a static embedding learnt from the corpus itself, with nothing downloaded.

Byte-pair tokens of the clauses, their mean vector, unit length. It starts from random directions whose lengths fall
with a token's frequency (a/(a + p): Arora et al. 2017), and learns by in-batch contrast which passage of a batch holds
the host's answer to a guest's question. (A sentence and the rest of its passage as the pair, for all or for half of
a batch, found fewer of the right broadcasts.)

Fixed steps, one thread, seeded: the same pairs and settings give the same bytes on one kind of processor.

Where there is no pair, it knows no token and gives every text the zero vector, so that the words alone rank: search and
quotations don't wait for something to learn from.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hcf_pipeline.corpus.pairs import Pair
from hcf_pipeline.corpus.tables import read_pairs
from hcf_pipeline.machine.quiet import quiet_libraries
from hcf_pipeline.machine.threads import threads
from hcf_pipeline.settings import EncoderSettings

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

BATCH = 512
SCALE = 20.0  # cosines before the softmax
RATE = 0.02
MAX_EPOCHS = 100  # for a small corpus: more steps took longer and found no more
MAX_TOKENS = 192  # of a passage
MAX_QUESTION_TOKENS = 64
WINDOW = 4  # neighbouring answers in a passage; it may reach into the next broadcast, which is rare
VOCABULARY_CHARS = 8_000_000  # of the corpus, evenly spread, that the vocabulary is counted on
FREQUENCY_SOFTENER = 1e-3
MIN_QUESTION_CHARS = 6
MIN_ANSWER_CHARS = 12
MAX_WORD = 24  # letters and digits; longer words are cut there
UNKNOWN = "[UNK]"

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class FitReport:
    n_pairs: int
    n_tokens: int  # in the vocabulary
    first_loss: float  # means of the first and the last tenth of the steps
    last_loss: float


def fit_encoder(
    pairs: Path,
    settings: EncoderSettings,
    held_out: Collection[str],
    out: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FitReport:
    """Writes a SentenceTransformer (static embedding, unit length) into `out`, fitted on a pair table.

    The transcripts in `held_out` are left out.
    """
    questions, answers = _texts(pairs, held_out)
    tokenizer = _fit_tokenizer(questions, answers, settings.vocab_size)
    if not questions:
        _save(tokenizer, np.zeros((tokenizer.get_vocab_size(), settings.dim), dtype=np.float32), out)
        return FitReport(0, tokenizer.get_vocab_size(), 0.0, 0.0)
    with threads(1):  # sums in one order, whatever the machine
        bags = _Bags.of(tokenizer, questions, answers)
        weights, losses = _contrast(bags, tokenizer.get_vocab_size(), settings, progress)
    _save(tokenizer, weights, out)
    tenth = max(len(losses) // 10, 1)
    first, last = float(np.mean(losses[:tenth])), float(np.mean(losses[-tenth:]))
    return FitReport(len(questions), tokenizer.get_vocab_size(), first, last)


def _texts(pairs: Path, held_out: Collection[str]) -> tuple[list[str], list[str]]:
    """Questions and answers long enough to say something; all of them where that leaves too few."""
    left_out = frozenset(held_out)
    found = [
        texts
        for path, _, of_transcript in read_pairs(pairs)
        if path not in left_out
        for texts in _asked_and_said(of_transcript)
    ]
    telling = [(q, a) for q, a in found if len(q) >= MIN_QUESTION_CHARS and len(a) >= MIN_ANSWER_CHARS]
    used = telling if len(telling) >= BATCH else found
    return [question for question, _ in used], [answer for _, answer in used]


def _asked_and_said(pairs: Sequence[Pair]) -> Iterator[tuple[str, str]]:
    """Question and answer; in a monologue the passage before stands for the question: both speak of one thing."""
    before = ""
    for pair in pairs:
        question = pair.guest_text or before
        if question:
            yield question, pair.host_text
        before = pair.host_text


def _fit_tokenizer(questions: Sequence[str], answers: Sequence[str], vocab_size: int) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[^\p{L}\p{N}]+"), "removed"),
            # fitting takes the square of a word's length: both bounds are for text without spaces or punctuation
            pre_tokenizers.Split(Regex(rf"\p{{Han}}{{1,12}}|\P{{Han}}{{1,{MAX_WORD}}}"), "isolated"),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=2, special_tokens=[UNKNOWN], max_token_length=4, show_progress=False
    )
    n_chars = sum(map(len, questions)) + sum(map(len, answers))
    step = max(1, -(-n_chars // VOCABULARY_CHARS))
    tokenizer.train_from_iterator([*questions[::step], *answers[::step]], trainer)
    return tokenizer


@dataclass(frozen=True)
class _Bags:
    """Token ids of all texts in one array: the questions, then the answers, each in the table's order."""

    ids: Ids
    questions: npt.NDArray[np.int64]  # (n, 2): start, end
    answers: npt.NDArray[np.int64]  # (n, 2)

    @staticmethod
    def of(tokenizer: Tokenizer, questions: Sequence[str], answers: Sequence[str]) -> _Bags:
        texts = [*questions, *answers]
        ids: list[Ids] = []
        for start in range(0, len(texts), 8192):
            encoded = tokenizer.encode_batch_fast(texts[start : start + 8192], add_special_tokens=False)
            ids += [np.array(encoding.ids, dtype=np.int32) for encoding in encoded]
        ends = np.cumsum([len(bag) for bag in ids])
        runs = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)
        return _Bags(np.concatenate(ids), runs[: len(questions)], runs[len(questions) :])

    def batch(self, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> tuple[list[Ids], list[Ids]]:
        """(questions, passages): a passage holds the answer among up to `WINDOW` neighbouring ones, as a chunk does."""
        first = np.maximum(rows - rng.integers(0, WINDOW, len(rows)), 0)
        last = np.minimum(first + WINDOW, len(self.answers)) - 1
        starts = np.maximum(self.answers[first, 0], self.answers[rows, 0] - MAX_TOKENS // 3)
        ends = np.minimum(self.answers[last, 1], starts + MAX_TOKENS)
        asked = self.questions[rows]
        questions = [self.ids[start:end][:MAX_QUESTION_TOKENS] for start, end in asked.tolist()]
        return questions, [self.ids[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def _contrast(
    bags: _Bags, n_tokens: int, settings: EncoderSettings, progress: Callable[[int, int], None]
) -> tuple[npt.NDArray[np.float32], list[float]]:
    import torch
    from torch.nn.functional import cross_entropy, embedding_bag, normalize

    rng = np.random.default_rng(settings.seed)
    frequency = np.bincount(bags.ids, minlength=n_tokens) / max(len(bags.ids), 1)
    start = rng.standard_normal((n_tokens, settings.dim), dtype=np.float32)
    start *= (FREQUENCY_SOFTENER / (FREQUENCY_SOFTENER + frequency)).astype(np.float32)[:, None]
    weights = torch.from_numpy(start).requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=RATE, betas=(0.9, 0.99))

    def encode(texts: list[Ids]) -> torch.Tensor:
        offsets = np.cumsum([0, *(len(text) for text in texts[:-1])])
        ids = torch.from_numpy(np.concatenate(texts).astype(np.int64))
        return normalize(embedding_bag(ids, weights, torch.from_numpy(offsets), mode="mean"), dim=1)

    losses: list[float] = []
    order = _forever(len(bags.questions), rng)
    size = min(BATCH, len(bags.questions))
    n_steps = min(settings.steps, MAX_EPOCHS * -(-len(bags.questions) // BATCH))
    for step in range(n_steps):
        rows = np.fromiter(order, dtype=np.int64, count=size)
        questions, passages = bags.batch(rows, rng)
        logits = SCALE * encode(questions) @ encode(passages).T
        target = torch.arange(size)
        loss = (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / n_steps)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
        progress(step + 1, n_steps)
    return weights.detach().numpy(), losses


def _forever(n: int, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(n).tolist()


def _save(tokenizer: Tokenizer, weights: npt.NDArray[np.float32], out: Path) -> None:
    quiet_libraries()
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    model = SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=weights), Normalize()], device="cpu"
    )
    model.save(str(out), create_model_card=False)
