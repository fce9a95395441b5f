"""What `hcf check` finds in the corpus: files, turns of each side, and pairs to learn from. Every file is parsed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hcf_pipeline.cli.console import Invocation
from hcf_pipeline.cli.findings import Finding, Verdict
from hcf_pipeline.cli.left_out import files_left_out
from hcf_pipeline.cli.reading import read_wrongly, reading_words, too_little_spoken
from hcf_pipeline.cli.turns import beginning
from hcf_pipeline.corpus.plausible import Reading, total, worst_of
from hcf_pipeline.corpus.survey import N_SHOWN, FirstTurns
from hcf_pipeline.errors import HcfError
from hcf_pipeline.few import listed
from hcf_pipeline.settings import Settings

N_NAMED = 8  # unknown labels
LEFT_OUT_SHARE = 0.1  # of the pairs: with more than that a reader should look why


@dataclass(frozen=True)
class CorpusCheck:
    findings: Sequence[Finding]
    can_train: bool  # there is a pair to learn from; also where the corpus could not be read


def check_corpus(settings: Settings, call: Invocation) -> CorpusCheck:
    from hcf_pipeline.corpus.grammar import Grammar
    from hcf_pipeline.corpus.manifest import Refused, scan
    from hcf_pipeline.corpus.pairs import monologue_pairs, pair_turns
    from hcf_pipeline.corpus.tables import read_transcript
    from hcf_pipeline.settings.file import no_config
    from hcf_pipeline.sft.left_out import USED, count_reasons

    corpus = settings.sections.corpus
    if not settings.config.exists():  # the machine can be looked at before
        return _unread(no_config(settings.config), call)
    try:
        manifest = scan(settings.corpus_path, corpus)
    except HcfError as error:
        return _unread(error, call)
    grammar = Grammar(corpus)
    pair = monologue_pairs if corpus.is_monologue else pair_turns
    n_turns = 0
    refused = list(manifest.refused)
    readings: dict[str, Reading] = {}
    left_out: Counter[str] = Counter()
    first = FirstTurns()
    unknown: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    for file in manifest.files:
        parsed = read_transcript(settings.corpus_path, file, grammar)
        if isinstance(parsed, Refused):
            refused.append(parsed)
        else:
            readings[file.path] = Reading.of(parsed)
            n_turns += len(parsed.turns)
            left_out.update(parsed.left_out)
            first.add(parsed.turns[: 4 * N_SHOWN])
            unknown.update(parsed.unknown_labels)
            pairs.update(count_reasons(pair(parsed.turns), settings.sections.sft))
    good, n_files, n_unknown = len(readings), len(manifest.files) + len(manifest.refused), unknown.total()
    verdict: Verdict = "bad" if not good else "ok" if good > 0.9 * n_files and n_unknown < 0.05 * n_turns else "warning"
    named = listed([f"{label} {count}" for label, count in unknown.most_common()], call.lang, N_NAMED)
    told = f"：{named}" if named else ""
    told_en = f": {named}" if named else ""
    findings = [
        Finding(
            "corpus",
            verdict,
            call.say(
                f"文稿：{settings.corpus_path}，{n_files} 个文件里 {good} 个可用，{n_turns} 次发言，{n_unknown} 行是未知称呼{told}",
                f"corpus: {settings.corpus_path}, {good} of {n_files} files usable, {n_turns} turns, "
                f"{n_unknown} lines of unknown labels{told_en}",
            ),
        )
    ]
    for line in files_left_out(call, settings, refused):
        findings.append(Finding("left out", "warning" if refused else "ok", line))
    if good:
        findings.append(_turns(readings, left_out, settings, call))
        findings += [Finding("turn", "ok", beginning(turn)) for turn in first.turns]
        findings += _pairs(pairs, unknown, settings, call)
    return CorpusCheck(findings, pairs[USED] > 0)


def _unread(error: HcfError, call: Invocation) -> CorpusCheck:
    return CorpusCheck([Finding("corpus", "bad", error.text(call.lang))], can_train=True)


def _turns(readings: dict[str, Reading], left_out: Counter[str], settings: Settings, call: Invocation) -> Finding:
    """What share of the text has a speaker, and how the turns alternate."""
    reading = total(readings.values())
    words = reading_words(call, reading, left_out)
    if reading.is_implausible(settings.sections.release.min_spoken):
        words += too_little_spoken(call, settings)
        return Finding("turns", "bad", words + read_wrongly(call, worst_of(readings)))
    if reading.is_doubtful(is_monologue=settings.sections.corpus.is_monologue):
        return Finding("turns", "warning", words + read_wrongly(call, worst_of(readings)))
    return Finding("turns", "ok", words)


def _pairs(counts: Counter[str], unknown: Counter[str], settings: Settings, call: Invocation) -> Iterator[Finding]:
    """How many pairs a model learns from, and why not from the others. Search and quotations need none of them."""
    from hcf_pipeline.sft.left_out import USED, next_step, none_left, reasons

    n_pairs, n_used = counts.total(), counts[USED]
    is_monologue = settings.sections.corpus.is_monologue
    zh, en = (
        (f"独白片段：{n_pairs} 个", f"passages: {n_pairs}")
        if is_monologue
        else (f"问答：{n_pairs} 个", f"pairs: {n_pairs}")
    )
    if not settings.sections.lora.enabled:
        zh, en = (
            f"{zh}；[lora] enabled = false，不训练，只检索和引用",
            f"{en}; [lora] enabled is false, so nothing is trained",
        )
        yield Finding("pairs", "ok", call.say(zh, f"{en}: search and quotations alone"))
        return
    if not n_used:
        why = none_left(counts)
        zh, en = "不会训练，检索和引用照常", "nothing will be trained, search and quotations work"
        words = call.say(f"{zh}：{why.zh}", f"{en}: {why.en}")
        if unknown and not n_pairs:  # whose lines part the questions from the answers
            words += call.say(
                "没有设置的称呼也会隔开问答：是说话人就写进 guest_labels，不是就写进 not_labels。",
                " Labels that are not set part questions from answers too: write speakers into guest_labels, words into not_labels.",
            )
        yield Finding("pairs", "warning", words)
        return
    zh, en = f"{zh}，其中 {n_used} 个可以学", f"{en}, {n_used} of them to learn from"
    if n_used < n_pairs:
        zh, en = f"{zh}；{reasons(counts, 'zh')}", f"{en}; {reasons(counts, 'en')}"
    if n_pairs - n_used <= LEFT_OUT_SHARE * n_pairs:
        yield Finding("pairs", "ok", call.say(zh, en))
        return
    yield Finding(
        "pairs", "warning", call.say(f"{zh}；请{next_step(counts, 'zh')}", f"{en}; {next_step(counts, 'en')}")
    )
