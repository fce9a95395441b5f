"""The settings that change an answer: a release pins them, and serves by them whatever hcf.toml says meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hcf_pipeline.errors import SettingsError
from hcf_pipeline.lm.prompt import WORDS
from hcf_pipeline.settings import Sections, Settings
from hcf_pipeline.settings.types import Section

QUANTIZE = "base.quantize"  # pinned as what "auto" came to
PROMPT = "chat.persona_prompt"  # learnt, and served


def serving_settings(settings: Settings) -> dict[str, object]:
    """Each setting that changes an answer, as plain JSON by its name."""
    return prompt_setting(settings) | settings.serving()


def prompt_setting(settings: Settings) -> dict[str, object]:
    """The persona prompt by its name; where none is set, the one that was the default before it followed the corpus, so that what
    was made then is not stale now. What is in a release is the one that the adapter learnt."""
    return {PROMPT: settings.sections.chat.persona_prompt or WORDS["zh"].persona}


def served_by(sections: Sections, pinned: Mapping[str, object]) -> Sections:
    """The sections with what a release pins in place of its own; names that are no settings any more are passed over."""
    by_section: dict[str, dict[str, object]] = {}
    for name, value in pinned.items():
        section, _, key = name.partition(".")
        own = getattr(sections, section, None)
        if isinstance(own, Section) and key in type(own).model_fields:
            by_section.setdefault(section, {})[key] = value
    changed: dict[str, Section] = {}
    for section, values in by_section.items():
        before: Section = getattr(sections, section)
        changed[section] = type(before).model_validate(before.model_dump(mode="json") | values)
    return sections.model_copy(update=dict(changed))


def unreleased(settings: Settings, pinned: Mapping[str, object]) -> Iterator[tuple[str, object, object]]:
    """(name, released value, value of hcf.toml) of each setting that would change an answer once it is released."""
    follows = {words.persona for words in WORDS.values()} if not settings.sections.chat.persona_prompt else frozenset()
    for name, value in serving_settings(settings).items():
        if name in pinned and pinned[name] != value and not (name == PROMPT and pinned[name] in follows):
            yield name, pinned[name], value


def tried(settings: Settings, names: list[str]) -> dict[str, object]:
    """The values of some settings that are tried without a release. Raises SettingsError for one that is built in."""
    served = serving_settings(settings)
    for name in names:
        if name not in served:
            raise SettingsError(
                zh=f"-s {name}：它改变的不是回答，而是要生成的东西；请写进 hcf.toml，再运行 hcf refresh。"
                f"可以试的有：{'、'.join(served)}。",
                en=f"-s {name} changes what is built, not how it answers: set it in hcf.toml and run hcf refresh. "
                f"What can be tried: {', '.join(served)}.",
            )
    return {name: served[name] for name in names}
