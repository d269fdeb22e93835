"""The model card, filled in from the manifest, in the form that Hugging Face reads."""

from typing import Any

CARD = """\
---
license: apache-2.0
pipeline_tag: image-classification
tags: [histopathology, breast-cancer, resnet18, svm]
---

# BreakHis 40x: benign or malignant, version {version}

ResNet18 gives 512 features of one H&E-stained breast biopsy field, a support vector machine with
an RBF kernel classifies them, Platt's sigmoid turns its decision into a probability.

## Intended use

Research and teaching, on photographs of H&E-stained breast biopsies taken at 40x as in the BreakHis
data set (700 x 460 pixels, 0.49 micrometres a pixel).

**Not for diagnosis, treatment or any decision about a person.** It is no medical device. It is not
for other organs, stains, scanners or magnifications, nor for whole slides.

## Data and its gaps

BreakHis v1 (Spanhol, Oliveira, Petitjean, Heutte, IEEE TBME 2016, doi:10.1109/TBME.2015.2496264),
offered for research; cite the paper. Learnt from a part of it: {n_benign} benign and {n_malignant}
malignant patients (accession numbers), all of one laboratory.

{images}

Fields of 100X and 200X were resampled to the pixel size of a 40X field and made as soft as one. The
40X images are few, and come from few patients, so the intervals below are wide. How the model does
on another laboratory's images was not measured.

## Training

Starting weights: {starting_weights} (ImageNet). {folds} folds by patient for the figures, then one
fit on all patients, which is what is served. Input: {width} x {height} pixels, the whole field.

## Figures

Out-of-fold: each image was judged by a model that never saw its patient. They are those of the
cross-validation; the served model itself was fitted on all patients and has no figures of its own.
In brackets 95 % intervals by bootstrap over patients. A patient's decision is the mean over the
images.

{figures}

## Decision rule

The label is malignant at and above a decision of {threshold:.2f}. No verdict ("uncertain") is given
from {low:.2f} to {high:.2f}, where the calibrated chance of being wrong is above {risk:.0%}. Of the
40X images, out-of-fold, {abstained:.0%} got no verdict, and {wrong:.0%} a wrong one.

The probability is calibrated on the out-of-fold decisions of all magnifications, each patient
counting once, for the share of malignant patients among those trained on ({prevalence:.0%}), which
is far above that of any clinic. How well it is calibrated on 40X images of new patients was not
measured.

## Limits

- Few patients, one laboratory, one camera, selected fields. With so few, another seed, which also
  deals the patients into other folds, can move the 40X figures by a tenth: run it with `--seed 1`.
- Another stain, focus or magnification gives a verdict of no worth; the checks that warn of it are
  simple measures of colour and sharpness and were not validated.
- The heat map is integrated Grad-CAM of the SVM's decision. It shows what moved the decision, not
  where a pathologist would find the disease, and was not validated.

## Licence

The model: Apache-2.0. It was learnt from BreakHis images and ImageNet weights, both offered for
research; neither is part of it as it stands.

## Reproduce

    python -m scripts.train --data FOLDER --seed {seed}
"""

METRICS = {
    "auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}


def model_card(manifest: dict[str, Any]) -> str:
    """Fill in the card.

    Parameters
    ----------
    manifest : dict
        As `scripts.train` writes it.

    Returns
    -------
    str
        Markdown.
    """
    training, rule = manifest["training"], manifest["decision_rule"]
    patients = training["patients"]
    low, high = rule["abstain"]
    return CARD.format(
        version=manifest["version"],
        n_benign=patients["benign"],
        n_malignant=patients["malignant"],
        prevalence=patients["malignant"] / sum(patients.values()),
        images=_images(training["images"]),
        starting_weights=training["starting_weights"],
        folds=training["folds"],
        seed=training["recipe"]["seed"],
        width=manifest["preprocessing"]["width"],
        height=manifest["preprocessing"]["height"],
        figures=_figures(manifest["metrics"]),
        threshold=rule["threshold"],
        low=low,
        high=high,
        risk=training["tolerated_risk"],
        abstained=manifest["metrics"]["40X"]["image"]["abstained"],
        wrong=manifest["metrics"]["40X"]["image"]["wrong_verdicts"],
    )


def _images(images: dict[str, dict[str, int]]) -> str:
    rows = [f"| {m} | {n['benign']} | {n['malignant']} |" for m, n in images.items()]
    return "\n".join(
        ["| magnification | benign images | malignant images |", "|---|---|---|", *rows]
    )


def _figures(metrics: dict[str, Any]) -> str:
    rows = [
        f"| | n benign | n malignant | {' | '.join(METRICS.values())} |",
        "|---" * (3 + len(METRICS)) + "|",
    ]
    for magnification, levels in metrics.items():
        for level, measured in levels.items():
            cells = [
                "{value:.2f} [{0:.2f}, {1:.2f}]".format(
                    *measured[name]["interval"], value=measured[name]["value"]
                )
                for name in METRICS
            ]
            counts = f"{measured['benign']} | {measured['malignant']}"
            rows.append(f"| {magnification}, by {level} | {counts} | {' | '.join(cells)} |")
    return "\n".join(rows)
