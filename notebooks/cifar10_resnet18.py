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
# # CIFAR-10 with a ResNet-18, from the data to what the network looks at
#
# Top to bottom: the images and their augmentation, the layers and what each of them sees, a learning rate, training,
# accuracy per class, the worst mistakes, a look inside, a picture of your own, and exercises.
#
# **What it takes.** Python 3.11 or newer and 2 GB of memory; no GPU.
#
# | data | network | time on two idle processor cores |
# |---|---|---|
# | `shapes`, which the library draws: no download | ResNet-20, 8 epochs | about three minutes |
# | CIFAR-10: 170 MB, downloaded once | ResNet-18, 5 epochs | about a quarter of an hour |
#
# A busy machine takes several times as long. Without CIFAR-10 and without a network connection the notebook goes on
# with `shapes`; the outputs that are stored here are theirs. `docs/understand.md` explains the words.

# %%
# In Colab and Kaggle this installs the library. Where it is installed already, nothing happens.
import importlib.util
import subprocess
import sys

SOURCE = "visionlib-torch"  # or the path or address of a clone
if importlib.util.find_spec("visionlib") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", SOURCE], check=True)

# %%
DATASET = "cifar10"  # or "shapes", or a folder of your own pictures, with train/CLASS/*.png
PICTURE = None  # the file of a picture of your own, such as "holiday.jpg"
IS_SHORT = False  # True: a small network and one epoch, to see that everything runs

# %%
# %matplotlib inline
import visionlib
from visionlib.errors import DataError

try:
    dataset = visionlib.load_dataset(DATASET)
except DataError as error:
    print(f"{error}\n\nSo the notebook goes on with shapes, which need no network.")
    dataset = visionlib.load_dataset("shapes")

if dataset.name == "shapes" or IS_SHORT:
    config = visionlib.TrainConfig(model="resnet20", epochs=1 if IS_SHORT else 8, peak_learning_rate=0.4)
else:
    config = visionlib.recipe_config("quick")  # a ResNet-18, five epochs
print(f"{dataset.name}: {len(dataset.train):,} images to learn from, {len(dataset.test):,} to test on; {config.model}")

# %% [markdown]
# ## The images
#
# They lie in memory as they are, one byte per pixel and colour. Normalising and augmenting happen in batches, while
# training.

# %%
from visionlib.drawing.image_grid import draw_images

shown = dataset.train.images[:24]
draw_images(shown, [dataset.classes[label] for label in dataset.train.labels[:24].tolist()], title="Training images")

# %%
for name, split in dataset.splits.items():
    print(name, split.per_class)

# %% [markdown]
# ## Augmentation
#
# In each epoch the network gets every image shifted by a few pixels, and every second one mirrored. A shifted cat is
# still a cat: so the network learns what does not depend on the position, and it has more to learn from. Each column is
# one image in one epoch after the other. Shift and mirroring are functions of seed, epoch and image, so that a training
# can be repeated exactly.

# %%
import torch

from visionlib.data.augmentation import crop_images, flip_images_alternating

six, index = dataset.train.images[:6], dataset.train.index[:6]
augmented = [
    flip_images_alternating(crop_images(six, index, seed=0, epoch=epoch), index, seed=0, epoch=epoch)
    for epoch in range(3)
]
draw_images(torch.cat(augmented), [f"epoch {epoch}" for epoch in range(3) for _ in range(6)], title="Augmentation")

# %% [markdown]
# ## The layers
#
# What each layer puts out, what it costs, and how many pixels a position of it sees: its receptive field. Look at how
# the field grows, and at which layer a position first sees the whole image.
#
# The network consists of *residual blocks*: two convolutions, whose output is added to their input. A block has to
# learn a difference only, and one that has nothing to add can learn zero. Without this addition twenty layers are hard
# to train, and a hundred impossible. `shortcut` is the way around the two convolutions. Where a block halves the
# resolution the shortcut must do the same, by a 1x1 convolution or by leaving out positions.

# %%
height, width = dataset.test.image_size
model = visionlib.build_model(config.model, classes=len(dataset.classes), channels=dataset.test.channels)
summary = visionlib.summarize(model, (dataset.test.channels, height, width), name=config.model)
summary

# %%
from visionlib.summary.field_plots import draw_growth

draw_growth(summary, dataset.test.images[0])

# %%
from visionlib.summary.field_plots import draw_block

draw_block(summary, "layer2.0")

# %% [markdown]
# ## A learning rate
#
# The rate grows step by step until the loss runs away; a share of the rate at which it falls fastest is the peak to
# train with. The recipe's own rate was chosen with more patience than one range test, so this one is only shown
# beside it.

# %%
from visionlib.training.history_picture import draw_history
from visionlib.training.rate_picture import draw_rate_finding

finding = visionlib.find_learning_rate(dataset, config, steps=40 if IS_SHORT else 100)
print("suggested:", finding.settings)
print("in the settings:", {name: getattr(config, name) for name in finding.settings})
draw_rate_finding(finding)

# %% [markdown]
# ## Training
#
# The run folder that it leaves holds everything that follows: settings, history, weights, predictions. Expect the loss
# to fall quickly in the first epochs, and slowly in the last ones, while the rate goes to zero. An accuracy on training
# images far above that on test images would be overfitting.

# %%
run = visionlib.train(dataset, config, log=print)

# %%
from visionlib.runs import read_json_lines

draw_history(read_json_lines(run.history), title=run.path.name)

# %% [markdown]
# ## Accuracy, class by class
#
# Of all test images, each figure with its number of images and its 95 % interval: the range of accuracies that fit the
# result. Two classes whose intervals overlap widely may be equally hard. A row of the matrix is a true class. Look for
# pairs that are confused both ways: what have they in common?

# %%
evaluation = visionlib.evaluate(run, dataset=dataset)
evaluation

# %%
from visionlib.evaluation.pictures.overview import PICTURES

draw_confusion, _ = PICTURES["confusion"]
draw_confusion(evaluation)

# %% [markdown]
# ## The worst mistakes
#
# Those that the network was sure of first. For each ask: is the label right, would you have known it, and what
# in the image speaks for the wrong class?

# %%
from visionlib.evaluation import find_mistakes, load_predictions
from visionlib.evaluation.pictures.mistakes import draw_mistakes

kept = load_predictions(run)
mistakes = find_mistakes(kept.predictions, kept.labels, dataset.classes, index=kept.index)
draw_mistakes(mistakes, dataset.test.images)

# %% [markdown]
# ## Where it looked
#
# Each of these mistakes, and what in it speaks for the class that the network says and for the true one. A cell of a
# map is a cell of the network's layers: nothing is smoothed. Does the bright part lie on the object, or beside it?

# %%
from visionlib import explain
from visionlib.explanation.explanation_picture import draw_explanations

wrong = dataset.test.subset(mistakes.positions[:6])
draw_explanations([explain(run, wrong, target=target) for target in ("predicted", "true")])

# %% [markdown]
# ## Inside the network
#
# What the channels of a layer make of the first test image, and the test images that excite some of them most. A box
# is what the position with the largest value sees.

# %%
from visionlib.explanation import extract_feature_maps, find_exciting_images, read_filters
from visionlib.explanation.exciting_picture import draw_exciting_images
from visionlib.explanation.feature_picture import draw_feature_maps
from visionlib.explanation.filter_picture import draw_filters
from visionlib.inference import TrainedModel

trained = TrainedModel.from_run(run)
draw_filters(read_filters(trained.network))

# %%
maps = extract_feature_maps(trained, dataset.test.images[:1], "layer2")
draw_feature_maps(maps, dataset.test.images[0])

# %%
exciting = find_exciting_images(trained, dataset.test, "layer2")
draw_exciting_images(exciting.take(6), dataset.test.images)

# %% [markdown]
# ## A picture of your own
#
# Name its file in the second cell, `PICTURE`. It is decoded and resized as in the training. Otherwise this takes a test
# image. Of what is in no class, the network still names one: it knows nothing else.

# %%
from PIL import Image

picture = Image.fromarray(dataset.test.images[0].permute(1, 2, 0).numpy()) if PICTURE is None else PICTURE
answer = visionlib.load(run.path).predict([picture])
print(", ".join(f"{name} {probability:.1%}" for name, probability in answer.top(3)[0]))

# %% [markdown]
# ## Everything on one page
#
# The same and more, to click through: a cell of the confusion matrix opens its images, an image its maps and its
# nearest training images. The file lies in the run's folder, needs no network, and can be mailed.

# %%
from visionlib.explanation import explain_run
from visionlib.inspection import find_neighbours, map_embeddings

explain_run(run, n=120, dataset=dataset)
map_embeddings(run)
find_neighbours(run, dataset=dataset)
visionlib.write_report(run, dataset=dataset)

# %% [markdown]
# ## Exercises
#
# 1. Which class is weakest, and is it really weaker than the second weakest? Use their intervals.
# 2. Train for half of the epochs. How much is lost? Run `visionlib.compare_runs([first, second])` before you answer.
# 3. How large is the receptive field of the last convolution, and how large is the image? Compute the field of
#    `layer1` by hand: each 3x3 convolution adds two pixels.
# 4. Find a mistake whose map lies beside the object. What would you change in the training images?
# 5. Train three times with the seeds 0, 1 and 2 (`config.replace(seed=1)`). How much do the accuracies differ, and how
#    wide is the interval of one of them?
# 6. Replace `DATASET` by a folder of your own pictures; `own_pictures.ipynb` shows more.
