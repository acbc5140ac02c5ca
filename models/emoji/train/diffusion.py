"""The noise schedule and DDIM, as model/scheduler/scheduler_config.json says to diffusers."""

import math

import torch

TIMES = 1000

CONFIG = {
    "_class_name": "DDIMScheduler",
    "_diffusers_version": "0.31.0",
    "num_train_timesteps": TIMES,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "timestep_spacing": "trailing",
    "thresholding": False,
    "rescale_betas_zero_snr": False,
    "trained_betas": None,
}


def signal():
    """[TIMES] the share of the picture's variance that is left: alphas_cumprod of squaredcos_cap_v2."""

    def bar(t):
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - bar((i + 1) / TIMES) / bar(i / TIMES), 0.999) for i in range(TIMES)]
    return torch.cumprod(1 - torch.tensor(betas, dtype=torch.float32), 0)


def mix(signal_t, x, noise):
    """The noisy picture and the velocity to predict, for pictures [B, 3, H, W] and signal_t [B]."""
    a, s = signal_t.sqrt()[:, None, None, None], (1 - signal_t).sqrt()[:, None, None, None]
    return a * x + s * noise, a * noise - s * x


@torch.no_grad()
def ddim(unet, states, style, empty, noise, steps, guidance, trace=None):
    """From noise [B, 3, H, W] to pictures in about [-1, 1], without new noise on the way.

    states [B, L, C] and style [B] are the condition; empty [1, L, C] and the label after the last style its absence.
    trace, a list, gets (t, x, absent, present) for each step.
    """
    b, none = len(noise), unet.config["num_class_embeds"] - 1
    context = torch.cat([empty.expand_as(states), states])
    label = torch.cat([torch.full_like(style, none), style])
    all_signal, x = signal().to(noise.device), noise
    for i in range(steps):
        t = round(TIMES - i * TIMES / steps) - 1
        before = t - TIMES // steps
        a, a_before = all_signal[t], all_signal[before] if before >= 0 else torch.ones(())
        times = torch.full((2 * b,), t, device=x.device)
        absent, present = unet(torch.cat([x, x]), times, context, label).chunk(2)
        v = absent + guidance * (present - absent)
        if trace is not None:
            trace.append((t, x, absent, present))
        x0 = a.sqrt() * x - (1 - a).sqrt() * v
        x = a_before.sqrt() * x0 + (1 - a_before).sqrt() * (a.sqrt() * v + (1 - a).sqrt() * x)
    return x
