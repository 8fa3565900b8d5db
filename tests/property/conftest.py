"""How the property tests run: `HYPOTHESIS_PROFILE=long` for ten times the examples."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

from streams import distinct

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]

settings.register_profile(
    "ci",
    max_examples=200,
    deadline=None,
    print_blob=True,
    suppress_health_check=CHECKS,
    phases=PHASES,
)
settings.register_profile("long", settings.get_profile("ci"), max_examples=1_000)
distinct.MAX_EXACT = 2  # so that four users are enough for a sketch, which counts so few exactly
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
