"""Everything that answers, put together once and handed to every interface."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.service import SearchService
from search.store.base import Store

# Who only searches does not wait for what estimates and outliers are computed with.
if TYPE_CHECKING:
    from search.describing.describe import Describer
    from search.inference.classification import Classifier
    from search.inference.estimates import Estimator
    from search.inference.outliers import OutlierFinder


@dataclass(frozen=True, slots=True)
class Services:
    """What an interface asks, over one store.

    ``store`` is the store itself, whose aliases may name another model by now; all the others ask
    a view of it that keeps to one (`search.collections.model_view`).
    """

    store: Store
    search: SearchService
    estimator: "Estimator"
    classifier: "Classifier"
    outliers: "OutlierFinder"
    describer: "Describer"
