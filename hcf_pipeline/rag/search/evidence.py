"""Whether the corpus says anything about a question: the best score, and what it rests on.

A score is a share of what the question's wording could reach, and a short question of everyday words reaches a large
share by chance (怎么训练鹦鹉说话: everybody speaks of training and of talking). So two things weigh in:

- how much was met: the idf of the question's single characters and words that stand in a hit, in nats. Chance meets many
  cheap ones, or few dear ones.
- how usual the question's characters are here, their mean idf: words that the corpus hardly uses ask for what it does not
  speak of. A word that the best hit holds is no sign of that, however rare; a character may stand there in another word.

Each figure is seen beside what it is in the middle for questions that have an answer, which is not the same for characters and
for words; a question that holds both is compared with a mean of the two.

For characters chosen on 912 questions by other people about broadcasts before 27 November 2023 and 311 without an answer, by
logistic regression over 24 such figures, of which these two held nearly all the gain; then rounded. For words on 300 turns of
guests of one English podcast, without these turns, and 30 questions that it cannot answer; then looked at on another podcast and
30 more questions (docs/retrieval.md). Both figures keep their size from 200 to 46,000 chunks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hcf_pipeline.rag.arrays import Ints, Weights
from hcf_pipeline.rag.index.terms import is_word, occurrences

N_HITS = 5  # whose words are looked at
WEIGHT = 0.2  # of either figure
MET, WORDS_MET = 20.0, 14.0  # nats, and the mean idf below: what questions with an answer have in the middle
IDF, WORDS_IDF = 1.6, 1.4
LEAST = 0.1  # nats


def evidence(terms: Ints, idf: Weights, texts: Sequence[str], score: float) -> float:
    """`score`, the best one at 10,000 chunks, corrected by what the words of the best hits and of the question tell.

    `terms` are the single characters and the words of the question, sorted, with the idf of each.
    """
    if not len(idf) or not texts:
        return score
    in_text, _, which = occurrences(texts, terms)
    met = np.zeros((len(texts), len(idf)))
    met[in_text, which] = idf[which]
    best = met[met.sum(axis=1).argmax()]
    words = is_word(terms)
    unusual = np.where(words & (best > 0), 0.0, idf) - np.where(words, WORDS_IDF, IDF)
    usually_met = np.where(words, math.log(WORDS_MET), math.log(MET)).mean()
    return score + WEIGHT * (math.log(max(float(best.sum()), LEAST)) - float(usually_met + unusual.mean()))
