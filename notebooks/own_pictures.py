# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own pictures: from a folder to a report
#
# **What it takes.** Python 3.11 or newer, 2 GB of memory, no GPU; four minutes on two idle processor cores, two of them
# for the training. And a folder with a folder of pictures for each class, at best 20 or more of each: `FOLDER/CLASS/*`,
# or `FOLDER/train/CLASS/*` and `FOLDER/test/CLASS/*`. Without one the notebook writes drawn pictures into a folder, and
# goes on with those.

# %%
# In Colab and Kaggle this installs the library. Where it is installed already, nothing happens.
import importlib.util
import subprocess
import sys

SOURCE = "visionlib-torch"  # or the path or address of a clone
if importlib.util.find_spec("visionlib") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", SOURCE], check=True)

# %%
FOLDER = None  # "photographs"; in Colab upload it, in Kaggle it is below /kaggle/input
SECONDS = 120  # to train
IS_SHORT = False  # True: a few seconds of training, to see that everything runs

# %%
# %matplotlib inline
from pathlib import Path

import visionlib

if FOLDER is None:
    from PIL import Image

    drawn = visionlib.load_dataset("shapes").test
    for position, label in enumerate(drawn.labels[: 200 if IS_SHORT else 600].tolist()):
        path = Path("drawn-pictures", drawn.classes[label], f"{position:03}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn.images[position].permute(1, 2, 0).numpy()).resize((96, 96)).save(path)
    FOLDER = "drawn-pictures"

# %% [markdown]
# ## 1. Look at the folder
#
# Check that the classes are yours, and that none has only a few images. Duplicates between training and test images
# would make the test too easy.

# %%
dataset = visionlib.load_dataset(FOLDER)
inspection = visionlib.inspect_dataset(dataset, duplicates="near")
inspection

# %%
for warning in dataset.warnings:
    print(warning)

# %% [markdown]
# ## 2. Train
#
# The settings are chosen for these images and this machine, and the log says which and why. Few color images begin with
# weights that come with the package.

# %%
run = visionlib.train(dataset, max_seconds=10 if IS_SHORT else SECONDS, log=print)

# %% [markdown]
# ## 3. Test
#
# Read the interval, not only the accuracy. With 25 test images of a class, 80 % stands for anything from 61 to 91 %.

# %%
evaluation = visionlib.evaluate(run, dataset=dataset)
evaluation

# %% [markdown]
# ## 4. Where it is wrong
#
# Look for wrong labels first, then for what the mistakes have in common.

# %%
from visionlib.evaluation import find_mistakes, load_predictions
from visionlib.evaluation.pictures.mistakes import draw_mistakes

kept = load_predictions(run)
mistakes = find_mistakes(kept.predictions, kept.labels, dataset.classes, index=kept.index)
draw_mistakes(mistakes, dataset.test.images, count=12)

# %% [markdown]
# ## 5. Classify a picture
#
# Name any file. Here it is a file of the folder.

# %%
model = visionlib.load(run.path)
files = sorted(str(path) for path in Path(FOLDER).rglob("*") if path.is_file())[:3]
for file, likeliest in zip(files, model.predict(files).top(2), strict=True):
    print(file, ", ".join(f"{name} {probability:.1%}" for name, probability in likeliest))

# %% [markdown]
# ## 6. Everything on one page
#
# `report.html` in the folder of the run works offline and can be mailed. Clear the output of this cell before you share
# the notebook: it holds the whole page.

# %%
visionlib.write_report(run, dataset=dataset, make=not IS_SHORT)
