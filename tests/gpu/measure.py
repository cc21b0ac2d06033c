"""The checks and measurements for run.sh."""
import argparse
import hashlib
import json
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

# Tolerances of logits and gradients of a first step against f32 on the processor: TF32 multiplies 10-bit mantissas, bf16 stores 8.
BOUNDS = {"f32": (1e-3, 2e-2), "tf32": (2e-2, 0.3), "bf16": (0.1, 1.0)}
PIPELINE = """pipeline gpu seed=3 {
    synthetic eyes { photographs 12; size 512 }
    extract patches { from eyes; size 64 }
    split folds { from patches }
    augment views { from folds.train; flip horizontal=0.5; rotate degrees=15 }
    train classifier {
        data views
        valid folds.valid
        network resnet18
        epochs 6
        batch 16
        device cuda
        precision bf16
    }
}
"""


def call(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def last_line(command):
    return json.loads(call(command).splitlines()[-1])


def check(a):
    """Gradients, determinism, resume, per network and precision."""
    failed = []
    print("| network | precision | logit error | gradient error | worst | repeatable | resumable |\n|---|---|---|---|---|---|---|")
    for network in a.networks:
        for precision, (of_logits, of_gradients) in BOUNDS.items():
            command = [a.macula, "bench", "check", "--device", "cuda", "--network", network, "--precision", precision]
            command += ["--size", "96", "--batch", "8", "--steps", "6"]
            one, two = last_line(command), last_line(command)
            same, resumed = one["digest"] == two["digest"], one["digest"] == one["resumed"]
            print(f"| {network} | {precision} | {one['logits']:.1e} | {one['gradients']:.1e} | {one['worst']} | {same} | {resumed} |", flush=True)
            if not (same and resumed and one["logits"] <= of_logits and one["gradients"] <= of_gradients):
                failed.append(f"{network} in {precision}: {one} and {two['digest']}")
    return failed


def weights(folder):
    return hashlib.sha256((folder / "results/gpu/classifier/last.safetensors").read_bytes()).hexdigest()


def killed(a):
    """A training killed five times ends in the same bytes as an undisturbed one."""
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as broken:
        for folder in (whole, broken):
            (pathlib.Path(folder) / "gpu.kdl").write_text(PIPELINE)
        start = time.monotonic()
        call([a.macula, "run", "gpu.kdl"], cwd=whole)
        seconds = time.monotonic() - start
        for kill in range(5):
            run = subprocess.Popen([a.macula, "run", "gpu.kdl"], cwd=broken, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(seconds * (0.3 + 0.1 * kill))
            run.send_signal(signal.SIGTERM if kill % 2 else signal.SIGKILL)
            run.wait()
        call([a.macula, "run", "gpu.kdl"], cwd=broken)
        same = weights(pathlib.Path(whole)) == weights(pathlib.Path(broken))
    print(f"\nA training killed five times ends in the same bytes: {same}")
    return [] if same else ["a killed training differs"]


def torch_side(a):
    import torch
    import torchvision

    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = a.precision == "tf32"
    if a.network == "efficientnet-lite0":
        import timm

        net = timm.create_model("efficientnet_lite0", num_classes=4)
    else:
        net = getattr(torchvision.models, a.network)(num_classes=4)
    net = net.cuda().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, weight_decay=1e-5, fused=True)
    host = torch.rand(a.batch, 3, a.size, a.size).pin_memory()
    y = (torch.rand(a.batch, 4, device="cuda") < 0.3).float()
    amp = torch.autocast("cuda", dtype=torch.bfloat16, enabled=a.precision == "bf16")

    def step():
        # From the host in every step, as in macula.
        x = host.cuda(non_blocking=True).to(memory_format=torch.channels_last)
        with amp:
            logits = net(x).float()
        bce = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
        loss = (bce * (1 - torch.exp(-bce)) ** 2).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def infer():
        with torch.no_grad(), amp:
            net(host.cuda(non_blocking=True).to(memory_format=torch.channels_last))

    net.train(a.one == "train")
    times = []
    for at in range(10 + a.steps):
        torch.cuda.synchronize()
        start = time.perf_counter()
        (step if a.one == "train" else infer)()
        torch.cuda.synchronize()
        if at >= 10:
            times.append(time.perf_counter() - start)
    ms = statistics.median(times) * 1e3
    print(json.dumps({"ms": ms, "images_per_s": a.batch / ms * 1e3, "gpu_mib": torch.cuda.max_memory_allocated() >> 20}))


def speed(a):
    """macula and PyTorch, alternating."""
    import torch

    print(f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}, batch {a.batch}\n")
    print("| network | what | px | precision | macula, images/s | PyTorch | ratio | MiB | PyTorch |\n|---|---|---|---|---|---|---|---|---|")
    for network in a.networks:
        for what in ("train", "infer"):
            for size in a.sizes:
                for precision in BOUNDS:
                    common = ["--network", network, "--size", str(size), "--batch", str(a.batch), "--steps", str(a.steps), "--precision", precision]
                    ours = [a.macula, "bench", what, "--device", "cuda", "--warmup", "10", "--json", *common]
                    theirs = [sys.executable, __file__, "--one", what, *common]
                    rounds = [(last_line(ours), last_line(theirs)) for _ in range(a.rounds)]
                    rate = [statistics.median(run[side]["images_per_s"] for run in rounds) for side in (0, 1)]
                    memory = [max(run[side]["gpu_mib"] for run in rounds) for side in (0, 1)]
                    print(
                        f"| {network} | {what} | {size} | {precision} | {rate[0]:.0f} | {rate[1]:.0f} | {rate[0] / rate[1]:.2f} | {memory[0]} | {memory[1]} |",
                        flush=True,
                    )


p = argparse.ArgumentParser(description=__doc__)
p.add_argument("--macula")
p.add_argument("--networks", nargs="+", default=["resnet18", "resnet50", "efficientnet-lite0"])
p.add_argument("--sizes", nargs="+", type=int, default=[128, 224])
p.add_argument("--batch", type=int, default=256)
p.add_argument("--steps", type=int, default=50)
p.add_argument("--rounds", type=int, default=3)
p.add_argument("--quick", action="store_true", help="the checks alone")
# This script calls itself to measure PyTorch.
p.add_argument("--one", choices=["train", "infer"], help=argparse.SUPPRESS)
p.add_argument("--network", help=argparse.SUPPRESS)
p.add_argument("--size", type=int, help=argparse.SUPPRESS)
p.add_argument("--precision", help=argparse.SUPPRESS)
a = p.parse_args()
if a.one:
    torch_side(a)
else:
    failed = check(a) + killed(a)
    if not a.quick:
        speed(a)
    if failed:
        sys.exit("\n".join(failed))
