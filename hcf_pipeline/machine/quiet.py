"""Keeps libraries from talking over our own messages while models load."""

from __future__ import annotations

import logging
import warnings


def quiet_libraries() -> None:
    """No bars for files that load in a moment, no advice on optional kernels, no deprecations that are not ours to mend.

    Errors still show. Imports transformers, so call it where models are loaded.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft|trl|accelerate)\.")
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
