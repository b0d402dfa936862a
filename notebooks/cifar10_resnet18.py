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
# Top to bottom: the images, the layers and what each of them sees, a learning rate, training, accuracy per class, the
# worst mistakes, and a look inside. With CIFAR-10 the training takes about a quarter of an hour on two processor
# cores. Without CIFAR-10 and without a network the notebook goes on with `shapes`, which the library draws itself, and
# is through in a few minutes.

# %%
DATASET = "cifar10"  # or a folder of your own pictures, with train/CLASS/*.png
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
# ## The layers
#
# What each layer puts out, what it costs, and how many pixels a position of it sees.

# %%
height, width = dataset.test.image_size
model = visionlib.build_model(config.model, classes=len(dataset.classes), channels=dataset.test.channels)
summary = visionlib.summarize(model, (dataset.test.channels, height, width), name=config.model)
summary

# %%
from visionlib.summary.field_plots import draw_growth

draw_growth(summary, dataset.test.images[0])

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
# The run folder that it leaves holds everything that follows: settings, history, weights, predictions.

# %%
run = visionlib.train(dataset, config, log=print)

# %%
from visionlib.runs import read_json_lines

draw_history(read_json_lines(run.history), title=run.path.name)

# %% [markdown]
# ## Accuracy, class by class
#
# Of all test images, each figure with its number of images and its 95 % interval.

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
# Those that the network was sure of first.

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
# map is a cell of the network's layers: nothing is smoothed.

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
