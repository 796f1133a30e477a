//! Authentication and authorization of API requests: certificates, tokens, RBAC, Node.
