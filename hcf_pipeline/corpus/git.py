"""A corpus kept in Git: cloned or updated with the user's own `git`.

A clone in `data/` is known by where it came from and not by its name, so a fork never passes for the repository that it
was forked from. It follows its upstream wherever that goes, history rewritten or not, as long as all commits in it came
from there; commits and changes of the user's own are never moved, nor written over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hcf_pipeline.corpus.address import Address, address_of
from hcf_pipeline.corpus.git_command import Git
from hcf_pipeline.errors import CorpusError
from hcf_pipeline.files import DRAFT, draft_name, remove_tree
from hcf_pipeline.store.disk import raise_disk_errors
from hcf_pipeline.store.locks import try_exclusive

FETCHING = ".fetching"  # in data/, locked by the one who fetches


def fetch_corpus(source: str, data: Path) -> tuple[Path, str]:
    """Clones `source` (an address, or a folder under Git) into `data/NAME`, or brings the clone of it there up to date.

    Where another repository of that name is there already, it is `data/OWNER-NAME`. Returns the folder and its commit.
    Raises CorpusError, MachineError when the address can't be reached, ToolMissing without git.
    """
    source, data = source.strip(), data.resolve()
    if not source:
        raise CorpusError(zh="要取哪个文稿库？地址是空的。", en="Fetch which corpus? The address is empty.")
    address = _address(source, data)
    with raise_disk_errors(data):
        data.mkdir(parents=True, exist_ok=True)
        with _alone(data):
            target, origin = _target(address, data)
            if origin is None:
                _clone(address, target)
            elif address.user:
                _update(Git(address, target), address)
                _forget_secret(Git(None, target), origin)
            else:
                _update(Git(replace(address, user=origin.user, password=origin.password), target), address)
            return target, Git(None, target)("rev-parse", "HEAD")


def _address(source: str, data: Path) -> Address:
    """Of a clone in `data/` its own origin is meant."""
    try:
        folder = Path(source).expanduser()
        is_folder = folder.is_dir()
    except (OSError, RuntimeError, ValueError):  # no name of a folder
        return address_of(source)
    if not is_folder:
        return address_of(source)
    if not (folder / ".git").exists() and not (folder / "HEAD").is_file():
        raise CorpusError(
            zh=f"{folder} 不是 Git 仓库；普通目录不用取，运行 hcf init {folder} 就行。",
            en=f"{folder} is no Git repository; a plain folder needs no fetching: run hcf init {folder}.",
        )
    found = folder.resolve()
    origin = _origin(found) if found.parent == data else None
    return replace(origin, user="", password="") if origin else address_of(str(found))


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    """One fetches into a folder at a time; what killed ones left there goes."""
    file = data / FETCHING
    while True:
        lock = try_exclusive(file)
        if lock is None:
            raise CorpusError(
                zh=f"另一个 hcf 正在往 {data} 里取文稿；请等它结束后再运行。",
                en=f"Another hcf is fetching into {data}; run this again when it has ended.",
            )
        if lock.is_of(file):
            break
        lock.release()  # removed by the one before
    with lock:
        try:
            for draft in data.glob(f"{DRAFT}*"):
                remove_tree(draft)
            yield
        finally:
            file.unlink(missing_ok=True)


def _target(address: Address, data: Path) -> tuple[Path, Address | None]:
    """The clone of that repository, whatever it is called, and where it came from; else a name that is free, and None."""
    clones = {folder: _origin(folder) for folder in sorted(data.glob("[!.]*/")) if (folder / ".git").exists()}
    for folder, origin in clones.items():
        if origin is not None and origin.place == address.place:
            return folder, origin
    target = data / address.name
    for name in (address.name, f"{address.owner}-{address.name}"):
        target = data / name
        if not os.path.lexists(target):
            return target, None
        if target not in clones:
            raise CorpusError(
                zh=f"{target} 已经在那里，却不是 Git 仓库；请移走它再取。",
                en=f"{target} is there already and is no Git repository; move it away first.",
            )
    origin = clones[target]
    other = address.public(origin.url) if origin else "?"
    raise CorpusError(
        zh=f"{target} 里是另一个仓库（{other}），不是 {address.url}；请把它改名或移走再取。",
        en=f"{target} holds another repository ({other}), not {address.url}; rename it or move it away first.",
    )


def _origin(clone: Path) -> Address | None:
    """Where a clone came from; None where it doesn't say."""
    url = Git(None, clone).says("config", "--file", str(clone / ".git" / "config"), "remote.origin.url")
    try:
        return address_of(url) if url else None
    except CorpusError:
        return None


def _clone(address: Address, target: Path) -> None:
    draft = target.with_name(draft_name(target.name))
    git = Git(address, draft)
    try:
        git.outside("clone", "--depth", "1", "--quiet", "--", address.url, str(draft))
        if not git.says("rev-parse", "--verify", "--quiet", "HEAD"):
            raise CorpusError(
                zh=f"{address.url} 里还没有任何提交，没有可取的。",
                en=f"{address.url} has no commit yet, so nothing to fetch.",
            )
        draft.rename(target)
    finally:
        remove_tree(draft)


def _update(git: Git, address: Address) -> None:
    git("rev-parse", "--git-dir")  # git may refuse a folder of somebody else's
    branch = git.says("symbolic-ref", "--quiet", "--short", "HEAD")
    if not branch:
        raise CorpusError(
            zh=f"{git.folder} 不在任何分支上（检出的是一个提交），没有动它；请运行 git -C {git.folder} switch 分支名，再取一次。",
            en=f"{git.folder} is on no branch (a commit is checked out) and was left alone; run git -C {git.folder} switch "
            "BRANCH, then this again.",
        )
    remote = git.says("config", f"branch.{branch}.merge")
    tracking = git.says("rev-parse", "--symbolic-full-name", "@{upstream}")
    if not tracking.startswith("refs/remotes/origin/"):
        remote, tracking = "HEAD", f"refs/remotes/origin/{branch}"
    before, came_from_there = git("rev-parse", "HEAD"), _fetched_ever(git, tracking)
    depth = ["--depth", "1"] if git.says("rev-parse", "--is-shallow-repository") == "true" else []
    fetch = ("fetch", "--quiet", "--no-tags", *depth, "--", address.url)
    if not git.try_to(*fetch, f"+{remote}:{tracking}", unless="couldn't find remote ref"):
        git(*fetch, f"+HEAD:{tracking}")  # the branch has another name there now
    after = git("rev-parse", tracking)
    if git.succeeds("merge-base", "--is-ancestor", after, before):
        return  # commits of the user's own may stand on it
    if before not in came_from_there and not git.succeeds("merge-base", "--is-ancestor", before, after):
        raise CorpusError(
            zh=f"{git.folder} 里有你自己的提交（{before[:10]} 不是从 {address.url} 来的），没有动它；"
            "请推送或移走这些提交，或把整个目录改名，再取一次。",
            en=f"{git.folder} has commits of its own ({before[:10]} did not come from {address.url}) and was left alone; "
            "push them or move them away, or rename the folder, then run this again.",
        )
    if not git.try_to("reset", "--quiet", "--keep", after, unless="Could not reset index"):
        changed = git.says("diff", "--name-only", "HEAD") or git.says("ls-files", "--others", "--exclude-standard")
        names = ", ".join(changed.splitlines()[:5])
        raise CorpusError(
            zh=f"{git.folder} 里有没有提交的改动，而上游也改了这些文件，没有动它（{names}）；请提交、移走或撤销这些改动，再运行一次。",
            en=f"{git.folder} has changes that are in no commit, of files that upstream changed too, and was left alone "
            f"({names}); commit, move or undo them, then run this again.",
        )


def _fetched_ever(git: Git, tracking: str) -> set[str]:
    """Every commit that was upstream's newest when it was fetched; nobody's own."""
    now = git.says("rev-parse", "--verify", "--quiet", tracking)
    logged = git.says("reflog", "show", "--format=%H", tracking).split()
    first = git.says("rev-parse", "--verify", "--quiet", f"{tracking}@{{{len(logged)}}}")  # the log begins after it
    return {commit for commit in (now, *logged, first) if commit}


def _forget_secret(git: Git, origin: Address) -> None:
    """Of a clone that git made with the secret in its configuration; it comes with the address now."""
    if origin.user:
        git("config", "remote.origin.url", origin.url)
