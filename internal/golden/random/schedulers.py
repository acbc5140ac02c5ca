"""Writes cases of schedulers with random options, as diffusers 0.31 (with scipy) computes them:

    python3 internal/golden/random/schedulers.py DIRECTORY --cases 500 --seed 1 [--across]
    LANEWISE_GOLDEN=DIRECTORY go test -count=1 ./internal/golden

The directory is a root like testdata, group D_schedulers. Every case has a few runs, with random numbers of steps,
starts and custom times. With --across, a class reads the file of another one, as from_config does. Options that
diffusers itself fails at are told and left out. The tolerance of a run is 8 times what float32 is off by in it, and
at least 1e-5 of the largest value. What a case may still be off by is DDIM's first step with eta 1 on a zero-terminal
schedule: there diffusers takes the root of what is left of 1 - 1 by rounding.
"""

import argparse
import importlib
import json
import os
import random

import numpy as np
import torch
from safetensors.numpy import save_file

MODULES = {
    "DDIMScheduler": "ddim",
    "DDPMScheduler": "ddpm",
    "DPMSolverMultistepScheduler": "dpmsolver_multistep",
    "EulerAncestralDiscreteScheduler": "euler_ancestral_discrete",
    "EulerDiscreteScheduler": "euler_discrete",
    "HeunDiscreteScheduler": "heun_discrete",
    "LCMScheduler": "lcm",
    "PNDMScheduler": "pndm",
    "TCDScheduler": "tcd",
    "UniPCMultistepScheduler": "unipc_multistep",
}
SIGMA_SPACE = {"EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler"}
SOLVERS = {"DPMSolverMultistepScheduler", "UniPCMultistepScheduler"}
DISTILLED = {"LCMScheduler", "TCDScheduler"}
CLIPPING = {"DDIMScheduler", "DDPMScheduler", "HeunDiscreteScheduler"} | DISTILLED
THRESHOLDING = {"DDIMScheduler", "DDPMScheduler"} | SOLVERS | DISTILLED
NO_ZERO_TERMINAL = {"HeunDiscreteScheduler", "PNDMScheduler"}
TAKES_TIMES = {"DDPMScheduler", "DPMSolverMultistepScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler"} | DISTILLED

NOISES = 80  # that a case holds
NOISED_TIMES = [2, 497, 401]  # of add_noise; no custom times, since diffusers looks those up elsewhere

modules = {name: importlib.import_module("diffusers.schedulers.scheduling_" + m) for name, m in MODULES.items()}
classes = {name: getattr(m, name) for name, m in modules.items()}


def options(rng, cls):
    """Returns the keys of a scheduler_config.json of a class."""
    d = {}

    def maybe(key, values, chance=0.4):
        if rng.random() < chance:
            d[key] = rng.choice(values)

    further = {"DDPMScheduler": ["sigmoid"], "HeunDiscreteScheduler": ["exp"]}
    maybe("beta_schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"] + further.get(cls, []), 0.6)
    if rng.random() < 0.5:
        d["beta_start"], d["beta_end"] = rng.choice([(0.00085, 0.012), (0.0001, 0.02), (0.0005, 0.015)])
    maybe("num_train_timesteps", [500, 750, 1000], 0.1)
    if rng.random() < 0.08:
        d["trained_betas"] = np.linspace(1e-4, 0.03, 1000).tolist()
    predictions = ["epsilon", "v_prediction", "sample"]
    if cls in ("PNDMScheduler", "EulerAncestralDiscreteScheduler"):
        predictions.remove("sample")
    maybe("prediction_type", predictions, 0.7)
    maybe("timestep_spacing", ["leading", "linspace", "trailing"], 0.7)
    maybe("steps_offset", [0, 1], 0.3)
    if cls not in NO_ZERO_TERMINAL:
        maybe("rescale_betas_zero_snr", [True], 0.2)
    if cls in CLIPPING:
        maybe("clip_sample", [True, False], 0.5)
        maybe("clip_sample_range", [0.7, 1.5, 3.0], 0.3)
    if cls in THRESHOLDING:
        maybe("thresholding", [True], 0.25)
        maybe("dynamic_thresholding_ratio", [0.5, 0.9, 1.0], 0.3)
        maybe("sample_max_value", [1.0, 1.7, 3.0], 0.3)
    if cls in {"DDIMScheduler", "PNDMScheduler"} | DISTILLED:
        maybe("set_alpha_to_one", [True, False])
    if cls == "PNDMScheduler":
        maybe("skip_prk_steps", [True, False], 0.7)
    if cls == "DDPMScheduler":
        maybe("variance_type", ["fixed_small", "fixed_small_log", "fixed_large", "learned_range"], 0.7)
    if cls in ("EulerDiscreteScheduler", "HeunDiscreteScheduler"):
        maybe(rng.choice(["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"]), [True], 0.6)
    if cls == "EulerDiscreteScheduler":
        maybe("sigma_min", [0.05, 0.2], 0.2)
        maybe("sigma_max", [8.0, 12.0], 0.2)
        maybe("final_sigmas_type", ["sigma_min"])
        maybe("interpolation_type", ["log_linear"], 0.2)
        maybe("timestep_type", ["continuous"], 0.15)
    if cls in SOLVERS:
        maybe("use_karras_sigmas", [True], 0.3)
        maybe("solver_order", [1, 2, 3], 0.5)
        maybe("lower_order_final", [False], 0.3)
        maybe("final_sigmas_type", ["sigma_min"], 0.5)
    if cls == "DPMSolverMultistepScheduler":
        maybe("use_lu_lambdas", [True], 0.2)
        maybe("algorithm_type", ["dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver", "deis"], 0.7)
        maybe("solver_type", ["midpoint", "heun", "logrho"], 0.5)
        maybe("euler_at_final", [True], 0.2)
        maybe("lambda_min_clipped", [-5.1, -4.0, -2.0], 0.3)
        maybe("variance_type", ["learned", "learned_range"], 0.1)
        if d.get("algorithm_type") in ("dpmsolver", "sde-dpmsolver"):
            d["final_sigmas_type"] = "sigma_min"
        if d.get("algorithm_type", "").startswith("sde") and d.get("solver_order") == 3:
            d["solver_order"] = 2
        if "variance_type" in d:
            d["prediction_type"] = "epsilon"
    if cls == "UniPCMultistepScheduler":
        maybe("solver_order", [4], 0.1)
        maybe("predict_x0", [False], 0.3)
        maybe("solver_type", ["bh1", "bh2", "midpoint"], 0.6)
        maybe("disable_corrector", [[0], [0, 1, 2], [1, 5]], 0.3)
        if not d.get("predict_x0", True) or d.get("solver_type") == "bh1" or not d.get("lower_order_final", True):
            d["final_sigmas_type"] = "sigma_min"
    if cls in DISTILLED:
        maybe("original_inference_steps", [40, 50, 100])
        maybe("timestep_scaling", [5.0, 10.0], 0.3)
    return d


def arguments(rng, cls):
    """Returns what step is told besides the sample."""
    if cls == "DDIMScheduler":
        return {"eta": rng.choice([0.0, 0.3, 1.0]), "use_clipped_model_output": rng.random() < 0.3}
    if cls == "TCDScheduler":
        return {"eta": rng.choice([0.0, 0.3, 0.77, 1.0])}
    if cls == "EulerDiscreteScheduler" and rng.random() < 0.3:
        return {"s_churn": 6.0, "s_tmin": 0.05, "s_tmax": 8.0, "s_noise": 1.02}
    return {}


def formula(kind, x, t, learned):
    """The models of the group D_schedulers."""
    t = torch.tensor(float(t), dtype=x.dtype)
    said = x * t / (t + 1)
    if kind == "mix":
        said = 0.5 * said + 0.3 * torch.sin(2.5 * x + 0.005 * t)
    return torch.cat([said, torch.sin(3 * x)], 1) if learned else said


class Doubles:
    """Has diffusers compute in float64 where it asks for float32."""

    def __enter__(self):
        self.to = torch.Tensor.to

        def to(tensor, *args, **keys):
            args = [torch.float64 if a is torch.float32 else a for a in args]
            if keys.get("dtype") is torch.float32:
                keys["dtype"] = torch.float64
            return self.to(tensor, *args, **keys)

        torch.Tensor.to = to

    def __exit__(self, *_):
        torch.Tensor.to = self.to


def run(cls, config, tensors, dtype, steps, start, kind, learned, given, step):
    """Makes a run, and returns the scheduler, the initial scale, the states and the calls that drew noise."""
    s = classes[cls].from_config(config)
    drawn, states = [], []

    def noise(shape, **_):
        drawn.append(len(states))
        return torch.from_numpy(tensors["in.noise"][len(drawn) - 1].copy()).to(dtype)

    modules[cls].randn_tensor = noise
    s.set_timesteps(None if "timesteps" in given or "sigmas" in given else steps, **given)
    if dtype == torch.float64:
        for name in ("alphas_cumprod", "final_alpha_cumprod", "sigmas"):
            if isinstance(getattr(s, name, None), torch.Tensor):
                setattr(s, name, getattr(s, name).to(dtype))
    scale = float(s.init_noise_sigma)
    first = start * s.order
    if hasattr(s, "set_begin_index"):
        s.set_begin_index(first)
    x = torch.from_numpy(tensors["in.sample"]).to(dtype) * torch.tensor(scale, dtype=torch.float32).to(dtype)
    for t in s.timesteps[first:]:
        said = formula(kind, s.scale_model_input(x, t), t, learned)
        x = s.step(said, t, x, return_dict=False, **step)[0].to(dtype)
        states.append(x.numpy().copy())
    return s, scale, np.stack(states), drawn


def case(rng, cls, config):
    """Returns the tensors of a case and its entry in the index; there may be no run."""
    learned = config.get("variance_type", "").startswith("learned") and cls in ("DDPMScheduler", "DPMSolverMultistepScheduler")
    shape = (2, 3 if learned else 2, 3, 4)
    normal = lambda *shape: np.random.randn(*shape).astype(np.float32)
    tensors = {"in.sample": normal(*shape), "in.noise": normal(NOISES, *shape)}
    step, runs = arguments(rng, cls), {}
    for i in range(4):
        steps, kind, start, given = rng.choice([3, 4, 5, 7, 10, 13, 14, 15, 16, 20, 25, 33, 40]), rng.choice(["dummy", "mix"]), 0, {}
        chance = rng.random()
        if chance < 0.2 and cls in TAKES_TIMES:
            of = config.get("num_train_timesteps", 1000)
            given = {"timesteps": sorted(rng.sample([t for t in range(of) if t not in NOISED_TIMES], min(steps, 12)), reverse=True)}
        elif chance < 0.3 and cls == "EulerDiscreteScheduler":
            given = {"sigmas": [round(14 * 0.6**i, 6) for i in range(rng.choice([4, 9]))] + [0.0]}
        elif chance < 0.5 and cls in DISTILLED:
            given = rng.choice([{"original_inference_steps": 20}, {"strength": 0.6}, {"strength": 0.85}])
        elif chance < 0.5 and steps >= 7:
            start = rng.choice([1, 3, steps // 2])
        about = (steps, start, kind, learned, given, step)
        try:
            s, scale, states, drawn = run(cls, config, tensors, torch.float32, *about)
            with Doubles():
                exact = run(cls, config, tensors, torch.float64, *about)[2]
        except Exception as e:  # of any kind, where diffusers fails
            print(f"left out: {cls} {config}: {about}: {e!r}"[:400])
            continue
        largest, error = np.abs(states).max(), np.abs(states - exact)
        if not np.isfinite(states).all() or largest > 1e6:
            print(f"left out: {cls} {config}: {about}: not finite, or huge"[:400])
            continue
        name = f"run{i}"
        tensors |= {
            name + ".traj": states,
            name + ".final64": exact[-1].astype(np.float32),
            name + ".timesteps": s.timesteps.numpy(),
            name + ".noise_step": np.array(drawn, dtype=np.int64),
        }
        if cls in SIGMA_SPACE | SOLVERS:
            tensors[name + ".sigmas"] = s.sigmas.numpy().astype(np.float32)
        runs[name] = {
            "num_inference_steps": len(given.get("timesteps", [])) or len(given.get("sigmas", [0])) - 1 or steps,
            "start": start,
            "model": kind,
            "set_timesteps_kwargs": given,
            "init_noise_sigma": scale,
            "timesteps_dtype": str(s.timesteps.dtype).removeprefix("torch."),
            "n_calls": len(states),
            "atol": float(max(1e-5 * largest, 8 * error.max())),
            "atol_final": float(max(1e-5 * np.abs(states[-1]).max(), 2e-7 * largest, 8 * error[-1].max())),
        }
    levels = classes[cls].from_config(config).alphas_cumprod.numpy().astype(np.float32)
    x0, noise = normal(3, *shape[1:]), normal(3, *shape[1:])
    alpha = np.sqrt(levels[NOISED_TIMES].astype(np.float64)).reshape(3, 1, 1, 1)
    noised = alpha * x0 + np.sqrt(1 - alpha**2) * noise
    if cls in SIGMA_SPACE:
        noised /= alpha
    tensors |= {
        "alphas_cumprod": levels,
        "add_noise.x0": x0,
        "add_noise.noise": noise,
        "add_noise.t": np.array(NOISED_TIMES, dtype=np.int64),
        "add_noise.y": noised.astype(np.float32),
    }
    return tensors, {"cls": cls, "step_kwargs": step, "runs": runs}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory")
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--across", action="store_true", help="have classes read files of others")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    np.random.seed(args.seed)
    index = {}
    while len(index) < args.cases:
        cls = rng.choice(sorted(classes))
        owner = rng.choice(sorted(classes)) if args.across else cls
        config = options(rng, owner)
        if owner != cls and rng.random() < 0.3:
            config = options(rng, cls) | config
        if "trained_betas" in config:
            config["num_train_timesteps"] = 1000
        if config.get("rescale_betas_zero_snr") and config.get("prediction_type", "epsilon") == "epsilon":
            config["prediction_type"] = "v_prediction"  # a prediction of noise says nothing where there is nothing else
        try:
            tensors, entry = case(rng, cls, config)
        except Exception as e:  # of the constructor
            print(f"left out: {cls} {config}: {e!r}"[:400])
            continue
        if not entry["runs"]:
            continue
        name = f"D_schedulers/{cls}/{len(index):04d}"
        os.makedirs(os.path.join(args.directory, name))
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, os.path.join(args.directory, name, "io.safetensors"))
        with open(os.path.join(args.directory, name, "scheduler_config.json"), "w") as f:
            json.dump({"_class_name": owner} | config, f)
        index[name] = entry
    with open(os.path.join(args.directory, "index.json"), "w") as f:
        json.dump(index, f)


main()
