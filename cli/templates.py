"""The text of the project that `lineal init` writes."""

from __future__ import annotations

PIPELINE = '''\
"""Which grower made this wine? Raw data → clean → split → model → gate."""

from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lineal import asset, checks, gate, source


@source("raw/wine")
def fetch_wine():
    """Chemical analyses of 178 wines by three growers; scikit-learn ships them."""
    return load_wine(as_frame=True).frame


@asset(checks=[checks.not_null("grower"), checks.between("alcohol", 8, 16)])
def wine(raw_wine):  # an input is a parameter of that name: raw/wine arrives as raw_wine
    """The wines, with shorter names."""
    return raw_wine.rename(columns={"target": "grower", "od280/od315_of_diluted_wines": "od"})


@asset(outputs=["train", "test"])
def split(wine, test_size: float = 0.4, seed: int = 0):  # a default makes it a setting
    """Wines to learn from, and wines to be judged by."""
    return train_test_split(wine, test_size=test_size, random_state=seed, stratify=wine["grower"])


def measurements(wines):  # a helper: edit it, and what reaches it is stale
    return wines.drop(columns="grower")


@asset
def model(train, strength: float = 1.0):
    """A logistic regression on scaled measurements."""
    untrained = make_pipeline(StandardScaler(), LogisticRegression(C=strength))
    return untrained.fit(measurements(train), train["grower"])


@asset
def confusion(model, test):
    """Whose wines are taken for whose, among those the model has not seen."""
    said = test.assign(said=model.predict(measurements(test)))
    return said.groupby(["grower", "said"]).size().reset_index(name="wines")


@gate("wines", candidate="model", margin=0.01)  # only a better model goes into production
def accuracy(model, test):
    return model.score(measurements(test), test["grower"])
'''

SETTINGS = """\
# Every line is optional: each shows its default.

[project]
# definitions = ["pipeline.py"]    # the files that declare assets
# store = ".lineal"                # where the versions and their history live
# strict = false                   # true: a step that reads an undeclared file fails

[parameters.model]
# strength = 1.0                   # for one run: lineal materialize -p model.strength=0.1

[packages]
# policy = "exact"                 # exact | minor | major | ignore: which updates count
"""
