"""The model card, filled in from manifest and figures, in the form that Hugging Face reads."""

import json
from pathlib import Path
from typing import Any

from handler import CARD, EVALUATION, MANIFEST
from handler.manifest import TrainingField
from handler.whole_file import write_whole
from scripts.evaluation.power import FULL_SET, patients_needed, standard_error
from scripts.training.breakhis import TUMOUR_TYPES
from scripts.training.magnification import MAX_STOPPED

TEMPLATE = """\
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
data set ({field} pixels, {micrometres} micrometres a pixel).

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

Starting weights: {starting_weights} (ImageNet).
Input: {width} x {height} pixels, the whole field, brought to one brightness of the glass.
ResNet18's last stage is fine-tuned on crops {soup} times with other seeds, and the weights are
averaged; the classification layer is thrown away, and scaler and SVM are fitted on features of
whole fields.

## Figures

Out-of-fold: each image was judged by a model that never saw its patient, in {repetitions}
repetitions of a {folds}-fold cross-validation with other folds and seeds. A figure is the mean of
the repetitions; in brackets its 95 % interval by bootstrap over patients. The served model itself
was fitted on all patients and has no figures of its own. Settings were compared on the same
patients, so the figures are somewhat optimistic. Image-level random splits, which put one patient
on both sides, were never used.

{figures}

A patient's decision and probability are the means over the images. The patient recognition rate is
that of Spanhol et al.: the mean over patients of the share of their images that are labelled
rightly. Repetition by repetition, the AUC at 40X was {auc_image} by image and {auc_patient} by
patient: differences between models that are smaller than this spread say nothing.

![ROC](plots/roc.svg) ![Verdicts](plots/confusion.svg)

By tumour type, the share of 40X images labelled rightly:

{tumour_types}

## Probability and verdict

The label is malignant at and above a decision of {threshold:.2f}, where the probability is a half.
No verdict ("uncertain") is given from {low:.2f} to {high:.2f}, where the calibrated chance of being
wrong is above {risk:.0%}. Of the 40X images of unseen patients, {abstained:.0%} got no verdict, and
{wrong:.0%} a wrong one. With another tolerated chance, each image calibrated without its patient:

{risks}

![Risk and coverage](plots/risk.svg)

The probability is Platt's sigmoid of the out-of-fold decisions of all magnifications, classes and
patients of equal weight: it holds where malignant is as likely as benign. Elsewhere, as among the
patients here ({prevalence:.0%} malignant) or in a clinic, adjust the odds to the share (Bayes).
Without that, and calibrated on all other patients, its expected calibration error (10 bins) is
{ece} on 40X images; of {n_images} images, perfect probabilities would show
{ece_noise:.2f} by chance. The Brier score is {brier}.

![Calibration](plots/calibration.svg)

## Robustness

40X images of unseen patients, first repetition, the picture changed before it is read:

{robustness}

A verdict changes also when it becomes or ceases to be "uncertain". A portrait picture is turned to
landscape before it is judged, so one turned by 90 degrees comes back as it was or turned by 180.

## Magnification

Every field is asked whether it was taken at 40x: a multinomial logistic regression on the mean
outputs of the trunk's first three stages, learnt from fields of four magnifications sent as they
are, fields put together of higher magnifications, and noise in the colours of the stain. One that
seems to be something else gets no verdict ("rejected"). The limit is set so that at most
{max_stopped:.0%} of the 40X images of unseen patients are stopped. Out of fold, with the same
repetitions as above; copies with fewer pixels than a microscope's picture are left out:

{magnification_check}

Of the {n_copies} 40X images that are such copies, {copies_stopped} were stopped. Fields of a slide,
whose scale is known, are not asked for their magnification.

## Pictures of something else

No verdict ("rejected") is given for a picture whose 512 features are further from those of the
nearest 40X training field (Euclidean; nearest neighbours as in Sun et al., ICML 2022, with one
neighbour and without scaling to unit length) than any training field is from those of the other
patients. Warnings tell of little stained tissue, of colours that are not those of H&E and of a
picture out of focus; their limits, too, come from training fields. Measured fold by fold, first
repetition: limits from the training patients, applied to the 40X images of the others.

Of {n_real} real images of {n_real_patients} patients, {rejected} were rejected, and {flagged}
rejected or warned of; of the patients, {patients_rejected} and {patients_flagged} had such an
image. In brackets: exact binomial intervals, which for images take no account of how alike the
images of a patient are. With 8-bit integers, {rejected_8_bit} images were rejected, and
{flagged_8_bit} rejected or warned of.

Other pictures were drawn, came with Python packages, or are the real images above, stained
otherwise by computation or blurred. None of them set a limit; noise in the colours of the stain,
drawn by another program, was learnt from. AUROC of the distance over all of
them: {ood_auroc:.3f}. In brackets: with 8-bit integers.

{ood_pictures}

![Distance from the training fields](plots/rejection.svg)

Haematoxylin and PAS is, in its colours, nearly H&E, and passes. Of fields in other stains many
pass. A blur that leaves the tissue in sight gets a warning rather than a rejection. H&E fields of
other laboratories may be rejected more often than these: that was not measured.

## Arithmetic

All figures here are measured in single precision (PyTorch). On a CPU the model is served with 8-bit
integers (OpenVINO), calibrated on training fields. On the {engine_fields} 40X images of unseen
patients that changes {engine_labels:.0%} of the labels and {engine_verdicts:.0%} of the verdicts;
decisions differ by {engine_median:.3f} (median) and {engine_largest:.3f} (largest), features by
{engine_features:.0%} of their length (median).

## Heat map

The heat map is integrated Grad-CAM of the SVM's decision: what each place adds to it. Checked by
deletion and insertion (RISE, 2018) on 40X images of unseen patients: when the tissue that it holds
for most important is blurred away first, the decision falls further than with the same heat map
shifted at random, by {deletion} on average over {shares} of the field; when it is brought back
first, the decision rises further by {insertion}. It shows what moved the decision, not where a
pathologist would find the disease; that was not measured.

![Deletion and insertion](plots/deletion.svg)

## Limits

- Few patients, one laboratory, one camera, selected fields.
- Another stain, focus or magnification gives a verdict of no worth, and the checks miss a part of
  such pictures (see above).
- Not measured: other laboratories and scanners, whole slides, agreement with pathologists.

## What would settle it

At 40X there are {n_patients_40x} patients. To tell an AUC by patient of 0.90 from one of 0.85 in
four of five cases (two-sided test at 5 %, classes as in the full set) takes {needed} patients; the
full data set has {full_set}, on which an AUC of 0.90 has a standard error of {full_error:.3f}
(Hanley and McNeil, 1982). So nobody can tell such models apart on this data set, and smaller
differences between settings were not chased.

## Licence

The model: Apache-2.0. It was learnt from BreakHis images (for research; cite the paper) and from
ImageNet weights (BSD-3-Clause, learnt from images under research terms); neither is part of it as
it stands.

## Reproduce

    python -m scripts.train --data FOLDER --seed {seed}

Figures, plots and this card alone: `python -m scripts.evaluate --data FOLDER`.
"""

METRICS = {
    "auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "recognition_rate": "patient recognition rate",
}


def write_card(model: Path) -> None:
    """Write the card of the model in a folder, from its manifest and figures."""
    manifest, evaluation = (
        json.loads((model / name).read_text("utf-8")) for name in (MANIFEST, EVALUATION)
    )
    write_whole(model / CARD, model_card(manifest, evaluation).encode())


def model_card(manifest: dict[str, Any], evaluation: dict[str, Any]) -> str:
    """Fill in the card.

    Parameters
    ----------
    manifest : dict
        As `scripts.train` writes it.
    evaluation : dict
        As `scripts.evaluate` writes it.

    Returns
    -------
    str
        Markdown.
    """
    training, rule = manifest["training"], manifest["decision_rule"]
    field = TrainingField(**manifest["field"])
    patients = training["patients"]
    low, high = rule["abstain"]
    at_40x = evaluation["magnifications"]["40X"]
    image, heatmap, engine = at_40x["image"], evaluation["heatmap"], evaluation["engine"]
    ood, check = evaluation["rejection"], evaluation["magnification_check"]
    real = ood["real"]
    return TEMPLATE.format(
        version=manifest["version"],
        field=field,
        micrometres=field.micrometres_per_pixel,
        n_benign=patients["benign"],
        n_malignant=patients["malignant"],
        prevalence=patients["malignant"] / sum(patients.values()),
        images=_images(training["images"]),
        starting_weights=training["starting_weights"],
        repetitions=training["repetitions"],
        folds=training["folds"],
        seed=training["recipe"]["seed"],
        soup=training["recipe"]["soup"],
        width=manifest["preprocessing"]["width"],
        height=manifest["preprocessing"]["height"],
        figures=_figures(evaluation["magnifications"]),
        auc_image=_each(image["auc"]),
        auc_patient=_each(at_40x["patient"]["auc"]),
        tumour_types=_tumour_types(at_40x["tumour_types"]),
        threshold=rule["threshold"],
        low=low,
        high=high,
        risk=training["tolerated_risk"],
        abstained=image["abstained"]["value"],
        wrong=image["wrong_verdicts"]["value"],
        ece=_figure(image["calibration_error"]),
        ece_noise=image["calibration_noise"],
        n_images=image["benign"] + image["malignant"],
        brier=_figure(image["brier"]),
        risks=_risks(at_40x["risk"]),
        max_stopped=MAX_STOPPED,
        magnification_check=_magnification_check(check["magnifications"]),
        n_copies=check["copies"]["images"],
        copies_stopped=_share(check["copies"]["stopped"]),
        n_patients_40x=at_40x["patient"]["benign"] + at_40x["patient"]["malignant"],
        needed=patients_needed(0.90, 0.85),
        full_set=sum(FULL_SET),
        full_error=standard_error(0.90, sum(FULL_SET)),
        robustness=_robustness(evaluation["robustness"]),
        n_real=real["images"],
        n_real_patients=real["patients"],
        rejected=_count(real["images_rejected"]),
        flagged=_count(real["images_flagged"]),
        patients_rejected=_count(real["patients_rejected"]),
        patients_flagged=_count(real["patients_flagged"]),
        rejected_8_bit=real["images_rejected"]["count_8_bit"],
        flagged_8_bit=real["images_flagged"]["count_8_bit"],
        ood_auroc=ood["auroc"],
        ood_pictures=_ood_pictures(ood["negatives"]),
        engine_fields=engine["fields"],
        engine_labels=engine["labels_changed"],
        engine_verdicts=engine["verdicts_changed"],
        engine_median=engine["decision_difference"]["median"],
        engine_largest=engine["decision_difference"]["largest"],
        engine_features=engine["feature_error"]["median"],
        deletion=_figure(heatmap["deletion_gain"]),
        insertion=_figure(heatmap["insertion_gain"]),
        shares=f"{heatmap['share'][0]:.0%} to {heatmap['share'][-1]:.0%}",
    )


def _images(images: dict[str, dict[str, int]]) -> str:
    rows = [[m, str(n["benign"]), str(n["malignant"])] for m, n in images.items()]
    return _table(["magnification", "benign images", "malignant images"], rows)


def _figures(magnifications: dict[str, Any]) -> str:
    rows = [
        [
            f"{magnification}, by {level} ({m[level]['benign']} + {m[level]['malignant']})",
            *(_figure(m[level][name]) if name in m[level] else "" for name in METRICS),
        ]
        for magnification, m in magnifications.items()
        for level in ("image", "patient")
    ]
    return _table(["(benign + malignant)", *METRICS.values()], rows)


def _tumour_types(types: dict[str, Any]) -> str:
    rows = [
        [TUMOUR_TYPES[key], str(t["patients"]), str(t["images"]), _figure(t["accuracy"])]
        for key, t in types.items()
    ]
    return _table(["type", "patients", "images", "labelled rightly"], rows)


def _robustness(robustness: dict[str, Any]) -> str:
    rows = [
        [
            name,
            _figure(r["auc_change"], "+.2f"),
            f"{r['labels_changed']:.0%}",
            f"{r['verdicts_changed']:.0%}",
        ]
        for name, r in robustness.items()
    ]
    return _table(["change", "AUC, change", "labels changed", "verdicts changed"], rows)


def _ood_pictures(kinds: dict[str, dict[str, Any]]) -> str:
    rows = [
        [
            kind,
            str(n["pictures"]),
            f"{n['auroc']:.3f}",
            f"{n['rejected']:.0%} ({n['rejected_8_bit']:.0%})",
            f"{n['flagged']:.0%} ({n['flagged_8_bit']:.0%})",
        ]
        for kind, n in kinds.items()
    ]
    header = ["kind", "pictures, all folds", "AUROC", "rejected", "rejected or warned of"]
    return _table(header, rows)


def _risks(measured: dict[str, list[float]]) -> str:
    rows = [[f"{value:.0%}" for value in row] for row in zip(*measured.values(), strict=True)]
    return _table(["chance tolerated", "no verdict", "wrong verdict"], rows)


def _magnification_check(magnifications: dict[str, Any]) -> str:
    rows = [
        [
            f"{magnification} ({m['images']} images, {m['patients']} patients)",
            _figure(m["stopped"], ".1%"),
            _figure(m["patients_stopped"], ".1%"),
            _share(m["named"]) if magnification != "40X" else "",
        ]
        for magnification, m in magnifications.items()
    ]
    header = [
        "taken at",
        "stopped, of images",
        "stopped, mean of patients",
        "named rightly of these",
    ]
    return _table(header, rows)


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.0%}"


def _count(measured: dict[str, Any]) -> str:
    low, high = measured["interval"]
    return f"{measured['count']} ({measured['share']:.1%} [{low:.1%}, {high:.1%}])"


def _figure(measured: dict[str, Any], form: str = ".2f") -> str:
    if "interval" not in measured:
        return f"{measured['value']:{form}}"
    low, high = measured["interval"]
    return f"{measured['value']:{form}} [{low:{form}}, {high:{form}}]"


def _each(measured: dict[str, Any]) -> str:
    return ", ".join(f"{value:.2f}" for value in measured["repetitions"])


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
