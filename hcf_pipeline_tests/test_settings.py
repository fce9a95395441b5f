"""hcf.toml, profiles and the environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hcf_pipeline.errors import SettingsError
from hcf_pipeline.settings import Sections, Settings
from hcf_pipeline.settings.file import PROFILES, load_settings
from hcf_pipeline.settings.reference import reference
from hcf_pipeline.settings.types import Kind, Section


def load(folder: Path, text: str, **environ: str) -> Settings:
    (folder / "hcf.toml").write_text(text, encoding="utf-8")
    return load_settings(folder / "hcf.toml", environ=environ)


def test_an_empty_file_gives_the_embedded_profile_and_a_home_beside_it(tmp_path: Path) -> None:
    settings = load(tmp_path, "")
    assert settings.sections.base.model == settings.sections.encoder.model == "embedded"
    assert settings.home == tmp_path / ".hcf"
    assert settings.corpus_path == tmp_path / "data" / "sample"


def test_the_qwen_profile_names_the_real_models_pinned_by_commit(tmp_path: Path) -> None:
    sections = load(tmp_path, 'profile = "qwen"').sections
    assert (sections.base.model, sections.encoder.model) == ("Qwen/Qwen1.5-4B-Chat", "BAAI/bge-small-zh-v1.5")
    assert (sections.lora.r, sections.lora.alpha, sections.base.quantize) == (16, 32, "auto")
    assert len(sections.base.revision) == len(sections.encoder.revision) == 40


def test_the_environment_wins_over_the_profiles_table_over_the_section_over_the_profile(tmp_path: Path) -> None:
    text = "[lora]\nr = 3\nalpha = 5\nbatch_size = 7\n[profiles.embedded.lora]\nalpha = 6\nbatch_size = 9\n"
    lora = load(tmp_path, text, HCF_LORA__BATCH_SIZE="11").sections.lora
    assert (lora.r, lora.alpha, lora.batch_size, lora.max_length) == (3, 6, 11, 512)


@pytest.mark.parametrize(
    ("variable", "value", "section", "key", "expected"),
    [
        ("HCF_CORPUS__PATH", "/some/where", "corpus", "path", Path("/some/where")),
        ("HCF_LORA__R", "4", "lora", "r", 4),
        ("HCF_LORA__LEARNING_RATE", "1e-3", "lora", "learning_rate", 1e-3),
        ("HCF_CHUNKS__MAX_CHARS", "300", "chunks", "max_chars", 300),
        ("HCF_CORPUS__HOST_LABELS", "甲,乙", "corpus", "host_labels", ["甲", "乙"]),
        ("HCF_CORPUS__NOISE", '["^a,b"]', "corpus", "noise", ["^a,b"]),
        ("HCF_LORA__GRADIENT_CHECKPOINTING", "true", "lora", "gradient_checkpointing", True),
        ("HCF_CHAT__SEED", "7", "chat", "seed", 7),
        ("HCF_BASE__REVISION", "1234567", "base", "revision", "1234567"),
    ],
)
def test_any_setting_can_be_given_in_the_environment(
    tmp_path: Path, variable: str, value: str, section: str, key: str, expected: object
) -> None:
    sections = load(tmp_path, "", **{variable: value}).sections
    assert getattr(getattr(sections, section), key) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[lora]\nalpha = 3\nrr = 8", r"hcf\.toml:3: there is no setting \[lora\] rr\. Did you mean r\?"),
        ("\n[lorra]\nr = 8", r"hcf\.toml:2: there is no setting \[lorra\]\. Did you mean lora\?"),
        ('[lora]\nr = "8"', r'hcf\.toml:2: \[lora\] r = "8" is not possible; allowed is an integer \(≥ 1, ≤ 1024\)'),
        ("[lora]\nr = 0", r"hcf\.toml:2: .*≥ 1"),
        ("[lora]\nepochs = true", r"hcf\.toml:2: .*a number"),
        ('[base]\nquantize = "8bit"', r'hcf\.toml:2: .*one of "auto", "4bit", "none"'),
        ("[corpus]\nhost_labels = []", r"hcf\.toml:2: .*not empty"),
        ('[corpus]\nhost_labels = ["甲："]', r"hcf\.toml:2: .*without its colon"),
        ('[corpus]\nhost_labels = ["甲"]\nguest_labels = ["甲"]', r"hcf\.toml:1: .*on one side only"),
        ('[corpus]\nguest_labels = ["甲"]\nother_labels = ["甲"]', r"甲 stands in guest_labels and in other_labels"),
        ('[corpus]\nnot_labels = ["水友"]', r"水友 stands in guest_labels and in not_labels"),
        ('[corpus]\nlost_pattern = "("', r"hcf\.toml:2: .*regular expression"),
        ('[corpus]\ndate_pattern = "\\\\d+"', r"hcf\.toml:2: .*groups"),
        ('[corpus]\nnoise = ["("]', r"hcf\.toml:2: .*regular expression"),
        ('[chat]\npersona_prompt = "{name}"', r"hcf\.toml:2: .*\{persona\}"),
        ("[lora]\nr = 2024-01-01", r"hcf\.toml:2: .*an integer"),
        ("lora = 3", r"hcf\.toml:1: .*a table"),
        ("[lora", r"hcf\.toml is not valid TOML.*line 1|at end of document"),
        ('profile = "big"', "no profile 'big'; there are: embedded, gte-base, qwen, qwen3"),
    ],
)
def test_a_mistake_is_one_sentence_with_file_line_key_and_what_is_allowed(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refusal:
        load(tmp_path, text)
    assert "\n" not in refusal.value.zh.strip()


@pytest.mark.parametrize(
    ("variable", "value"), [("HCF_LORA__R", "x"), ("HCF_LORA__RR", "1"), ("HCF_NOPE__R", "1"), ("HCF_CHAT__SEED", "a")]
)
def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        load(tmp_path, "", **{variable: value})


def test_no_file_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="hcf init"):
        load_settings(tmp_path / "hcf.toml", environ={})


def test_what_an_asset_reads_is_named_by_section_or_by_key_and_nothing_else_is_in_it(tmp_path: Path) -> None:
    settings = load(tmp_path, "[chunks]\nmax_chars = 300\n[corpus]\nnoise = ['x']\n")
    assert settings.reads("chunks.max_chars", "corpus.noise") == {"chunks.max_chars": 300, "corpus.noise": ["x"]}
    assert settings.reads("chunks") == {f"chunks.{k}": v for k, v in settings.sections.chunks.model_dump().items()}
    with pytest.raises(KeyError):
        settings.reads("chunks.no_such_key")


def test_what_changes_only_a_run_gets_into_no_recipe(tmp_path: Path) -> None:
    settings = load(tmp_path, "")
    lora = set(settings.reads("lora"))
    assert "lora.batch_size" in lora and not lora & {"lora.checkpoint_steps", "lora.held_out_samples"}
    for name in ("lora.checkpoint_steps", "chat.device", "encoder.batch_size", "corpus.path", "refresh.cron"):
        with pytest.raises(ValueError, match="changes a run"):
            settings.reads(name)


def test_what_is_answered_from_the_same_assets_is_listed_with_its_values(tmp_path: Path) -> None:
    serving = load(tmp_path, "[chat]\ntemperature = 0.25\n").serving()
    assert serving["chat.temperature"] == 0.25 and serving["encoder.query_prompt"] == ""
    assert {name.partition(".")[0] for name in serving} == {"corpus", "lora", "retrieval", "chat", "encoder"}
    assert not serving.keys() & {"chat.device", "chat.persona_prompt", "retrieval.questions", "encoder.model"}


def test_every_setting_is_of_exactly_one_kind() -> None:
    for name, field in Sections.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            assert set(section.kinds()) == set(section.model_fields), name
            for key, described in section.model_fields.items():
                marks = [mark for mark in described.metadata if isinstance(mark, Kind)]
                assert len(marks) <= 1, (name, key)
                assert marks != [section.kind], f"[{name}] {key} is marked as what its section is anyway"


@pytest.mark.parametrize(
    ("key", "value"), [("cron", "every day"), ("cron", ""), ("train_cron", "1 2 3"), ("timezone", "Mars/Olympus")]
)
def test_a_schedule_that_cannot_be_is_refused_with_its_line(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"hcf\.toml:2: \[refresh\] {key}"):
        load(tmp_path, f'[refresh]\n{key} = "{value}"\n')


def test_the_home_is_the_options_then_the_environments_then_the_files(tmp_path: Path) -> None:
    text = 'home = "built"\n'
    assert load(tmp_path, text).home == tmp_path / "built"
    assert load(tmp_path, text, HCF_HOME="/var/hcf").home == Path("/var/hcf")
    assert load_settings(tmp_path / "hcf.toml", home=Path("/mine"), environ={"HCF_HOME": "/var/hcf"}).home == Path(
        "/mine"
    )


@pytest.mark.parametrize("name", sorted(path.stem for path in PROFILES.glob("*.toml")))
def test_every_profile_is_valid(tmp_path: Path, name: str) -> None:
    assert load(tmp_path, "", HCF_PROFILE=name).sections.profile == name


def test_the_reference_of_settings_is_the_schemas() -> None:
    written = (Path(__file__).parents[1] / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == reference()


def test_every_setting_says_what_it_means() -> None:
    for section, field in Sections.model_fields.items():
        for key, described in getattr(field.annotation, "model_fields", {}).items():
            assert described.description, (section, key)


@pytest.mark.parametrize("page", ["docs/models.md", "docs/zh/models.md"])
def test_the_settings_that_the_page_on_models_shows_can_be_used(tmp_path: Path, page: str) -> None:
    text = (Path(__file__).parents[1] / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        load(tmp_path, block)
        load(tmp_path, re.sub(r"^# (?=\w+ = )", "", block, flags=re.MULTILINE))  # what stands there to be chosen


@pytest.mark.parametrize("name", sorted(path.stem for path in PROFILES.glob("*.toml")))
def test_every_model_of_the_hub_that_a_profile_names_is_pinned_by_commit(tmp_path: Path, name: str) -> None:
    sections = load(tmp_path, "", HCF_PROFILE=name).sections
    named = [
        (sections.base.model, sections.base.revision),
        (sections.encoder.model, sections.encoder.revision),
        (sections.retrieval.reranker, sections.retrieval.reranker_revision),
    ]
    for model, revision in named:
        assert model in ("", "embedded") or re.fullmatch(r"[0-9a-f]{40}", revision)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ('base_url = "127.0.0.1:11434"', "a web address"),
        ('base_url = "ftp://host/v1"', "a web address"),
        ('base_url = "http:///v1"', "a web address"),
        ('base_url = "http://host:x/v1"', "a web address"),
        ('base_url = "https://me:secret@host/v1"', "without user, password"),
        ('base_url = "https://host/v1?key=secret"', "without user, password"),
        ('api_key_env = "sk-secret"', "never the key itself"),
        ('api_key_env = "secret0a1b2c"', "never the key itself"),
        ("timeout_s = 0", "> 0"),
    ],
)
def test_an_address_or_a_key_in_the_wrong_place_is_refused_and_no_secret_shown(
    tmp_path: Path, given: str, said: str
) -> None:
    for section, text in (("encoder", given), ("retrieval", "reranker_" + given.replace("base_url", "url"))):
        if section == "retrieval" and "timeout" in given:
            continue
        with pytest.raises(SettingsError, match=rf"hcf\.toml:2: .*{said}") as refused:
            load(tmp_path, f"[{section}]\n{text}\n")
        assert "secret" not in refused.value.en + refused.value.zh


def test_an_address_is_taken_with_or_without_the_slash_at_its_end(tmp_path: Path) -> None:
    given = load(tmp_path, '[encoder]\nbase_url = "http://[::1]:80/v1/"\n').sections.encoder.base_url
    assert given == "http://[::1]:80/v1"
