"""What each figure of an evaluation means; the words stand beside the figures in `evaluation.json`."""

DEFINITIONS = {
    "accuracy": "share of the images whose largest logit is that of their class; of equal logits the first one counts",
    "confidence_interval": "95 % Wilson score interval of the share beside it, for images drawn at random",
    "loss": "cross-entropy in nats without label smoothing, the mean over images; it is the negative log-likelihood",
    "mirror_accuracy": "accuracy with the logits of each image and of its mirror image averaged; every other figure is "
    "of the image as it is",
    "top5_accuracy": "share of the images whose class is among the five largest logits; null for fewer than 6 classes",
    "balanced_accuracy": "mean of the accuracies of the classes that have images",
    "macro_f1": "mean of the F1 of the classes that have images",
    "per_class.accuracy": "recall: share of the class's images that are recognised; null without images",
    "per_class.recall": "the same figure as accuracy, by its other name",
    "per_class.precision": "share of the images taken for the class that are of it; null if none is",
    "per_class.f1": "2 correct / (n + predicted), the harmonic mean of recall and precision; null without images",
    "confusion.counts": "a row for each true class, a column for each predicted one, in the order of per_class",
    "confusion.most_confused": "share of the true class's images; ordered by count, then share, then class",
    "calibration.ece": "expected calibration error: 15 bins of equal width by the probability of the predicted class, "
    "each above its lower and up to its upper edge, so that 1 is in the last; distance between accuracy and mean "
    "probability in a bin, averaged over the images",
    "calibration.brier_score": "squared differences between probabilities and truth, summed over the classes, the mean "
    "over images: from 0 to 2",
    "risk_coverage.curve": "share wrong among images of at least a confidence, the probability of the predicted class",
    "risk_coverage.area": "mean of the risk over the coverages 1/n to 1; best_area if the wrong images came last",
    "temperature": "what the logits are divided by for the least loss on images held out of the training images; "
    "before and after are of the test images",
}
