//! What the Kubernetes v1.36 API is: types, schema tables, codecs, quantities, selectors.
