"""A link from an estimator's box in a notebook to its page."""


class Documented:
    """Tells scikit-learn's HTML representation where an estimator is documented."""

    _doc_link_module = "citrus_sk"
    _doc_link_template = (
        "https://citrus-sk.readthedocs.io/en/stable/"
        "api/generated/{estimator_module}.{estimator_name}.html"
    )
