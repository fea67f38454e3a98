"""What sbi's neural posterior estimation makes of simulations; run by hh_posterior_vs_sbi.py in sbi's own environment.

python benchmarks/sbi_peer.py input.npz output.npz [maf|nsf]

Input: x_train (N, F) and x_test (n, F), features; u_train (N, K) and u_test (n, K), unit parameters in [-1, 1]. The
flow learns logits of the prior box, so that no mass lies outside of it; everything else is sbi's default. Output:
gain_test (n,), log density of the truth over that of the prior (nats);
above (n,), share of draws of higher density than the
truth; seconds and cpu_seconds of the training, epochs.
"""

import contextlib
import io
import sys
import time

import numpy as np
import torch
from sbi.inference import NPE

SEED, TESTED, DRAWS = 1, 1000, 500
# the logit of single precision stays finite
EDGE = 1 - 1e-6


def logit(unit: np.ndarray) -> torch.Tensor:
    """Logits of unit parameters."""
    p = (np.clip(unit, -EDGE, EDGE) + 1) / 2
    return torch.tensor(np.log(p) - np.log1p(-p), dtype=torch.float32)


def prior(z: torch.Tensor) -> torch.Tensor:
    """Log density of logits of the uniform prior."""
    return (torch.nn.functional.logsigmoid(z) + torch.nn.functional.logsigmoid(-z)).sum(-1)


def main(source: str, target: str, flow: str = "maf") -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    data = np.load(source)
    x, x_test = (torch.tensor(data[key], dtype=torch.float32) for key in ("x_train", "x_test"))
    z, z_test = logit(data["u_train"]), logit(data["u_test"])
    start, cpu = time.monotonic(), time.process_time()
    # the posterior is used as the flow that it is, without a prior to reject with
    trainer = NPE(density_estimator=flow)
    with contextlib.redirect_stdout(io.StringIO()):
        estimator = trainer.append_simulations(z, x).train()
    seconds, cpu_seconds = time.monotonic() - start, time.process_time() - cpu
    with torch.no_grad():
        gain = (estimator.log_prob(z_test[None], x_test)[0] - prior(z_test)).numpy()
        above = []
        for i in range(min(TESTED, len(x_test))):
            drawn = estimator.sample((DRAWS,), x_test[i : i + 1])
            density = estimator.log_prob(drawn, x_test[i : i + 1])[:, 0] - prior(drawn[:, 0])
            above.append(float((density > gain[i]).float().mean()))
    epochs = trainer.summary["epochs_trained"][-1]
    np.savez(target, gain_test=gain, above=above, seconds=seconds, cpu_seconds=cpu_seconds, epochs=epochs)


if __name__ == "__main__":
    main(*sys.argv[1:])
