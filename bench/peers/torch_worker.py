"""The work of bench/train.cc in PyTorch. Reads a folder of inputs, then answers each line of standard input, "THREADS
STEPS ANEW", with one line: the seconds of those steps, then the norms of their results (of a loss: itself). The training
starts anew if ANEW is 1, or on other threads than before.

python3 torch_worker.py TASK FORMAT LAYOUT FOLDER
"""

import json
import os
import shutil
import subprocess
import sys
import time

CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
ENVIRONMENT = os.path.join(CACHE, "faultline", "torch")
DEBIAN = "/usr/bin/python3"  # where python3-torch is


def has_torch(python):
    try:
        return subprocess.run([python, "-c", "import numpy, torch"], capture_output=True).returncode == 0
    except OSError:
        return False


def python_with_torch():
    """The newest torch of the registry in an environment of its own, else Debian's, else an error."""
    python = os.path.join(ENVIRONMENT, "bin", "python3")
    if has_torch(python):
        return python
    print("faultline: installing torch into %s, once" % ENVIRONMENT, file=sys.stderr, flush=True)
    for command in ["python3", "-m", "venv", ENVIRONMENT], [python, "-m", "pip", "install", "-q", "torch", "numpy"]:
        if subprocess.run(command, stdout=sys.stderr).returncode != 0:
            break
    else:
        if has_torch(python):
            return python
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    if has_torch(DEBIAN):
        return DEBIAN
    sys.exit("torch cannot be installed; apt-get install python3-torch python3-numpy")


# This text is all that the child process has: it goes on in the environment's interpreter.
try:
    import numpy
    import torch
except ImportError:
    python = python_with_torch()
    os.execv(python, [python] + sys.orig_argv[1:])


class LeNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = torch.nn.Conv2d(6, 16, 5)
        self.fc1 = torch.nn.Linear(16 * 5 * 5, 120)
        self.fc2 = torch.nn.Linear(120, 84)
        self.fc3 = torch.nn.Linear(84, 10)

    def forward(self, x):
        f = torch.nn.functional
        x = f.max_pool2d(f.relu(self.conv1(x)), 2)
        x = f.max_pool2d(f.relu(self.conv2(x)), 2)
        x = f.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc3(f.relu(self.fc2(x)))


class BasicBlock(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(channels)
        self.conv2 = torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(channels)

    def forward(self, x):
        f = torch.nn.functional
        return f.relu(self.bn2(self.conv2(f.relu(self.bn1(self.conv1(x))))) + x)


class Inputs:
    """Arrays that the C++ side wrote: index.json names and shapes, one raw little-endian file each."""

    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "index.json")) as file:
            self.index = json.load(file)

    def tensor(self, name):
        entry = self.index["arrays"][name]
        array = numpy.fromfile(os.path.join(self.folder, entry["file"]), dtype=entry["type"])
        return torch.from_numpy(array.reshape(entry["shape"]))

    def load(self, model):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(self.tensor(name))


def laid_out(thing, layout):
    """Images and kernels with the channels where torch's caller keeps them: a setting that its users choose by time."""
    return thing.to(memory_format=torch.channels_last) if layout == "channels_last" else thing


def autocast(format):
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=format == "bf16")


def lenet_step(inputs, format, layout):
    model = LeNet()
    inputs.load(model)
    model = laid_out(model, layout)
    setting = inputs.index
    optimizer = torch.optim.SGD(model.parameters(), setting["lr"], momentum=setting["momentum"], fused=True)
    batches = [(laid_out(x, layout), y) for x, y in zip(inputs.tensor("x"), inputs.tensor("labels").long())]

    def step(number):
        x, labels = batches[number % len(batches)]
        optimizer.zero_grad()
        with autocast(format):
            loss = torch.nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return [loss]

    return step


def basic_block_step(inputs, format, layout):
    model = BasicBlock(inputs.index["channels"])
    inputs.load(model)
    model = laid_out(model, layout)
    x, dy = laid_out(inputs.tensor("x"), layout).requires_grad_(), laid_out(inputs.tensor("dy"), layout)

    def step(number):
        model.zero_grad()
        x.grad = None
        with autocast(format):
            y = model(x)
        y.backward(dy)
        return [y, x.grad, model.conv1.weight.grad, model.conv2.weight.grad]

    return step


def main():
    task, format, layout, folder = sys.argv[1:]
    torch.use_deterministic_algorithms(True)
    # That mode also fills fresh memory, which no result depends on: torch is timed without it.
    if hasattr(torch.utils, "deterministic"):
        torch.utils.deterministic.fill_uninitialized_memory = False
    make_step = {"lenet": lenet_step, "basic_block": basic_block_step}[task]
    inputs = Inputs(folder)
    capability = getattr(torch.backends.cpu, "get_cpu_capability", lambda: "")()
    print(torch.__version__ + (", kernels for " + capability if capability else ""), flush=True)
    threads = 0
    for line in sys.stdin:
        wanted, steps, anew = map(int, line.split())
        if anew or wanted != threads:
            threads, done, step = wanted, 0, make_step(inputs, format, layout)
            torch.set_num_threads(threads)
        results = []
        start = time.perf_counter()
        for _ in range(steps):
            results += step(done)
            done += 1
        seconds = time.perf_counter() - start
        values = [result.detach().double().norm().item() for result in results]
        print(" ".join(repr(value) for value in [seconds] + values), flush=True)


main()
