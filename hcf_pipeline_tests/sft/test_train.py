from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from datasets import load_from_disk
from safetensors.torch import load_file

from hcf_pipeline.errors import DataError
from hcf_pipeline.settings import LoraSettings
from hcf_pipeline.sft import checkpoints
from hcf_pipeline.sft.base_model import load_base, load_tokenizer
from hcf_pipeline.sft.train import TrainReport, train_adapter
from hcf_pipeline.sft.training_log import TrainProgress
from hcf_pipeline_tests.sft.conftest import LORA

RUN = """
import sys
from pathlib import Path
from hcf_pipeline.settings import LoraSettings
from hcf_pipeline.sft.train import train_adapter
base, samples, work, out, lora = sys.argv[1:]
train_adapter(Path(base), Path(samples), LoraSettings.model_validate_json(lora), "none", "cpu", Path(work), Path(out),
              lambda p: print(p.step, flush=True))
"""


@dataclass(frozen=True)
class Trained:
    work: Path
    out: Path
    report: TrainReport
    seen: list[TrainProgress]


def train(base: Path, samples: Path, folder: Path, lora: LoraSettings = LORA, quantize: str = "none") -> Trained:
    seen: list[TrainProgress] = []
    work, out = folder / "work", folder / "out"
    work.mkdir(parents=True, exist_ok=True)
    report = train_adapter(base, samples, lora, quantize, "cpu", work, out, seen.append)  # type: ignore[arg-type]
    return Trained(work, out, report, seen)


@pytest.fixture(scope="session")
def trained(base: Path, samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(base, samples, tmp_path_factory.mktemp("trained"))


def test_the_loss_is_on_the_hosts_words_and_his_end_of_turn_alone(base: Path, samples: Path, tmp_path: Path) -> None:
    from hcf_pipeline.sft.train import _config, _lora_config
    from hcf_pipeline.sft.trainer import make_trainer

    tokenizer = load_tokenizer(base)
    dataset = load_from_disk(samples, keep_in_memory=True)["train"]
    config = _config(LORA, tmp_path, len(dataset), "cpu")
    trainer = make_trainer(load_base(base, "cpu"), tokenizer, dataset, config, _lora_config(LORA), "run", print)
    for raw, row in zip(dataset, trainer.train_dataset, strict=True):
        learnt = tokenizer.decode([label for label in row["labels"] if label != -100])
        said = [message["content"] for message in raw["messages"] if message["role"] == "assistant"]
        assert learnt == "".join(words + "<|im_end|>" for words in said)
    batch = next(iter(trainer.get_train_dataloader()))
    ours = trainer.compute_loss(trainer.model, dict(batch))
    plain = trainer.model.get_base_model()(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"]
    ).loss
    torch.testing.assert_close(ours, plain)


def test_the_result_is_a_standard_adapter_that_peft_loads(trained: Trained, base: Path) -> None:
    from peft import PeftModel

    assert {path.name for path in trained.out.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "training_log.jsonl",
        "loss.png",
    }
    tokenizer = load_tokenizer(base)
    ids = torch.tensor([tokenizer("链条响了怎么办？")["input_ids"]])
    with torch.no_grad():
        before = load_base(base, "cpu")(input_ids=ids).logits
        after = PeftModel.from_pretrained(load_base(base, "cpu"), str(trained.out))(input_ids=ids).logits
    assert not torch.allclose(before, after)


def test_nothing_in_the_adapter_names_a_folder_of_this_machine(trained: Trained, base: Path) -> None:
    for path in trained.out.iterdir():
        assert str(base).encode() not in path.read_bytes()
    config = json.loads((trained.out / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == "embedded"
    assert config["target_modules"] == sorted(LORA.target_modules)


def test_the_report_and_the_log_tell_what_happened(trained: Trained) -> None:
    report = trained.report
    assert report.steps == len(trained.seen) == LORA.max_steps
    assert report.n_samples_seen == LORA.max_steps * LORA.batch_size
    assert report.share_seen == pytest.approx(20 / 27)
    assert report.n_too_long == 0
    assert report.resumed_from is None
    assert report.held_out_loss is not None
    assert report.held_out_loss_base is not None
    assert report.held_out_loss < report.held_out_loss_base
    rows = [json.loads(line) for line in (trained.out / "training_log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in rows[:-1]] == list(range(1, LORA.max_steps + 1))
    assert rows[-1]["held_out_loss"] == report.held_out_loss
    assert (trained.out / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_training_writes_nothing_into_base_or_samples_and_keeps_two_checkpoints(
    trained: Trained, base: Path, samples: Path
) -> None:
    assert not list(samples.rglob("cache*"))
    assert {path.name for path in samples.iterdir()} == {"dataset_dict.json", "report.json", "train", "held_out"}
    assert sorted(path.name for path in trained.work.iterdir()) == ["checkpoint-10", "checkpoint-8"]


def test_a_killed_run_goes_on_from_its_checkpoint_to_the_very_same_bytes(
    base: Path, samples: Path, tmp_path: Path
) -> None:
    # more steps than an epoch has, so that the order of a later epoch is resumed too
    lora = LORA.model_copy(update={"max_steps": 24, "checkpoint_steps": 5})
    undisturbed = train(base, samples, tmp_path / "undisturbed", lora)

    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    command = [sys.executable, "-c", RUN, *map(str, (base, samples, work, out)), lora.model_dump_json()]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert killed.stdout is not None
    for line in killed.stdout:
        if line.strip() == "17":
            break
    os.killpg(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not out.exists()

    resumed = train_adapter(base, samples, lora, "none", "cpu", work, out)
    assert resumed.resumed_from == 15
    for name in ("adapter_model.safetensors", "adapter_config.json", "training_log.jsonl"):
        assert (out / name).read_bytes() == (undisturbed.out / name).read_bytes()


@pytest.mark.parametrize("harm", ["missing", "flipped", "no manifest"])
def test_a_broken_checkpoint_is_passed_over_for_an_older_whole_one(trained: Trained, tmp_path: Path, harm: str) -> None:
    import shutil

    shutil.copytree(trained.work, tmp_path / "work")
    newest = tmp_path / "work" / "checkpoint-10"
    run = json.loads((newest / checkpoints.MANIFEST).read_text(encoding="utf-8"))["run"]
    assert checkpoints.newest(tmp_path / "work", run) == newest
    optimizer = newest / "optimizer.pt"
    if harm == "missing":
        optimizer.unlink()
    elif harm == "flipped":
        data = bytearray(optimizer.read_bytes())
        data[len(data) // 2] ^= 1
        optimizer.write_bytes(bytes(data))
    else:
        (newest / checkpoints.MANIFEST).unlink()
    assert checkpoints.newest(tmp_path / "work", run) == tmp_path / "work" / "checkpoint-8"


def test_a_checkpoint_of_other_settings_is_not_continued(
    trained: Trained, base: Path, samples: Path, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(trained.work, tmp_path / "work")
    other = LORA.model_copy(update={"max_steps": 2, "alpha": 8})
    assert train(base, samples, tmp_path, other).report.resumed_from is None


def test_too_long_samples_are_left_out_and_counted_never_cut(base: Path, samples: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(base)
    texts = [
        tokenizer.apply_chat_template(messages, tokenize=False)
        for messages in load_from_disk(samples)["train"]["messages"]
    ]
    lengths = sorted(len(tokenizer(text)["input_ids"]) for text in texts)
    limit = lengths[len(lengths) // 2]
    lora = LORA.model_copy(update={"max_length": limit, "max_steps": 0, "epochs": 1.0, "batch_size": 4})
    report = train(base, samples, tmp_path, lora).report
    assert report.n_too_long == sum(length > limit for length in lengths)
    assert report.n_samples_seen == len(lengths) - report.n_too_long
    assert report.share_seen == 1
    with pytest.raises(DataError, match="longer than 32 tokens"):
        train(base, samples, tmp_path / "none", LORA.model_copy(update={"max_length": 32}))


def test_a_four_bit_base_trains_on_a_cpu(base: Path, samples: Path, tmp_path: Path) -> None:
    lora = LORA.model_copy(update={"max_steps": 2, "gradient_checkpointing": True, "gradient_accumulation": 2})
    trained = train(base, samples, tmp_path, lora, "4bit")
    weights = load_file(trained.out / "adapter_model.safetensors")
    assert all(weight.dtype == torch.float32 for weight in weights.values())
    assert any(weight.abs().sum() > 0 for name, weight in weights.items() if "lora_B" in name)


def test_importing_the_room_loads_no_heavy_library() -> None:
    code = (
        "import sys, hcf_pipeline.sft.train, hcf_pipeline.sft.samples, hcf_pipeline.sft.base_model\n"
        "heavy = {'torch', 'transformers', 'datasets', 'peft', 'trl', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stderr, time.monotonic() - started)
