"""Which of the corpus holds still enough to be worked on."""

from __future__ import annotations

from hcf_pipeline.corpus.manifest import CorpusFile, Manifest, Refused


def settle(known: Manifest | None, before: Manifest | None, now: Manifest) -> Manifest:
    """The corpus as it may be worked on: `known` with all that held still from the look `before` to the look `now`.

    What is still moving stays as it is in `known`: a file that is being written is left out, one that is being
    rewritten keeps its old entry, one that just vanished is still there. On the first look at a folder (`known` is None,
    or of another folder) all that is there counts; without `before` nothing has held still yet.
    """
    if known is None or known.folder != now.folder:
        return now
    old, there = _by_path(known), _by_path(now)
    last = _by_path(before) if before is not None and before.folder == now.folder else None
    files: list[CorpusFile] = []
    refused: list[Refused] = []
    for path in sorted(old.keys() | there.keys()):
        held_still = last is not None and last.get(path) == there.get(path)
        one = (there if held_still else old).get(path)
        if isinstance(one, CorpusFile):
            files.append(one)
        elif one is not None:
            refused.append(one)
    return Manifest(now.folder, tuple(files), tuple(refused))


def _by_path(manifest: Manifest) -> dict[str, CorpusFile | Refused]:
    return {file.path: file for file in manifest.files} | {one.file: one for one in manifest.refused}
