"""Two models of a late arrival, and how to judge them."""

import numpy as np
import pandas as pd
from features import CATEGORIES, NUMBERS
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

FEATURES = CATEGORIES + NUMBERS


def boosted(learning_rate: float, leaves: int) -> HistGradientBoostingClassifier:
    """Trees that take categories and missing values as they are."""
    return HistGradientBoostingClassifier(
        learning_rate=learning_rate,
        max_leaf_nodes=leaves,
        max_iter=50,
        categorical_features="from_dtype",
        early_stopping=False,
        random_state=0,
    )


def logistic(strength: float) -> Pipeline:
    """A line through everything: what the trees have to beat."""
    prepare = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", min_frequency=100), CATEGORIES),
        (make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
    )
    return make_pipeline(prepare, LogisticRegression(C=strength, max_iter=500))


def fit(model, examples: pd.DataFrame):
    with threadpool_limits(1):  # threads that wait for each other are slow on a busy machine
        return model.fit(examples[FEATURES], examples["late"])


def chance(model, examples: pd.DataFrame) -> np.ndarray:
    with threadpool_limits(1):
        return model.predict_proba(examples[FEATURES])[:, 1]


def ranking(model, examples: pd.DataFrame) -> float:
    """The area under the ROC curve."""
    return roc_auc_score(examples["late"], chance(model, examples))


def score(name: str, late: pd.Series, chances: pd.Series) -> dict[str, str | float]:
    """One row of the table of scores."""
    riskiest = late[chances >= chances.quantile(0.9)]
    return {
        "model": name,
        "auc": roc_auc_score(late, chances),
        "brier": brier_score_loss(late, chances),
        "late_among_riskiest_tenth": riskiest.mean(),
    }
